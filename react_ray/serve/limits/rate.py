"""Rate limit of each client and replica."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

__all__ = ["RateLimit"]

BURST_S = 2.0
"""Seconds' worth of requests that may come at once."""
MOST_CALLERS = 10_000
"""Callers remembered at a time: what a flood of addresses may cost in memory."""


class RateLimit:
    """Token bucket per caller: one token per request, ``rate`` new ones a second, ``burst`` at most."""

    def __init__(self, rate: float, burst: float | None = None, clock: Callable[[], float] = time.monotonic):
        self._rate = rate
        self._burst = max(1.0, rate * BURST_S) if burst is None else burst
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # caller -> tokens, when

    def wait(self, caller: str) -> float:
        """Take a token and return 0, or return the seconds until one is available."""
        now = self._clock()
        tokens, then = self._buckets.pop(caller, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._rate)
        allowed = tokens >= 1
        self._buckets[caller] = (tokens - allowed, now)
        if len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)  # who was quiet longest
        return 0.0 if allowed else (1 - tokens) / self._rate
