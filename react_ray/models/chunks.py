"""Chunks of rows with a bounded total size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

__all__ = ["chunk_ranges"]


def chunk_ranges(sizes: Iterable[int], most: int) -> Iterator[range]:
    """Yield consecutive ranges of rows whose ``sizes`` sum to at most ``most``; a larger row is alone.

    Example
    -------
    >>> list(chunk_ranges([3, 4, 9, 1], 8))
    [range(0, 2), range(2, 3), range(3, 4)]
    """
    first = end = total = 0
    for size in sizes:
        if end > first and total + size > most:
            yield range(first, end)
            first, total = end, 0
        total += size
        end += 1
    if end:
        yield range(first, end)
