"""Readiness probe of the model, with its last success cached for a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

__all__ = ["FRESH_S", "ReadinessProbe"]

FRESH_S = 2.0
"""Seconds for which a success is cached: a flood of probes costs one model call in this time."""


class ReadinessProbe:
    """Probe that calls ``attempt`` once for all concurrent callers, and not after a recent success."""

    def __init__(self, attempt: Callable[[], Awaitable[bool]], clock: Callable[[], float] = time.monotonic):
        self._attempt = attempt
        self._clock = clock
        self._fresh_until = -float("inf")
        self._running: asyncio.Task[bool] | None = None

    async def ready(self) -> bool:
        """Return whether the attempt succeeds, or did less than FRESH_S seconds ago."""
        if self._clock() < self._fresh_until:
            return True
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._try())
        return await asyncio.shield(self._running)  # one who leaves does not take the attempt from the others

    async def _try(self) -> bool:
        succeeded = await self._attempt()
        if succeeded:
            self._fresh_until = self._clock() + FRESH_S
        return succeeded
