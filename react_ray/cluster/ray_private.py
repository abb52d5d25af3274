"""All uses of private interfaces of Ray.

A new version of Ray may change them without notice; ``tests/cluster/test_ray_private.py`` tests each one
with the installed version. Ray is imported inside functions only.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "COLLECTIVE_TIMEOUT",
    "GROUP_START_TIMEOUT",
    "JOB_CONFIG",
    "JOB_LOGGERS",
    "broadcast_results",
    "forget_grpc_method",
    "ignore_rules",
    "init_in",
    "quiet_job_client",
    "remove_placement_group",
]

JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Environment variable that Ray sets in the process of a submitted job."""
COLLECTIVE_TIMEOUT = "RAY_TRAIN_COLLECTIVE_TIMEOUT_S"
"""Environment variable for the seconds that Ray Train waits for a late rank; forever by default."""
GROUP_START_TIMEOUT = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"
"""Environment variable for the seconds that Ray Train waits for resources; 60 by default."""
JOB_LOGGERS = (
    "ray._private.runtime_env.packaging",
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
)
"""Loggers of the job client. They set their own level, so the level of ``ray`` has no effect on them."""


def init_in(folder: Path, **options: Any) -> Any:
    """Start Ray on this machine with its files in ``folder``; ``options`` are passed to ``ray.init``."""
    import ray

    return ray.init("local", _temp_dir=str(folder), **options)


def ignore_rules(lines: Sequence[str]) -> Any:
    """Parse lines of an ignore file as Ray does; returns an object with ``match_file(path)``.

    Raises ValueError, IndexError or re.error if a line is not a valid .gitignore pattern.
    """
    from ray._private.runtime_env.packaging import PathSpec

    return PathSpec.from_lines("gitwildmatch", lines)


def remove_placement_group(name: str) -> None:
    """Remove the placement group with this hexadecimal id, even if another driver created it."""
    from ray._raylet import PlacementGroupID
    from ray.util.placement_group import PlacementGroup
    from ray.util.placement_group import remove_placement_group as remove

    remove(PlacementGroup(PlacementGroupID.from_hex(name)))


def quiet_job_client() -> None:
    """Let the job client log errors only."""
    for name in JOB_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)


def forget_grpc_method(server: Any, method: str) -> None:
    """Remove ``method`` (``/package.Service/Name``) from Ray Serve's gRPC server."""
    for handler, *_ in getattr(server, "generic_rpc_handlers", []):
        handler._method_handlers.pop(method, None)


async def broadcast_results(broadcast: Any) -> Sequence[Any]:
    """Return the results of a broadcast, one per replica, each with ``get_async()`` and ``cancel()``.

    The public ``results_async()`` returns nothing if a single replica does not answer.
    """
    results: Sequence[Any] = await broadcast._fetch_replica_results_async()
    return results
