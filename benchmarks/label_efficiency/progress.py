"""One line for each cell that is done, with the time that is left."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence

from benchmarks.label_efficiency.cells import Cell
from benchmarks.label_efficiency.execution import Outcome

__all__ = ["Progress"]


class Progress:
    """Counts cells; what is left is told by how long cells of the same method took."""

    def __init__(self, cells: Sequence[Cell]):
        self.total, self.done = len(cells), 0
        self.left = Counter(cell.method for cell in cells)
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.started = time.monotonic()

    def line(self, outcome: Outcome) -> str:
        """What to print about a cell that is done."""
        self.done += 1
        self.left[outcome.cell.method] -= 1
        if outcome.record is None:
            said = f"FAILED: {outcome.failure.strip().splitlines()[-1]}"
        else:
            self.seconds[outcome.cell.method].append(outcome.record["seconds"])
            said = f"{outcome.record['macro_f1']:.3f} in {outcome.record['seconds']:.1f} s"
        return f"[{self.done}/{self.total}] {outcome.cell}: {said}; {self._left()} left"

    def _left(self) -> str:
        """Work that is left by method, at the pace (work done over time passed) so far."""
        known = {method: sum(some) / len(some) for method, some in self.seconds.items()}
        if not known:
            return "unknown time"
        typical = sum(known.values()) / len(known)
        work = sum(known.get(method, typical) * count for method, count in self.left.items())
        done = sum(sum(some) for some in self.seconds.values())
        passed = time.monotonic() - self.started
        seconds = work * passed / max(done, 1e-6)
        return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
