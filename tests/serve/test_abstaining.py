"""Every door of a service with a threshold abstains on the same texts, and counts them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import httpx2
import numpy as np
import pytest
from fakes import FakeModel, FakeTokenizer
from numpy.typing import NDArray

from react_ray.config.service import ServeConfig
from react_ray.serve.engine.about import About
from react_ray.serve.engine.model import Engine
from react_ray.serve.protocols.v2 import inference_pb2 as wire
from react_ray.serve.protocols.v2.grpc import InferenceMethods
from react_ray.serve.service import Service
from react_ray.serve.web import build_app

TEXTS = ["9", "5", "6", "3"]
KEPT = ["b", None, "b", None]
"""With the threshold below."""


class Digits(FakeTokenizer):
    def of(self, text: str) -> list[int]:
        return [int(text)]


class Model(FakeModel):
    """Is as sure of label b as the text says, in tenths."""

    def __init__(self) -> None:
        super().__init__(["a", "b", "c"], Digits(8, "right"))

    def probabilities(self, encoded: Sequence[list[int]]) -> NDArray[np.float32]:
        rest = [[(1 - row[0] / 10) / 2, row[0] / 10, (1 - row[0] / 10) / 2] for row in encoded]
        return np.array(rest, dtype=np.float32)


@pytest.fixture
def service() -> Service:
    return Service(Engine(Model()), ServeConfig(threshold=0.6), About("1", None, "none"))


async def answer(service: Service, path: str, body: bytes, kind: str = "application/json") -> bytes:
    transport = httpx2.ASGITransport(build_app(service, scrape=None))  # type: ignore[arg-type]
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        told = await http.post(path, content=body, headers={"Content-Type": kind})
    assert told.status_code == 200, told.text
    return told.content


async def predict(service: Service) -> list[str | None]:
    rankings = json.loads(await answer(service, "/predict", json.dumps({"inputs": TEXTS}).encode()))
    return [ranking[0]["label"] if ranking else None for ranking in rankings]


async def bulk(service: Service) -> list[str | None]:
    body = "\n".join(map(json.dumps, TEXTS)).encode()
    *lines, _ = (await answer(service, "/bulk", body, "application/x-ndjson")).splitlines()
    return [json.loads(line)["label"] for line in lines]


async def v2(service: Service) -> list[str | None]:
    tensor = {"name": "text", "datatype": "BYTES", "shape": [len(TEXTS)], "data": TEXTS}
    told = await answer(service, "/v2/models/classifier/infer", json.dumps({"inputs": [tensor]}).encode())
    label, score, probabilities = json.loads(told)["outputs"]
    assert score["data"] == pytest.approx([0.9, 0.5, 0.6, 0.35], abs=1e-6)  # of those without a label too
    assert probabilities["shape"] == [len(TEXTS), 3]
    return [name or None for name in label["data"]]


async def v2_grpc(service: Service) -> list[str | None]:
    methods = InferenceMethods()
    methods._service = service
    message = wire.ModelInferRequest(model_name="classifier")
    tensor = message.inputs.add(name="text", datatype="BYTES", shape=[len(TEXTS)])
    tensor.contents.bytes_contents.extend(text.encode() for text in TEXTS)
    context: Any = SimpleNamespace(
        trailing_metadata=list, invocation_metadata=list, peer=lambda: "ipv4:127.0.0.1:5", code=lambda: None
    )
    told = await methods.ModelInfer(message.SerializeToString(), context)
    return [name.decode() or None for name in told.outputs[0].contents.bytes_contents]


@pytest.mark.parametrize("ask", [predict, bulk, v2, v2_grpc])
def test_a_text_below_the_threshold_has_no_label_and_is_counted(service: Service, ask: Any) -> None:
    assert asyncio.run(ask(service)) == KEPT
    (family,) = [one for one in service.metrics.families() if one.name == "react_ray_abstentions"]
    (counted,) = [one.value for one in family.samples if one.name == "react_ray_abstentions_total"]
    assert counted == 2
