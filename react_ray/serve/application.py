"""Applications that can be hosted: what they define, and what they get from the service around them."""

from __future__ import annotations

import asyncio
import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from fastapi import FastAPI

from react_ray.config.hosting import HostConfig
from react_ray.errors import InputError
from react_ray.serve.frame import Scrape, frame
from react_ray.serve.limits.gate import Gate
from react_ray.serve.limits.json_body import JsonBodies
from react_ray.serve.limits.refusal import RefusalError
from react_ray.serve.protocols.page import add_page
from react_ray.serve.watch.caller import current
from react_ray.serve.watch.metrics import RequestMetrics, render

__all__ = ["Host", "HostedApp", "LocalOwner", "Owner", "asgi_app", "create_app", "load_app", "open_owned"]

READY_WITHIN_S = 5.0
"""Seconds that an application may take to say that it is ready."""


class HostedApp(ABC):
    """Base class of applications that :func:`react_ray.serve_app` hosts; each replica makes one.

    Routes are plain FastAPI ones, with pydantic models as bodies. Before they run, the service has checked
    the key, the rate, and size, type and time of the body. ``fastapi.HTTPException`` and
    :class:`react_ray.InputError` (422) become ``{"error": ...}``.

    Attributes
    ----------
    title, description
        What the application is, for its documentation.
    version
        Version of what answers now, sent with every answer as ``x-model-version``.
    page
        HTML of the page at ``/``, in one file without external resources; a link to style.css is replaced by
        the styles of all pages. None: no page.
    pages
        Further pages by path. A browser brings no key, so they are open, as the one at ``/`` is.

    Example
    -------
    >>> class Greeting(HostedApp):
    ...     title = "Greeting"
    ...
    ...     def add_routes(self, app):
    ...         app.get("/hello")(lambda: "hello")
    >>> Greeting().version
    '1'
    """

    title: str = "react-ray"
    description: str = ""
    version: str = "1"
    page: str | None = None
    pages: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def add_routes(self, app: FastAPI) -> None:
        """Add the routes."""

    async def ready(self) -> bool:
        """Return whether it can answer; for /readyz."""
        return True

    def close(self) -> None:  # noqa: B027 - most applications hold nothing
        """Release what it holds; called when no request runs any more."""


class Owner(Protocol):
    """The one process that owns what replicas share, see :func:`react_ray.serve_app`.

    >>> store = Host(HostConfig(), owner=LocalOwner({"a": 1})).owner
    >>> asyncio.run(store.call("get", "a"))
    1
    """

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a public method of the owned object, and return its result or raise its error."""


@dataclass(frozen=True)
class Host:
    """What an application gets from the service around it.

    Attributes
    ----------
    config
        Settings of the service, of the class that was passed to :func:`react_ray.serve_app`.
    owner
        Calls methods of the owned object; without one, every call fails.
    metrics
        Metrics of the replica: ``metrics.add(collector)`` adds one of ``prometheus_client``.
    threads, use_gpu
        What the replica may compute with.

    Example
    -------
    >>> Host(HostConfig(port=8001)).config.port
    8001
    """

    config: HostConfig
    owner: Owner = field(default_factory=lambda: LocalOwner(None))
    metrics: RequestMetrics = field(default_factory=RequestMetrics)
    threads: int = 1
    use_gpu: bool = False

    def caller(self) -> str | None:
        """Return the name of the key of the current request; None where no keys are asked for."""
        return current().name


class LocalOwner:
    """Owner in this process."""

    def __init__(self, owned: object):
        self.owned = owned

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call the method; a coroutine is awaited, a plain method blocks all others."""
        if method.startswith("_") or not callable(function := getattr(self.owned, method, None)):
            raise AttributeError(f"{type(self.owned).__name__} has no public method {method!r}")
        result = function(*arguments)
        return await result if inspect.isawaitable(result) else result

    def close(self) -> None:
        """Close the owned object, if it can be closed."""
        if callable(close := getattr(self.owned, "close", None)):
            close()


def imported(path: str) -> Callable[..., Any]:
    """Import a function by ``package.module:name``. Raises InputError if there is none."""
    module, _, name = path.partition(":")
    try:
        function = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"{path}: expected package.module:function ({error})") from None
    if not callable(function):
        raise InputError(f"{path}: expected a function, found {type(function).__name__}")
    return function


def load_app(load: str, folder: str | Path, host: Host) -> HostedApp:
    """Call the function at the dotted path ``load`` with the folder and the host."""
    app = imported(load)(Path(folder), host)
    if not isinstance(app, HostedApp):
        raise InputError(f"{load}: expected a react_ray.HostedApp, got {type(app).__name__}")
    return app


def open_owned(owner: str, folder: str | Path, config: HostConfig) -> LocalOwner:
    """Call the function at the dotted path ``owner`` with the folder and the settings."""
    return LocalOwner(imported(owner)(Path(folder), config))


@dataclass
class _Inside:
    """An application in its frame."""

    app: HostedApp
    config: HostConfig
    metrics: RequestMetrics
    gate: Gate

    @property
    def version(self) -> str:
        """Version of what answers now."""
        return self.app.version

    async def state(self) -> dict[str, Any]:
        """Return details for /readyz; RefusalError 503 if the application is not ready."""
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                ready = await self.app.ready()
        except TimeoutError:
            ready = False
        if not ready:
            raise RefusalError(503, "the application is not ready")
        return {"version": self.app.version}


def asgi_app(app: HostedApp, host: Host, scrape: Scrape) -> FastAPI:
    """Build the application with its frame; ``scrape`` returns the metrics of all replicas."""
    inside = _Inside(app, host.config, host.metrics, Gate(host.config))

    def add_routes(api: FastAPI) -> None:
        api.add_middleware(JsonBodies, config=host.config)
        app.add_routes(api)
        for path, html in pages.items():
            add_page(api, path, html)

    pages = ({} if app.page is None else {"/": app.page}) | dict(app.pages)
    about = (app.description, app.title)
    return frame(inside, add_routes, inside.state, scrape, *about, bodies=host.config, pages=pages)


def create_app(
    load: str, folder: str | Path, config: HostConfig | None = None, *, owner: str | None = None
) -> FastAPI:
    """Create an application as a replica of :func:`react_ray.serve_app` would, in this process.

    For tests, and for other ASGI servers. The parameters are those of :func:`react_ray.serve_app`; the owned
    object is opened here and closed when the application shuts down.

    >>> create_app("nowhere:load", "folder")
    Traceback (most recent call last):
    react_ray.errors.InputError: nowhere:load: expected package.module:function (No module named 'nowhere')
    """
    config = config or HostConfig()
    owned = open_owned(owner, folder, config) if owner else LocalOwner(None)
    host = Host(config, owned)
    app = load_app(load, folder, host)

    async def scrape() -> bytes:
        return render({"local": host.metrics.families()})

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        app.close()
        owned.close()

    hosted = asgi_app(app, host, scrape)
    hosted.router.lifespan_context = lifespan
    return hosted
