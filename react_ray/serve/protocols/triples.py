"""POST /triples: related entities of an input; only for services with a relation model."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from react_ray.serve.engine.relations import MOST_QUESTIONS, PairsError
from react_ray.serve.limits.body import JSON, check_content_type, read_body
from react_ray.serve.limits.refusal import RefusalError
from react_ray.serve.protocols.described import refusals
from react_ray.serve.protocols.examples import request_schema
from react_ray.serve.protocols.messages import PredictRequest, answer, parse_request
from react_ray.serve.protocols.predict import described_refusals
from react_ray.serve.service import Service

__all__ = ["add_triples"]

TOO_MANY = (
    f"inputs: the texts have too many pairs of entities; at most {MOST_QUESTIONS} rows of the relation model "
    "are computed for a request: send fewer texts"
)
TOP_K = "Most triples of an answer: the surest, in the order of the text. All if left out"
PLACE = {"type": "integer", "description": "A character (code point); the end is behind the last one"}
TRIPLE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "head": {"type": "string"},
        "relation": {"type": "string"},
        "tail": {"type": "string"},
        "score": {"type": "number", "description": "Of both entities and the relation, multiplied"},
        "head_entity_group": {"type": "string"},
        "head_start": PLACE,
        "head_end": PLACE,
        "tail_entity_group": {"type": "string"},
        "tail_start": PLACE,
        "tail_end": PLACE,
    },
}
TRIPLE["required"] = list(TRIPLE["properties"])
EXAMPLE = {
    "head": "Ada",
    "relation": "lives in",
    "tail": "Paris",
    "score": 0.8,
    "head_entity_group": "PER",
    "head_start": 0,
    "head_end": 3,
    "tail_entity_group": "LOC",
    "tail_start": 13,
    "tail_end": 18,
}


def add_triples(app: FastAPI, service: Service) -> None:
    """Add the route, if the service has a relation model."""
    if service.relations is None:
        return
    schema = request_schema(service.task, PredictRequest.model_json_schema(), TOP_K)

    @app.post(
        "/triples",
        summary="Which entities of an input or of several relate, and how",
        responses=_described_answers(service),
        openapi_extra={
            "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}
        },
    )
    async def triples(request: Request) -> Response:
        check_content_type(request.headers, JSON)
        body = await read_body(request, service.config)
        parsed = partial(parse_request, body, service.config, service.task)
        query, rows = await service.apart(len(body), parsed)
        try:
            results = await service.triples(rows, query.top_k, query.threshold)
        except PairsError:
            raise RefusalError(413, TOO_MANY) from None
        return await service.apart(len(body), lambda: JSONResponse(answer(query, results)))


def _described_answers(service: Service) -> dict[int | str, dict[str, Any]]:
    entries = {"type": "array", "items": TRIPLE}
    pairs = f"In the order of the text; the {service.config.max_pairs} nearest pairs are classified"
    return {
        200: {
            "description": f"One list for an input, one per input for a list. {pairs}",
            "content": {
                "application/json": {
                    "schema": {"anyOf": [entries, {"type": "array", "items": entries}]},
                    "example": [EXAMPLE],
                }
            },
        },
        **refusals(described_refusals(service)),
    }
