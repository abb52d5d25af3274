"""Frame of every HTTP application: gate, request ids, metrics, health checks, documentation, errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Protocol

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.cors import CORSMiddleware

from react_ray.config.hosting import HostConfig
from react_ray.errors import InputError
from react_ray.serve.limits.gate import Gate, GateMiddleware
from react_ray.serve.limits.refusal import RefusalError
from react_ray.serve.protocols.described import describe_everywhere, refusals
from react_ray.serve.protocols.forms import Forms
from react_ray.serve.protocols.page import add_static_page
from react_ray.serve.watch.metrics import CONTENT_TYPE
from react_ray.serve.watch.middleware import Watch, Watched
from react_ray.version import __version__

__all__ = ["Framed", "Scrape", "frame"]

DOCS = "/docs"
Scrape = Callable[[], Awaitable[bytes]]
"""Returns the metrics of all replicas as Prometheus text."""


class Framed(Watched, Protocol):
    """An application, as the frame around it needs it."""

    @property
    def gate(self) -> Gate:
        """Keys and rates."""


State = Callable[[], Awaitable[dict[str, Any]]]
"""Returns details for /readyz; RefusalError 503 if the service does not answer."""


def frame(
    inside: Framed,
    add_routes: Callable[[FastAPI], None],
    state: State,
    scrape: Scrape,
    description: str,
    title: str = "react-ray",
    headers: Sequence[str] = (),
    bodies: HostConfig | None = None,
    pages: Collection[str] = (),
) -> FastAPI:
    """Build the application with the routes that ``add_routes`` adds.

    ``headers`` are further ones that pages of other origins may send and read. ``bodies`` are the limits of
    all bodies, where routes do not describe their own. ``pages`` are paths that need no key.
    """
    app = FastAPI(
        title=title,
        version=__version__,
        description=description,
        docs_url=None,
        redoc_url=None,
        servers=[{"url": "."}],  # as seen from openapi.json, whatever prefix a proxy puts before it
        root_path_in_servers=False,
        redirect_slashes=False,
    )
    for kind in (RefusalError, InputError, StarletteHTTPException, RequestValidationError):
        app.add_exception_handler(kind, _refuse)
    add_routes(app)
    _add_middleware(app, inside, headers, pages)
    _add_health(app, state, scrape)
    add_static_page(app, DOCS, "docs.html")
    describe_everywhere(app, bodies)
    return app


def _add_middleware(app: FastAPI, inside: Framed, headers: Sequence[str], pages: Collection[str]) -> None:
    """Add the middleware of all routes, innermost first; that of ``add_routes`` is inside of it."""
    config = inside.config
    app.add_middleware(GateMiddleware, gate=inside.gate, pages=pages)
    app.add_middleware(Forms, pages={DOCS})
    app.add_middleware(Watch, inside=inside)
    if config.cors_origins:  # around all others, so that pages can read what is refused, too
        app.add_middleware(
            CORSMiddleware,
            allow_origins=config.cors_origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["authorization", "content-type", "x-request-id", *headers],
            expose_headers=["retry-after", "x-model-version", "x-request-id", *headers],
        )


def _add_health(app: FastAPI, state: State, scrape: Scrape) -> None:
    @app.get("/healthz", summary="Whether the process is alive")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get(
        "/readyz",
        summary="Whether the service answers",
        responses=refusals({503: "It did not answer in time"}),
    )
    async def readyz() -> dict[str, Any]:
        return {"status": "ready", **await state()}

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
        return error.response()
    if isinstance(error, InputError):
        return RefusalError(422, str(error)).response()
    if isinstance(error, RequestValidationError):  # of the path, the query and bodies that FastAPI parses
        return _invalid(error)
    assert isinstance(error, StarletteHTTPException)
    headers = dict(error.headers or {})
    if headers.get("Allow") == "GET":
        headers["Allow"] = "GET, HEAD"
    return JSONResponse({"error": error.detail}, error.status_code, headers=headers)


def _invalid(error: RequestValidationError) -> Response:
    problem = error.errors()[0]
    if problem["type"] == "json_invalid":
        return RefusalError(400, "the body is not JSON in UTF-8").response()
    place = ".".join(map(str, problem["loc"][1:])) or str(problem["loc"][-1])
    message = problem["msg"][0].lower() + problem["msg"][1:]  # a pattern in it keeps its capitals
    return RefusalError(422, f"{place}: {message}").response()
