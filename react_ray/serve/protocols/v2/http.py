"""The routes of the open inference protocol, version 2, which clients of other servers speak."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from react_ray.serve.limits.body import check_content_type, read_body
from react_ray.serve.limits.refusal import RefusalError
from react_ray.serve.protocols.described import refusals
from react_ray.serve.protocols.v2.tensors import (
    MODEL,
    SERVER,
    InferAnswer,
    InferRequest,
    check_model,
    infer,
    metadata,
    parse_infer,
)
from react_ray.serve.service import NOT_READY, Service

__all__ = ["add_inference_v2"]

TAG = "Open inference protocol v2"


class ServerMetadata(BaseModel):
    """The server, and what it does beyond the protocol."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """A tensor; -1 stands for any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """What the model takes and gives; ``parameters.labels`` are the columns of ``probabilities``."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: dict[str, Any]


def add_inference_v2(app: FastAPI, service: Service) -> None:
    """Add the routes below ``/v2``."""
    _add_server(app, service)
    _add_model(app, service)
    _add_infer(app, service)


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


def _add_model(app: FastAPI, service: Service) -> None:
    missing = {404: f"The model is called {MODEL}"}

    @app.get(
        "/v2/models/{name}",
        tags=[TAG],
        summary="What the model takes and gives, and its labels",
        response_model=ModelMetadata,
        responses={
            200: {"content": {"application/json": {"example": metadata(service.labels)}}},
            **refusals(missing),
        },
    )
    async def model(name: str) -> dict[str, Any]:
        check_model(name)
        return metadata(service.labels)

    @app.get(
        "/v2/models/{name}/ready",
        tags=[TAG],
        summary="Whether the model answers",
        responses=refusals(missing | {503: "The model did not answer in time"}),
    )
    async def model_ready(name: str) -> dict[str, Any]:
        check_model(name)
        await _require_ready(service)
        return {"name": name, "ready": True}


def _add_infer(app: FastAPI, service: Service) -> None:
    content = {"application/json": {"schema": inlined_schema(InferRequest)}}

    @app.post(
        "/v2/models/{name}/infer",
        tags=[TAG],
        summary="Classify the texts of a tensor",
        description="A text whose best label scores less than the service's threshold has an empty label.",
        responses=_described_answers(service),
        openapi_extra={"requestBody": {"required": True, "content": content}},
    )
    async def infer_texts(name: str, request: Request) -> Response:
        check_model(name)
        if "inference-header-content-length" in request.headers:
            raise RefusalError(415, "binary tensors are not taken; expected tensors as JSON")
        check_content_type(request.headers, "application/json")
        answer = await infer(parse_infer(await read_body(request, service.config)), service)
        return JSONResponse(answer.model_dump(exclude_none=True))


def inlined_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of ``model`` in one piece, for a request body that the route parses itself."""
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
    outputs = [
        {"name": "label", "datatype": "BYTES", "shape": [1], "data": service.labels[:1]},
        {"name": "score", "datatype": "FP32", "shape": [1], "data": [0.9]},
    ]
    example = {"model_name": MODEL, "model_version": "1", "id": "7", "outputs": outputs}
    limits = f"{config.max_body_bytes} bytes, {config.max_texts} texts, {config.max_chars} characters a text"
    refused = {
        400: "Not JSON in UTF-8",
        408: f"No body within {config.body_timeout_s:g} s",
        404: f"The model is called {MODEL}",
        413: f"Over the limits: {limits}",
        415: "Not application/json, or binary tensors",
        422: "Not the tensor of texts, or an output that is not there",
        500: "The model failed; the number leads to the server's log",
    }
    return {
        200: {"model": InferAnswer, "content": {"application/json": {"example": example}}},
        **refusals(refused),
    }


async def _require_ready(service: Service) -> None:
    if not await service.ready():
        raise HTTPException(503, NOT_READY)
