"""Access log with a line for each request of any protocol."""

from __future__ import annotations

import json
import logging
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

from react_ray.config.hosting import HostConfig
from react_ray.folders import FILE_MODE
from react_ray.serve.watch.caller import Caller

__all__ = ["CALLER_LEFT", "keep_private", "log_request"]

CALLER_LEFT = 499
"""The status of a request that nobody waits for any more."""

MOST_OF_METHOD = 20
"""Characters; a caller may make one up."""

logger = logging.getLogger("ray.serve")


def keep_private() -> None:
    """Make the logs of this process private to its owner, both open ones and new files.

    For replicas, which write only logs and records. Log lines are in a log of Serve, and in the file of
    their standard error made by Ray. Ray opens another log when one is full.
    """
    os.umask(0o077)
    for handler in logger.handlers:
        file = getattr(getattr(handler, "target", handler), "baseFilename", None)
        if file:
            Path(file).chmod(FILE_MODE)
    for stream in (1, 2):
        if stat.S_ISREG(os.fstat(stream).st_mode):
            os.fchmod(stream, FILE_MODE)


def log_request(
    config: HostConfig, caller: Caller, method: str, route: str, status: int, seconds: float, size: int
) -> None:
    """Log a request, if enabled; ``route`` is a template, because a path may contain anything."""
    if not config.access_log:
        return
    line: dict[str, object] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "id": caller.id,
        "key": caller.name,
        "method": method[:MOST_OF_METHOD],
        "route": route,
        "status": status,
        "ms": round(seconds * 1000, 1),
        "texts": caller.texts,
        "bytes": size,
    }
    if caller.said:  # with log_texts
        line["said"] = caller.said
    logger.info("%s", json.dumps(line, ensure_ascii=False))
