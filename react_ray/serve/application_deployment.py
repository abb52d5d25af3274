"""Ray Serve deployments of an application: replicas that answer, and one owner of what they share."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from react_ray.config.hosting import HostConfig
from react_ray.errors import InputError
from react_ray.serve.application import Host, LocalOwner, asgi_app, imported, load_app, open_owned
from react_ray.serve.deployment import HEALTHY_WITHIN_S, deployment_options, scrape_all
from react_ray.serve.limits.refusal import RefusalError
from react_ray.serve.watch.access import keep_private

if TYPE_CHECKING:
    from fastapi import FastAPI
    from prometheus_client.metrics_core import Metric

__all__ = ["DEPLOYMENT", "build", "build_hosted"]

DEPLOYMENT, OWNER = "application", "owner"
LOCK = ".owner.lock"
LOCK_WITHIN_S = 60.0
"""Seconds to wait for the end of an owner that is being replaced."""


def build(arguments: dict[str, Any]) -> serve.Application:
    """Build the application for configuration files of Serve.

    ``arguments`` are ``load``, ``folder`` and ``owner`` as in :func:`react_ray.serve_app`, ``config``, the
    dotted path of the class of the settings, and ``settings``, without the address.
    """
    kind: Any = imported(arguments["config"])
    config = kind.model_validate(arguments["settings"]).model_copy(
        update={"host": ""}
    )  # that of Serve itself
    cpus = config.cpus_per_replica or 1
    return build_hosted(arguments["load"], arguments["folder"], config, cpus, arguments.get("owner"))


def build_hosted(
    load: str, folder: str, config: HostConfig, cpus: float, owner: str | None
) -> serve.Application:
    """Build the application with ``cpus`` cores per replica."""
    replicas = serve.deployment(name=DEPLOYMENT, **deployment_options(config, cpus))(AppReplica)
    if owner is None:
        return replicas.bind(load, folder, config)
    owner_deployment = serve.deployment(
        name=OWNER,
        num_replicas=1,
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=config.max_ongoing * (config.max_replicas or config.replicas),
        health_check_timeout_s=HEALTHY_WITHIN_S,
        graceful_shutdown_timeout_s=config.drain_timeout_s,
        graceful_shutdown_wait_loop_s=0.2,
        max_constructor_retry_count=1,
    )(AppOwner)
    return replicas.bind(load, folder, config, owner_deployment.bind(owner, folder, config))


class AppOwner:
    """Deployment class of the owner; a lock on the folder keeps a second one away."""

    def __init__(self, owner: str, folder: str, config: HostConfig):
        keep_private()
        self._lock = _locked(Path(folder))
        self._owned = open_owned(owner, folder, config)

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a public method of the owned object."""
        return await self._owned.call(method, *arguments)

    def __del__(self) -> None:
        """Close the owned object; Serve calls this after running calls are done."""
        if hasattr(self, "_owned"):
            self._owned.close()

    async def check_health(self) -> None:
        """Health check, called by Serve: it fails if calls block for long."""


def _locked(folder: Path) -> int:
    """Lock the folder for as long as this process lives. Raises InputError if another service has it."""
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + LOCK_WITHIN_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except OSError:
            if time.monotonic() > deadline:
                raise InputError(f"{folder}: another service writes to this folder; stop it first") from None
            time.sleep(0.2)


class RemoteOwner:
    """The owner, as replicas call it."""

    def __init__(self, handle: DeploymentHandle):
        self._handle = handle

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call the method; RefusalError 503 while the owner is being started again.

        A call that ends so may have been carried out or not.
        """
        try:
            return await self._handle.call.remote(method, *arguments)
        except RayTaskError as error:
            raise error.cause from None
        except (RayError, RayServeException):
            message = "the owner of the data does not answer; come again in 1 s"
            raise RefusalError(503, message, {"retry-after": "1"}) from None


@serve.ingress()
class AppReplica:
    """Deployment class that loads the application before Serve sends requests."""

    def __init__(self, load: str, folder: str, config: HostConfig, owner: DeploymentHandle | None = None):
        keep_private()
        assigned = ray.get_runtime_context().get_assigned_resources()
        to_owner = RemoteOwner(owner) if owner else LocalOwner(None)
        threads, use_gpu = max(1, int(assigned.get("CPU", 1))), assigned.get("GPU", 0) > 0
        self._host = Host(config, to_owner, threads=threads, use_gpu=use_gpu)
        self._app = load_app(load, folder, self._host)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return asgi_app(self._app, self._host, self.scrape)

    def __del__(self) -> None:
        """Close the application; Serve calls this after running requests are done."""
        if hasattr(self, "_app"):
            self._app.close()

    async def check_health(self) -> None:
        """Health check, called by Serve: it fails if the event loop is blocked for long."""

    def families(self) -> tuple[str, list[Metric]]:
        """Return the name and the metrics of this replica."""
        return serve.get_replica_context().replica_tag, self._host.metrics.families()

    async def scrape(self) -> bytes:
        """Return the metrics of all replicas that answer in time, and the number of the others."""
        return await scrape_all(DEPLOYMENT, self.families())
