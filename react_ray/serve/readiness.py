"""Hosted applications: what they are, where they answer, and what they wait for until they do."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from react_ray.config.hosting import HostConfig
from react_ray.errors import ClusterError, InputError
from react_ray.serve.replicas import reason_of

if TYPE_CHECKING:
    from ray.serve import Application

__all__ = ["Hosted", "first_missing", "url_of", "wait_until_ready"]

SAY_EVERY_S = 10.0
"""Seconds between two progress messages."""


@dataclass(frozen=True)
class Hosted:
    """An application to host.

    Attributes
    ----------
    name, route
        Name of the application in Ray Serve, and prefix of its paths.
    deployment
        Name of the deployment that answers requests.
    build
        Builds the application, with this number of cores for each replica.
    what
        What it is, for messages.
    """

    name: str
    route: str
    deployment: str
    build: Callable[[float], Application]
    what: str = "application"


def wait_until_ready(missing: Callable[[], str | None], within_s: float, say: Callable[[str], None]) -> None:
    """Wait until ``missing`` returns None; ClusterError after ``within_s`` seconds."""
    started = said = time.monotonic()
    while waiting_for := missing():
        now = time.monotonic()
        if now - started > within_s:
            raise ClusterError(
                f"not ready after {within_s:g} s: still waiting for {waiting_for}\n"
                f"On a loaded machine give it longer (start_timeout_s={2 * within_s:g}); "
                "--verbose shows Ray's logs."
            )
        if now - said > SAY_EVERY_S:
            said = now
            say(f"  {now - started:.0f} s: waiting for {waiting_for}")
        time.sleep(0.1)


def first_missing(applications: Sequence[Hosted], config: HostConfig, local: bool) -> str | None:
    """Return what the first application that is not ready waits for."""
    return next(filter(None, (_missing(hosted, config, local) for hosted in applications)), None)


def _missing(hosted: Hosted, config: HostConfig, local: bool) -> str | None:
    """Return what an application waits for; None when it answers. InputError if it cannot start."""
    from ray import serve as ray_serve

    application = ray_serve.status().applications.get(hosted.name)
    if application is None:
        return "Ray Serve to take the application"
    deployment = application.deployments.get(hosted.deployment)
    state = deployment.message if deployment else ""
    if application.status in ("DEPLOY_FAILED", "UNHEALTHY"):
        failed = [
            deployment.message
            for deployment in application.deployments.values()
            if "Error" in deployment.message
        ]
        reason = reason_of(next(iter(failed), state or application.message))
        raise InputError(f"the {hosted.what} cannot be served: {reason}")
    if application.status != "RUNNING":
        waiting = f"{config.replicas} replica(s) to load the {hosted.what}"
        return f"{waiting}. {state.partition(chr(10))[0]}".strip()
    ready = f"{url_of(config, hosted.route)}/readyz"
    return f"an answer from {ready}" if local and not _answers(ready) else None


def _answers(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever HTTP_PROXY says
    try:
        with direct.open(url, timeout=10):
            return True
    except OSError:  # an answer that is an error is one too
        return False


def url_of(config: HostConfig, route: str) -> str:
    """Return the URL of an application on this machine, without a slash at the end."""
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.host, config.host)
    address = f"[{address}]" if ":" in address else address
    return f"http://{address}:{config.port}{route.rstrip('/')}"
