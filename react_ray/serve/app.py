"""Ray Serve deployment: each replica is a process with one model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ray
from ray import serve

from react_ray.config.service import ServeConfig
from react_ray.serve.deployment import HEALTHY_WITHIN_S, deployment_options, scrape_all
from react_ray.serve.protocols.v2.grpc import InferenceMethods

if TYPE_CHECKING:
    from fastapi import FastAPI
    from prometheus_client.metrics_core import Metric

__all__ = ["DEPLOYMENT", "build", "build_application"]

DEPLOYMENT = "classifier"


class _Arguments(ServeConfig):
    host: str = ""  # configured in Serve itself
    model: str
    version: str | None = None


def build(arguments: dict[str, Any]) -> serve.Application:
    """Build the application for configuration files of Serve: ``react_ray.serve.app:build``.

    ``arguments`` are ``model``, a folder that every node can read, its ``version``, and the
    settings of ServeConfig except the address, which belongs to Serve itself. A changed
    version makes Serve replace the model; without one, any version is loaded.
    """
    config = _Arguments.model_validate(arguments)
    return build_application(config.model, config, config.cpus_per_replica or 1, config.version)


def build_application(
    model: str, config: ServeConfig, cpus: float, version: str | None = None
) -> serve.Application:
    """Build the application that serves the model in folder ``model`` with ``cpus`` cores per replica."""
    configured = serve.deployment(
        name=DEPLOYMENT, user_config={"threshold": config.threshold}, **deployment_options(config, cpus)
    )
    # Running replicas apply a changed threshold; other settings need new replicas.
    return configured(Replica).bind(model, config.model_copy(update={"threshold": 0.0}), version)


@serve.ingress()
class Replica(InferenceMethods):
    """Deployment class that loads and warms up the model before Serve sends requests.

    Torch is imported inside and not at the top, because the process that starts the
    service does not need it, which saves seconds.
    """

    def __init__(self, model: str, config: ServeConfig, version: str | None = None):
        from react_ray.serve.service import Service
        from react_ray.serve.watch.access import keep_private

        keep_private()
        owned = ray.get_runtime_context().get_assigned_resources()
        threads, use_gpu = max(1, int(owned.get("CPU", 1))), owned.get("GPU", 0) > 0
        self._service = Service.load(model, config, threads, use_gpu, version)

    def __serve_build_asgi_app__(self) -> FastAPI:
        from react_ray.serve.web import build_app

        return build_app(self._service, self.scrape)

    def reconfigure(self, settings: dict[str, Any]) -> None:
        """Apply ``user_config``: before the first request, and whenever it changes."""
        self._service.threshold = settings["threshold"]

    def __del__(self) -> None:
        """Close the service; Serve calls this after running requests are done."""
        if hasattr(self, "_service"):  # none where the model did not load
            self._service.close()

    async def check_health(self) -> None:
        """Health check, called by Serve every 10 seconds: predict a text ahead of the queue."""
        if not await self._service.answers(HEALTHY_WITHIN_S):
            raise RuntimeError("the model does not answer")

    def families(self) -> tuple[str, list[Metric]]:
        """Return the name and the metrics of this replica."""
        return serve.get_replica_context().replica_tag, self._service.metrics.families()

    async def scrape(self) -> bytes:
        """Return the metrics of all replicas that answer in time, and the number of the others."""
        return await scrape_all(DEPLOYMENT, self.families())
