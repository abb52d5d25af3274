"""Answers of a service in this process, and answers made comparable."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2

from react_ray.config.service import ServeConfig
from react_ray.serve.engine.about import About
from react_ray.serve.engine.model import load_engine
from react_ray.serve.service import Service
from react_ray.serve.web import build_app


def ask(folder: Path, inputs: list[dict[str, Any]]) -> tuple[Any, str]:
    """The answers of a service in this process, and the name of its engine."""
    engine = load_engine(str(folder), "fp32", threads=1, use_gpu=False)
    service = Service(engine, ServeConfig(), About("1", None, "none"), None)

    async def send() -> Any:
        transport = httpx2.ASGITransport(build_app(service, scrape=None))  # type: ignore[arg-type]
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.post("/predict", json={"inputs": inputs})

    answer = asyncio.run(send())
    assert answer.status_code == 200, answer.text
    return answer.json(), engine.name


def leaves(value: Any) -> list[Any]:
    """The strings and numbers in ``value``, by the names of their fields."""
    if isinstance(value, dict):
        return [leaf for key in sorted(value) for leaf in leaves(value[key])]
    if isinstance(value, list | tuple):
        return [leaf for one in value for leaf in leaves(one)]
    return [value]
