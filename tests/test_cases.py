"""Small inputs on which something was wrong once, each as its user gave it."""

from __future__ import annotations

import asyncio
import json
from typing import Any


def _ask(method: str, path: str, body: Any = None) -> Any:
    """The answer of the service of a model that computes nothing."""
    import httpx2
    import numpy as np

    from react_ray.config import ServeConfig
    from react_ray.serve.engine.about import About
    from react_ray.serve.engine.model import Engine
    from react_ray.serve.service import Service
    from react_ray.serve.web import build_app

    class Model:
        labels, max_length, truncation_side = ("a", "b"), 8, "right"

        def encode(self, texts: Any) -> list[list[int]]:
            return [[1]] * len(texts)

        def probabilities(self, encoded: Any) -> Any:
            return np.full((len(encoded), 2), 0.5, dtype=np.float32)

    async def scrape() -> bytes:
        return b""

    async def asked() -> Any:
        engine: Any = Engine(Model())  # type: ignore[arg-type]
        app = build_app(Service(engine, ServeConfig(), About("1", None, "none")), scrape)
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1:8000"
        ) as http:
            return await http.request(method, path, json=body)

    return asyncio.run(asked())


TENSOR = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a text"]}


def test_head_on_probes() -> None:
    for path in ("/healthz", "/readyz", "/"):
        answer = _ask("HEAD", path)
        assert (answer.status_code, answer.content) == (200, b"")


def test_v2_kserve_client_body() -> None:
    body = {"id": "7", "model_name": "classifier", "inputs": [TENSOR]}
    assert _ask("POST", "/v2/models/classifier/infer", body).status_code == 200
    other = _ask("POST", "/v2/models/classifier/infer", {**body, "model_name": "bert"})
    assert (other.status_code, "is not here" in other.json()["error"]) == (404, True)


def test_v2_version_in_path() -> None:
    for version, status in (("1", 200), ("2", 404)):
        path = f"/v2/models/classifier/versions/{version}"
        answers = [_ask("GET", path), _ask("GET", f"{path}/ready")]
        answers.append(_ask("POST", f"{path}/infer", {"inputs": [TENSOR]}))
        assert [answer.status_code for answer in answers] == [status] * 3
        assert status == 200 or all(
            json.loads(one.text)["error"].startswith("version '2'") for one in answers
        )
