"""The HTTP application of a replica: routes, answers to errors, request counts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import HTTPException, RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from react_ray.config import ServeConfig
from react_ray.serve.about import Limits, Model
from react_ray.serve.body import check_content_type, read_body
from react_ray.serve.bulk import add_bulk
from react_ray.serve.described import describe_everywhere, refusals
from react_ray.serve.explain_route import add_explanation
from react_ray.serve.gate import GateMiddleware
from react_ray.serve.inference_v2 import add_inference_v2
from react_ray.serve.metrics import CONTENT_TYPE
from react_ray.serve.protocol import PredictRequest, RefusalError, Score, answer, parse_request
from react_ray.serve.service import NOT_READY, Service
from react_ray.serve.watch import Watch
from react_ray.version import __version__

__all__ = ["build_app"]

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


def build_app(service: Service, scrape: Callable[[], Awaitable[bytes]]) -> FastAPI:
    """The application; ``scrape`` gives the metrics of all replicas as Prometheus text."""
    app = FastAPI(
        title="react-ray",
        version=__version__,
        description="Text classification. Labels and their probabilities, best first.",
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(GateMiddleware, gate=service.gate)
    # The last one is the outermost.
    app.add_middleware(Watch, config=service.config, metrics=service.metrics, version=service.about.version)
    app.add_exception_handler(RefusalError, _refuse)
    app.add_exception_handler(StarletteHTTPException, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse)
    _add_prediction(app, service)
    add_explanation(app, service)
    _add_model(app, service)
    add_bulk(app, service)
    add_inference_v2(app, service)
    _add_health(app, service, scrape)
    _add_page(app, "/", "try.html")
    _add_page(app, "/docs", "docs.html")
    describe_everywhere(app)
    return app


def _add_prediction(app: FastAPI, service: Service) -> None:
    content = {"application/json": {"schema": PredictRequest.model_json_schema()}}

    @app.post(
        "/predict",
        summary="Classify one text or several",
        responses=_described_answers(service.config, service.labels),
        openapi_extra={"requestBody": {"required": True, "content": content}},
    )
    async def predict(request: Request) -> Response:
        check_content_type(request.headers, "application/json")
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


def _add_model(app: FastAPI, service: Service) -> None:
    @app.get("/model", summary="What is served, and what may be asked of it")
    async def model() -> Model:
        limits = {
            **service.config.model_dump(include=set(Limits.model_fields)),
            "threshold": service.threshold,
        }
        return Model(
            labels=service.labels,
            version=service.about.version,
            engine=service.about.engine,
            max_length=service.max_length,
            limits=Limits(**limits),
            card=service.about.card,
        )


def _add_health(app: FastAPI, service: Service, scrape: Callable[[], Awaitable[bytes]]) -> None:
    @app.get("/healthz", summary="Whether the process is alive")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get(
        "/readyz",
        summary="Whether the model answers",
        responses=refusals({503: "The model did not answer in time"}),
    )
    async def readyz() -> dict[str, Any]:
        if not await service.ready():
            raise HTTPException(503, NOT_READY)
        return {"status": "ready", "labels": service.labels, "engine": service.about.engine}

    @app.get(
        "/metrics",
        summary="Counts for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        return Response(await scrape(), media_type=CONTENT_TYPE)


def _add_page(app: FastAPI, path: str, name: str) -> None:
    html = (resources.files("react_ray.serve") / "static" / name).read_text(encoding="utf-8")

    @app.get(path, include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(html, headers=PAGE_HEADERS)


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, RefusalError):
        return JSONResponse({"error": error.message}, error.status, headers=error.headers)
    if isinstance(error, RequestValidationError):  # of the path and the query
        problems = [f"{problem['loc'][-1]}: {problem['msg'].lower()}" for problem in error.errors()]
        return JSONResponse({"error": "; ".join(problems)}, 422)
    assert isinstance(error, StarletteHTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)
