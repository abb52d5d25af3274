"""The line that a request leaves in the log, whichever door it came through."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from react_ray.config import ServeConfig
from react_ray.serve.watch.caller import Caller

__all__ = ["CALLER_LEFT", "log_request"]

CALLER_LEFT = 499
"""The status of a request that nobody waits for any more."""

MOST_OF_METHOD = 20
"""Characters; a caller may make one up."""

logger = logging.getLogger("ray.serve")


def log_request(
    config: ServeConfig, asker: Caller, method: str, route: str, status: int, seconds: float, size: int
) -> None:
    """Write it where lines are asked for; ``route`` is a template: a path may hold anything."""
    if not config.access_log:
        return
    line: dict[str, object] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "id": asker.id,
        "key": asker.name,
        "method": method[:MOST_OF_METHOD],
        "route": route,
        "status": status,
        "ms": round(seconds * 1000, 1),
        "texts": asker.texts,
        "bytes": size,
    }
    if config.log_texts:
        line["said"] = asker.said
    logger.info("%s", json.dumps(line, ensure_ascii=False))
