"""POST /predict: the labels of a text or of several."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from react_ray.config.service import ServeConfig
from react_ray.serve.limits.body import JSON, check_content_type, read_body
from react_ray.serve.protocols.described import refusals
from react_ray.serve.protocols.messages import PredictRequest, Score, answer, parse_request
from react_ray.serve.service import Service

__all__ = ["add_prediction"]


def add_prediction(app: FastAPI, service: Service) -> None:
    """Add the route."""
    content = {"application/json": {"schema": PredictRequest.model_json_schema()}}

    @app.post(
        "/predict",
        summary="Classify one text or several",
        responses=_described_answers(service.config, service.labels),
        openapi_extra={"requestBody": {"required": True, "content": content}},
    )
    async def predict(request: Request) -> Response:
        check_content_type(request.headers, JSON)
        wanted = parse_request(await read_body(request, service.config), service.config)
        return JSONResponse(
            answer(wanted, await service.predict(wanted.texts, wanted.top_k, wanted.threshold))
        )


def _described_answers(config: ServeConfig, labels: list[str]) -> dict[int | str, dict[str, Any]]:
    example = [{"label": label, "score": score} for label, score in zip(labels, (0.9, 0.1), strict=False)]
    limits = f"{config.max_body_bytes} bytes, {config.max_texts} texts, {config.max_chars} characters a text"
    refused = {
        400: "Not JSON in UTF-8",
        408: f"No body within {config.body_timeout_s:g} s",
        413: f"Over the limits: {limits}",
        415: "Not application/json",
        422: "Not a text or a list of texts",
        500: "The model failed; the number leads to the server's log",
    }
    return {
        200: {
            "model": list[Score] | list[list[Score]],
            "description": "Best first: one list for a string, one per text for a list",
            "content": {"application/json": {"example": example}},
        },
        **refusals(refused),
    }
