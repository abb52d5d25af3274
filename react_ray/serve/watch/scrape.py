"""Metrics of all replicas, collected by the one that received the request."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from prometheus_client.metrics_core import Metric

__all__ = ["Families", "gather"]

Families = tuple[str, list[Metric]]
"""The name of a replica, and its series."""


class PendingFamilies(Protocol):
    """Pending response of a replica, as returned by Ray."""

    async def get_async(self) -> Families:
        """Wait for the response."""

    def cancel(self) -> None:
        """Cancel the request, which a busy replica would otherwise answer later."""


async def gather(
    local: Families, replicas: Sequence[PendingFamilies], within_s: float
) -> tuple[dict[str, list[Metric]], int]:
    """Collect metrics by replica, and count the replicas without an answer in ``within_s`` seconds.

    ``local`` are those of the collecting replica, which is among ``replicas`` too and may be too
    busy to answer itself in time.
    """
    answers = {asyncio.ensure_future(replica.get_async()): replica for replica in replicas}
    try:
        done, _ = await asyncio.wait(answers, timeout=within_s) if answers else (set(), None)
    finally:
        for answer, replica in answers.items():
            if not answer.done():
                answer.cancel()
                replica.cancel()
    collected = [answer.result() for answer in done if not answer.cancelled() and not answer.exception()]
    series = dict([*collected, local])
    return series, max(0, len(replicas) - len(series))
