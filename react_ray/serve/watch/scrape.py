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
    """A replica that was asked, as Ray has it."""

    async def get_async(self) -> Families:
        """Its answer."""

    def cancel(self) -> None:
        """Ask no longer: a full replica would keep the question for when it has time."""


async def gather(
    own: Families, replicas: Sequence[PendingFamilies], within_s: float
) -> tuple[dict[str, list[Metric]], int]:
    """The series by replica, and how many replicas did not tell theirs in ``within_s`` seconds.

    ``own`` are those of the replica that gathers. It is among ``replicas`` too, and may be too
    full to answer itself in time.
    """
    answers = {asyncio.ensure_future(one.get_async()): one for one in replicas}
    try:
        done, _ = await asyncio.wait(answers, timeout=within_s) if answers else (set(), None)
    finally:
        for answer, one in answers.items():
            if not answer.done():
                answer.cancel()
                one.cancel()
    collected = [answer.result() for answer in done if not answer.cancelled() and not answer.exception()]
    series = dict([*collected, own])
    return series, max(0, len(replicas) - len(series))
