"""HTTP application of a replica: routes, health checks, error responses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import HTTPException, RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.cors import CORSMiddleware

from react_ray.serve.limits.gate import GateMiddleware
from react_ray.serve.limits.refusal import RefusalError
from react_ray.serve.protocols.bulk import add_bulk
from react_ray.serve.protocols.described import describe_everywhere, refusals
from react_ray.serve.protocols.explain import add_explanation
from react_ray.serve.protocols.forms import Forms
from react_ray.serve.protocols.model import add_model
from react_ray.serve.protocols.page import add_page
from react_ray.serve.protocols.predict import add_prediction
from react_ray.serve.protocols.triples import add_triples
from react_ray.serve.protocols.v2.binary import HEADER
from react_ray.serve.protocols.v2.http import add_inference_v2
from react_ray.serve.service import NOT_READY, Service
from react_ray.serve.watch.metrics import CONTENT_TYPE
from react_ray.serve.watch.middleware import Watch
from react_ray.version import __version__

__all__ = ["build_app"]

DOCS = "/docs"


def build_app(service: Service, scrape: Callable[[], Awaitable[bytes]]) -> FastAPI:
    """Build the application; ``scrape`` returns the metrics of all replicas as Prometheus text."""
    app = FastAPI(
        title="react-ray",
        version=__version__,
        description=f"{service.task.title.capitalize()}. What the model finds, with its probability.",
        docs_url=None,
        redoc_url=None,
        servers=[{"url": "."}],  # as seen from openapi.json, whatever prefix a proxy puts before it
        root_path_in_servers=False,
        redirect_slashes=False,
    )
    _add_middleware(app, service)
    app.add_exception_handler(RefusalError, _refuse)
    app.add_exception_handler(StarletteHTTPException, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse)
    add_prediction(app, service)
    add_triples(app, service)
    add_explanation(app, service)
    add_model(app, service)
    add_bulk(app, service)
    add_inference_v2(app, service)
    _add_health(app, service, scrape)
    add_page(app, "/", "try.html")
    add_page(app, DOCS, "docs.html")
    describe_everywhere(app)
    return app


def _add_middleware(app: FastAPI, service: Service) -> None:
    """Add the middleware of all routes, innermost first."""
    config = service.config
    app.add_middleware(GateMiddleware, gate=service.gate)
    app.add_middleware(Forms, pages={DOCS})
    app.add_middleware(Watch, config=config, metrics=service.metrics, version=service.about.version)
    if config.cors_origins:  # around all others, so that pages can read what is refused, too
        app.add_middleware(
            CORSMiddleware,
            allow_origins=config.cors_origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["authorization", "content-type", "x-request-id", HEADER],
            expose_headers=["retry-after", "x-model-version", "x-request-id", HEADER],
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


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, RefusalError):
        return JSONResponse({"error": error.message}, error.status, headers=error.headers)
    if isinstance(error, RequestValidationError):  # of the path and the query
        problem = error.errors()[0]
        return JSONResponse({"error": f"{problem['loc'][-1]}: {problem['msg'].lower()}"}, 422)
    assert isinstance(error, StarletteHTTPException)
    headers = dict(error.headers or {})
    if headers.get("Allow") == "GET":
        headers["Allow"] = "GET, HEAD"
    return JSONResponse({"error": error.detail}, error.status_code, headers=headers)
