"""Private interfaces of Ray that this package uses, in one place.

A new Ray may change any of it without notice: ``tests/cluster/test_ray_private.py`` holds every name here
against the Ray that is installed. Nothing is imported from Ray before it is used.
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
    "forget_grpc_method",
    "ignore_rules",
    "init_in",
    "quiet_job_client",
    "remove_placement_group",
    "replicas_asked",
]

JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""The variable that Ray sets in the process of a submitted job."""
COLLECTIVE_TIMEOUT = "RAY_TRAIN_COLLECTIVE_TIMEOUT_S"
"""The variable for how long Ray Train waits on a rank that is late; for ever by default."""
GROUP_START_TIMEOUT = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"
"""The variable for how long a group of Ray Train's workers waits for room; 60 s by default."""
JOB_LOGGERS = (
    "ray._private.runtime_env.packaging",
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
)
"""Loggers of the client for jobs. They set a level of their own, so that of ``ray`` does not reach them."""


def init_in(folder: Path, **options: Any) -> Any:
    """Start Ray on this machine with its files in ``folder``; ``options`` are those of ``ray.init``."""
    import ray

    return ray.init("local", _temp_dir=str(folder), **options)


def ignore_rules(lines: Sequence[str]) -> Any:
    """Parse lines of an ignore file as Ray does: an object with ``match_file(path)``.

    Raises ValueError, IndexError or re.error where a line is no pattern of a .gitignore.
    """
    from ray._private.runtime_env.packaging import PathSpec

    return PathSpec.from_lines("gitwildmatch", lines)


def remove_placement_group(name: str) -> None:
    """Remove the placement group with this hexadecimal id, also one of another driver."""
    from ray._raylet import PlacementGroupID
    from ray.util.placement_group import PlacementGroup
    from ray.util.placement_group import remove_placement_group as remove

    remove(PlacementGroup(PlacementGroupID.from_hex(name)))


def quiet_job_client() -> None:
    """Have the client for jobs log errors only."""
    for name in JOB_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)


def forget_grpc_method(server: Any, method: str) -> None:
    """Have Ray Serve's gRPC server answer ``method`` (``/package.Service/Name``) no more."""
    for handler, *_ in getattr(server, "generic_rpc_handlers", []):
        handler._method_handlers.pop(method, None)


async def replicas_asked(broadcast: Any) -> Sequence[Any]:
    """The replicas that a broadcast went to, each with ``get_async()`` and ``cancel()``.

    The public ``results_async()`` gives no answer at all where one replica does not answer.
    """
    asked: Sequence[Any] = await broadcast._fetch_replica_results_async()
    return asked
