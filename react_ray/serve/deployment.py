"""What deployments of all applications share: options of Ray Serve, and metrics of all replicas."""

from __future__ import annotations

import asyncio
from typing import Any

from ray import serve
from ray.serve.exceptions import DeploymentUnavailableError

from react_ray.cluster.ray_private import broadcast_results
from react_ray.config.hosting import HostConfig
from react_ray.serve.watch.metrics import render
from react_ray.serve.watch.scrape import Families, gather

__all__ = ["HEALTHY_WITHIN_S", "deployment_options", "scrape_all"]

SCRAPE_WITHIN_S = 2.0
"""Time limit for metrics of the other replicas: a request to a full replica waits in its queue."""
HEALTHY_WITHIN_S = 30.0
"""Time limit of a health check; a replica that fails three in a row is replaced."""
CHECKED_WITHIN_S = HEALTHY_WITHIN_S + 5
"""Time limit of Ray Serve for a health check, which has to be over by itself before."""


def deployment_options(config: HostConfig, cpus: float) -> dict[str, Any]:
    """Return the options of the deployment that answers requests, with ``cpus`` cores per replica."""
    return {
        **_number_of_replicas(config),
        "ray_actor_options": {"num_cpus": cpus, "num_gpus": config.gpus_per_replica},
        "max_ongoing_requests": config.max_ongoing,
        "max_queued_requests": config.max_queued,
        "backpressure_config": {"status_code": 429, "retry_after_s": 1},
        "health_check_timeout_s": CHECKED_WITHIN_S,
        "graceful_shutdown_timeout_s": config.drain_timeout_s,
        "graceful_shutdown_wait_loop_s": 0.2,  # Ray's 2 s would be most of the time a stop takes
        "max_constructor_retry_count": 1,  # what does not load once does not load
    }


def _number_of_replicas(config: HostConfig) -> dict[str, Any]:
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


async def scrape_all(deployment: str, local: Families) -> bytes:
    """Return the metrics of all replicas that answer in time, and the number of the others.

    ``local`` are those of this replica; the others are asked by their method ``families``.
    """
    application = serve.get_replica_context().app_name
    broadcast = serve.get_deployment_handle(deployment, application).broadcast("families")
    try:
        async with asyncio.timeout(SCRAPE_WITHIN_S):
            results = await broadcast_results(broadcast)
    except (TimeoutError, DeploymentUnavailableError):  # Serve does not know the others yet
        results = []
    return render(*await gather(local, results, SCRAPE_WITHIN_S))
