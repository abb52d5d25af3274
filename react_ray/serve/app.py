"""Ray Serve deployment: each replica is a process with one model."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import ray
from ray import serve
from ray.serve.exceptions import DeploymentUnavailableError

from react_ray.cluster.ray_private import replicas_asked
from react_ray.config.service import ServeConfig
from react_ray.serve.protocols.v2.grpc import InferenceMethods

if TYPE_CHECKING:
    from fastapi import FastAPI
    from prometheus_client.metrics_core import Metric

__all__ = ["DEPLOYMENT", "build", "build_application"]

DEPLOYMENT = "classifier"
SCRAPE_WITHIN_S = 2.0
"""Time limit for metrics of the other replicas: a request to a full replica waits in its queue."""
HEALTHY_WITHIN_S = 30.0
"""Time limit of a health check; a replica that fails three in a row is replaced."""


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
        name=DEPLOYMENT,
        **_number_of_replicas(config),
        user_config={"threshold": config.threshold},
        ray_actor_options={"num_cpus": cpus, "num_gpus": config.gpus_per_replica},
        max_ongoing_requests=config.max_ongoing,
        max_queued_requests=config.max_queued,
        backpressure_config={"status_code": 429, "retry_after_s": 1},
        health_check_timeout_s=HEALTHY_WITHIN_S,
        graceful_shutdown_timeout_s=config.drain_timeout_s,
        graceful_shutdown_wait_loop_s=0.2,  # Ray's 2 s would be most of the time a stop takes
        max_constructor_retry_count=1,  # a model that does not load once does not load
    )
    # Running replicas apply a changed threshold; other settings need new replicas.
    return configured(Replica).bind(model, config.model_copy(update={"threshold": 0.0}), version)


def _number_of_replicas(config: ServeConfig) -> dict[str, Any]:
    if config.max_replicas is None:
        return {"num_replicas": config.replicas}
    scaling = {
        "min_replicas": config.replicas,
        "max_replicas": config.max_replicas,
        "target_ongoing_requests": config.target_ongoing,
        "upscale_delay_s": 5,
        "downscale_delay_s": 60,
    }
    return {"autoscaling_config": scaling}


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
        from react_ray.serve.watch.metrics import render
        from react_ray.serve.watch.scrape import gather

        application = serve.get_replica_context().app_name
        everyone = serve.get_deployment_handle(DEPLOYMENT, application).broadcast("families")
        try:
            async with asyncio.timeout(SCRAPE_WITHIN_S):
                asked = await replicas_asked(everyone)
        except (TimeoutError, DeploymentUnavailableError):  # Serve does not know the others yet
            asked = []
        return render(*await gather(self.families(), asked, SCRAPE_WITHIN_S))
