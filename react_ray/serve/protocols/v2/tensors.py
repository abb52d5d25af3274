"""Requests and answers of the open inference protocol, version 2: texts in, tensors out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from react_ray.config.service import ServeConfig
from react_ray.serve.limits.refusal import RefusalError, clipped
from react_ray.serve.protocols.messages import check_limits, kind_of, parse, where_is
from react_ray.version import __version__

if TYPE_CHECKING:
    from react_ray.serve.service import Service

__all__ = [
    "MODEL",
    "MODEL_VERSION",
    "SERVER",
    "InferAnswer",
    "InferRequest",
    "InputTensor",
    "OutputTensor",
    "RequestedOutput",
    "check_model",
    "infer",
    "metadata",
    "parse_infer",
    "texts_of",
]

MODEL = "classifier"
MODEL_VERSION = "1"  # a service has one model
SERVER: dict[str, Any] = {
    "name": "react-ray",
    "version": __version__,
    "extensions": ["binary_tensor_data"],
}
INPUT = "text"
OUTPUTS = ("label", "score", "probabilities")
ABSTAINED = ""
"""The label of a text that the service gives none: the protocol has no null."""

Parameters = dict[str, str | bool | int | float]
"""Clients put what concerns other servers there too: a priority, the number of a sequence."""


class InputTensor(BaseModel):
    """The texts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(description=f"`{INPUT}`")
    datatype: str = Field(description="`BYTES`")
    shape: Annotated[list[int], Field(fail_fast=True)] = Field(description="[n] or [n, 1]")
    data: list[Any] | None = Field(None, description="n strings, or n lists of one string")
    parameters: Parameters | None = None


class RequestedOutput(BaseModel):
    """An output that is wanted."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(description=f"One of {', '.join(OUTPUTS)}")
    parameters: Parameters | None = None


class InferRequest(BaseModel):
    """Texts to classify, as a tensor."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "id": "7",
                    "inputs": [
                        {
                            "name": INPUT,
                            "datatype": "BYTES",
                            "shape": [2],
                            "data": ["The striker scored twice.", "股市今日上涨"],
                        }
                    ],
                    "outputs": [{"name": "label"}, {"name": "score"}],
                }
            ]
        },
    )

    id: str | None = Field(None, description="Comes back in the answer")
    model_name: str | None = Field(None, description="As in the path")
    model_version: str | None = Field(None, description="As in the path")
    inputs: Annotated[list[InputTensor], Field(fail_fast=True)]
    outputs: Annotated[list[RequestedOutput], Field(fail_fast=True)] | None = Field(
        None, description="All of them if left out"
    )
    parameters: Parameters | None = None


class OutputTensor(BaseModel):
    """A tensor, row by row in one list, or as bytes behind the JSON: ``binary_data_size`` of them."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None
    parameters: Parameters | None = None


class InferAnswer(BaseModel):
    """The tensors that were asked for."""

    model_name: str = MODEL
    model_version: str = MODEL_VERSION
    id: str | None = None
    outputs: list[OutputTensor]


def metadata(labels: Sequence[str]) -> dict[str, Any]:
    """What the model takes and gives; ``labels`` are the columns of the probabilities."""
    return {
        "name": MODEL,
        "versions": [MODEL_VERSION],
        "platform": "react_ray",
        "inputs": [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "score", "datatype": "FP32", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(labels)]},
        ],
        "parameters": {"labels": list(labels)},
    }


def check_model(name: str, version: str = "") -> None:
    """RefusalError 404 unless it is the model that is served."""
    if name != MODEL:
        raise RefusalError(404, f"model {clipped(name)!r} is not here; the model is {MODEL!r}")
    if version not in ("", MODEL_VERSION):
        raise RefusalError(404, f"version {clipped(version)!r} is not here; the version is {MODEL_VERSION!r}")


def parse_infer(body: bytes | bytearray, config: ServeConfig) -> InferRequest:
    """The request in ``body``; RefusalError 404 where it names another model, else as ``parse``."""
    request = parse(body, InferRequest, config, _explain)
    check_model(request.model_name or MODEL, request.model_version or "")
    return request


def texts_of(request: InferRequest, config: ServeConfig) -> list[str]:
    """The texts of ``request``; RefusalError 422 where it asks for what is not there, 413 for too much."""
    for output in request.outputs or []:
        if output.name not in OUTPUTS:
            raise RefusalError(
                422, f"output {clipped(output.name)!r} is not known; known are: {', '.join(OUTPUTS)}"
            )
        if (output.parameters or {}).get("classification"):
            raise RefusalError(422, f"classification is not taken; {OUTPUTS[2]!r} has the probabilities")
    if [tensor.name for tensor in request.inputs] != [INPUT]:
        given = ", ".join(repr(clipped(tensor.name)) for tensor in request.inputs) or "none"
        raise RefusalError(422, f"the input tensors are {given}; expected one, {INPUT!r}")
    tensor = request.inputs[0]
    if tensor.datatype != "BYTES":
        raise RefusalError(422, f"{INPUT} has datatype {clipped(tensor.datatype)!r}; expected 'BYTES'")
    texts = _flat(tensor)
    check_limits(INPUT, texts, config)
    return texts


async def infer(request: InferRequest, service: Service) -> InferAnswer:
    """The tensors that ``request`` asks for; TextError where the model fails on a text.

    A text whose best label scores less than the service's threshold has ABSTAINED in its place.
    """
    table = np.stack(await service.probabilities(texts_of(request, service.config)))
    count, classes = table.shape
    scores: list[float] = table.max(1).tolist()
    names = [service.labels[column] for column in table.argmax(1)]
    for index, score in enumerate(scores):
        if score < service.threshold:
            names[index] = ABSTAINED
            service.metrics.abstained()
    tensors = {
        "label": ("BYTES", [count], names),
        "score": ("FP32", [count], scores),
        "probabilities": ("FP32", [count, classes], table.ravel().tolist()),
    }
    wanted = dict.fromkeys(output.name for output in request.outputs or []) or OUTPUTS  # once, if asked often
    outputs = []
    for name in wanted:
        datatype, shape, data = tensors[name]
        outputs.append(OutputTensor(name=name, datatype=datatype, shape=shape, data=data))
    return InferAnswer(id=request.id, outputs=outputs)


def _flat(tensor: InputTensor) -> list[str]:
    count = tensor.shape[0] if tensor.shape else 0
    if count < 1 or tensor.shape[1:] not in ([], [1]):
        shape = clipped(str(tensor.shape[:50]))
        raise RefusalError(422, f"{INPUT} has shape {shape}; expected [n] or [n, 1], n > 0")
    data = tensor.data or []
    if len(tensor.shape) == 2 and all(isinstance(item, list) and len(item) == 1 for item in data):
        data = [item[0] for item in data]
    for index, item in enumerate(data):
        if not isinstance(item, str):
            raise RefusalError(422, f"{INPUT}: item {index} is {kind_of(item)}; expected a string")
    if len(data) != count:
        raise RefusalError(422, f"{INPUT} has shape {tensor.shape} and {len(data)} items; expected {count}")
    return data


def _explain(problem: Any) -> str:
    where = where_is(problem)
    match problem["type"]:
        case "missing":
            return f"{where} is missing"
        case "extra_forbidden":
            return f"{where} is not known"
    return f"{where or 'the body'} is {kind_of(problem['input'])}: {problem['msg'].lower()}"
