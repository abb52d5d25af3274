"""HTTP routes of the open inference protocol, version 2."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from react_ray.serve.limits.body import BINARY, JSON, check_content_type, read_body
from react_ray.serve.protocols.described import refusals
from react_ray.serve.protocols.examples import answer_example
from react_ray.serve.protocols.predict import described_limits
from react_ray.serve.protocols.v2.binary import HEADER, binary_answer, fill, header_length, wants_binary
from react_ray.serve.protocols.v2.tensors import (
    ANSWER,
    MODEL,
    MODEL_VERSION,
    SERVER,
    InferAnswer,
    InferRequest,
    check_model,
    infer,
    metadata,
    parse_infer,
    request_example,
)
from react_ray.serve.service import NOT_READY, Service

__all__ = ["add_inference_v2"]

TAG = "Open inference protocol v2"


class ServerMetadata(BaseModel):
    """The server, and its extensions of the protocol."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """A tensor; -1 stands for any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """Inputs and outputs of the model; ``parameters.labels`` are its classes."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: dict[str, Any]


def add_inference_v2(app: FastAPI, service: Service) -> None:
    """Add the routes below ``/v2``."""
    _add_server(app, service)
    for path, check in MODELS.items():
        _add_model(app, service, path, check)
        _add_infer(app, service, path, check)


def _add_server(app: FastAPI, service: Service) -> None:
    @app.get("/v2", tags=[TAG], summary="The server", response_model=ServerMetadata)
    async def server() -> dict[str, Any]:
        return SERVER

    @app.get("/v2/health/live", tags=[TAG], summary="Whether the process is alive")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @app.get(
        "/v2/health/ready",
        tags=[TAG],
        summary="Whether the model answers",
        responses=refusals({503: "The model did not answer in time"}),
    )
    async def ready() -> dict[str, bool]:
        await _require_ready(service)
        return {"ready": True}


async def _model(name: str) -> None:
    check_model(name)


async def _version(name: str, version: str) -> None:
    check_model(name, version)


MODELS: dict[str, Callable[..., Awaitable[None]]] = {
    "/v2/models/{name}": _model,
    "/v2/models/{name}/versions/{version}": _version,
}
"""Paths of the model, each with the check that it is the served one."""


def _add_model(app: FastAPI, service: Service, path: str, check: Callable[..., Awaitable[None]]) -> None:
    missing = {404: f"The model is called {MODEL}, its version {MODEL_VERSION}"}

    @app.get(
        path,
        tags=[TAG],
        summary="What the model takes and gives, and its labels",
        response_model=ModelMetadata,
        dependencies=[Depends(check)],
        responses={
            200: {"content": {"application/json": {"example": metadata(service.task, service.labels)}}},
            **refusals(missing),
        },
    )
    async def model() -> dict[str, Any]:
        return metadata(service.task, service.labels)

    @app.get(
        f"{path}/ready",
        tags=[TAG],
        summary="Whether the model answers",
        dependencies=[Depends(check)],
        responses=refusals(missing | {503: "The model did not answer in time"}),
    )
    async def model_ready() -> dict[str, Any]:
        await _require_ready(service)
        return {"name": MODEL, "ready": True}


def _add_infer(app: FastAPI, service: Service, path: str, check: Callable[..., Awaitable[None]]) -> None:
    schema = inlined_schema(InferRequest) | {"examples": [request_example(service.task)]}
    content = {"application/json": {"schema": schema}}
    description = f"The output {ANSWER!r} is the answer of POST /predict to each input, as JSON."
    if service.task.answers == "label":
        description = "An input whose best label scores less than the service's threshold has an empty label."

    @app.post(
        f"{path}/infer",
        tags=[TAG],
        summary="Answer the inputs in tensors",
        description=description,
        dependencies=[Depends(check)],
        responses=_described_answers(service),
        openapi_extra={"requestBody": {"required": True, "content": content}},
    )
    async def infer_texts(request: Request) -> Response:
        return await _infer(request, service)


async def _infer(request: Request, service: Service) -> Response:
    config = service.config
    # Triton's client names no type. A browser does not say what it sends on behalf of a page of another
    # site either, where the page wants it so, but then it names the site.
    if "content-type" in request.headers or "origin" in request.headers:
        check_content_type(request.headers, BINARY if HEADER in request.headers else JSON)
    body = await read_body(request, config)
    length = header_length(request.headers, body)
    infer_request = parse_infer(body[:length], config)
    fill(infer_request, None if length is None else body[length:], config.max_texts)
    answer = await infer(infer_request, service)
    parts = list(binary_answer(answer, wants_binary(infer_request, answer)))
    response = await service.apart(len(body), lambda: JSONResponse(answer.model_dump(exclude_none=True)))
    if not parts:
        return response
    headers = {HEADER: str(len(response.body))}
    return Response(b"".join([response.body, *parts]), media_type=BINARY, headers=headers)


def inlined_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of ``model`` without references, for a body that the route parses itself."""
    schema = model.model_json_schema()
    parts = schema.pop("$defs", {})

    def inline(node: Any) -> Any:
        if isinstance(node, dict):
            name = str(node.get("$ref", "")).rpartition("/")[2]
            return inline(parts[name]) if name in parts else {k: inline(v) for k, v in node.items()}
        return [inline(item) for item in node] if isinstance(node, list) else node

    inlined: dict[str, Any] = inline(schema)
    return inlined


def _described_answers(service: Service) -> dict[int | str, dict[str, Any]]:
    config = service.config
    outputs: list[dict[str, Any]] = [
        {"name": "label", "datatype": "BYTES", "shape": [1], "data": service.labels[:1]},
        {"name": "score", "datatype": "FP32", "shape": [1], "data": [0.9]},
    ]
    if service.task.answers != "label":
        shown = json.dumps(answer_example(service.task, service.labels), ensure_ascii=False)
        outputs = [{"name": ANSWER, "datatype": "BYTES", "shape": [1], "data": [shown]}]
    example = {"model_name": MODEL, "model_version": "1", "id": "7", "outputs": outputs}
    refused = {
        400: "Not JSON in UTF-8",
        408: f"No body within {config.body_timeout_s:g} s",
        404: f"The model is called {MODEL}, its version {MODEL_VERSION}",
        413: f"Over the limits: {described_limits(service)}",
        415: f"Not {JSON}, nor {BINARY} with {HEADER}",
        422: "Not the tensors of an input, or an output that is not there",
        500: "The model failed; the number leads to the server's log",
    }
    return {
        200: {
            "model": InferAnswer,
            "content": {
                "application/json": {"example": example},
                BINARY: {"schema": {"type": "string", "format": "binary"}},
            },
        },
        **refusals(refused),
    }


async def _require_ready(service: Service) -> None:
    if not await service.ready():
        raise HTTPException(503, NOT_READY)
