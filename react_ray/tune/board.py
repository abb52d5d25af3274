"""What a person sees of a search: each trial as it ends, and the best so far."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from react_ray.config.settings import TuneConfig
from react_ray.console.reporter import Reporter
from react_ray.evaluate.search_page import as_value, best_first
from react_ray.folders import remove_folder
from react_ray.tune.journal import Journal, Trial

__all__ = ["Board"]

ROWS = 12
"""Trials in the live table."""


class Board:
    """Keeps the journal, and shows it: a live table on a terminal, elsewhere a line a trial."""

    def __init__(self, journal: Journal, config: TuneConfig, rungs: int, reporter: Reporter):
        self.journal, self.config, self.rungs, self.reporter = journal, config, rungs, reporter
        self._started, self._before = time.monotonic(), len(journal.finished())
        terminal = reporter.console.is_terminal and not reporter.quiet
        self._live = Live(console=reporter.console, transient=True) if terminal else None

    def __enter__(self) -> Board:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *ignored: object) -> None:
        if self._live:
            self._live.stop()

    def start(self, values: dict[str, object]) -> int:
        """A trial begins; its number."""
        number = self.journal.start(values)
        self._show()
        return number

    def report_score(
        self, number: int, values: dict[str, object], score: float, rung: int, failure: str
    ) -> None:
        """A trial tells its score so far."""
        self.journal.report_score(number, values, score, rung, failure)
        self._show()

    def end(self, number: int, failure: str | None, work: Path | None = None) -> None:
        """A trial ended; nobody goes on from the ``work`` of one that was stopped, and it may be large."""
        trial = (
            self.journal.end(number, self.rungs) if failure is None else self.journal.fail(number, failure)
        )
        if work and trial.status == "stopped":
            remove_folder(work)
        if self._live:
            self._show()
        else:
            self.reporter.say(f"  {self._line(trial)}; {self._standing()}")

    def _line(self, trial: Trial) -> str:
        given = ", ".join(f"{key} {as_value(value)}" for key, value in trial.values.items())
        score = trial.failure if trial.score is None else f"{trial.score:.3f}"
        stopped = " (stopped early)" if trial.status == "stopped" else ""
        return f"trial {trial.number}: {score}{stopped}, {given}, {trial.seconds:.0f} s"

    def _standing(self) -> str:
        done, best = len(self.journal.finished()), self.journal.best()
        found = "no score yet" if best is None else f"best {best.score:.3f} (trial {best.number})"
        return f"{done}/{self.config.trials} done, {found}, {self._left()}"

    def _left(self) -> str:
        elapsed = time.monotonic() - self._started
        new = len(self.journal.finished()) - self._before
        if not new:
            return "time left not known yet"
        left = elapsed / new * (self.config.trials - len(self.journal.finished()))
        if self.config.minutes:
            left = min(left, self.config.minutes * 60 - elapsed)
        return f"about {max(left, 0):.0f} s left"

    def _show(self) -> None:
        if not self._live:
            return
        trials = sorted(self.journal.trials.values(), key=lambda trial: best_first(vars(trial)))
        table = Table("trial", "score", "state", *(trials[0].values if trials else ()))
        for trial in trials[:ROWS]:
            score = "" if trial.score is None else f"{trial.score:.3f}"
            state = f"{trial.status} {trial.failure}".strip()
            shown = [str(trial.number), score, state, *map(as_value, trial.values.values())]
            table.add_row(*(Text(cell) for cell in shown))
        self._live.update(Group(table, Text(self._standing())))
