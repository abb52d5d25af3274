"""Display of a search: finished trials, the best so far, and the remaining time."""

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

MAX_ROWS = 12
"""Maximum trials in the live table."""


class Board:
    """Writes the journal and shows it: a live table on a terminal, elsewhere one line per trial."""

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
        """Register a trial that starts, and return its number."""
        number = self.journal.start(values)
        self._show()
        return number

    def report_score(
        self, number: int, values: dict[str, object], score: float, rung: int, failure: str
    ) -> None:
        """Record an intermediate score of a trial."""
        self.journal.report_score(number, values, score, rung, failure)
        self._show()

    def end(self, number: int, failure: str | None, work: Path | None = None) -> None:
        """Record the end of a trial; deletes the ``work`` of a stopped one, which is large and not reused."""
        trial = (
            self.journal.end(number, self.rungs) if failure is None else self.journal.fail(number, failure)
        )
        if work and trial.status == "stopped":
            remove_folder(work)
        if self._live:
            self._show()
        else:
            self.reporter.say(f"  {self._line(trial)}; {self._summary()}")

    def _line(self, trial: Trial) -> str:
        settings = ", ".join(f"{key} {as_value(value)}" for key, value in trial.values.items())
        score = trial.failure if trial.score is None else f"{trial.score:.3f}"
        stopped = " (stopped early)" if trial.status == "stopped" else ""
        return f"trial {trial.number}: {score}{stopped}, {settings}, {trial.seconds:.0f} s"

    def _summary(self) -> str:
        finished, best = len(self.journal.finished()), self.journal.best()
        best_text = "no score yet" if best is None else f"best {best.score:.3f} (trial {best.number})"
        return f"{finished}/{self.config.trials} done, {best_text}, {self._time_left()}"

    def _time_left(self) -> str:
        elapsed = time.monotonic() - self._started
        new = len(self.journal.finished()) - self._before
        if not new:
            return "remaining time unknown"
        seconds = elapsed / new * (self.config.trials - len(self.journal.finished()))
        if self.config.minutes:
            seconds = min(seconds, self.config.minutes * 60 - elapsed)
        return f"about {max(seconds, 0):.0f} s left"

    def _show(self) -> None:
        if not self._live:
            return
        trials = sorted(self.journal.trials.values(), key=lambda trial: best_first(vars(trial)))
        table = Table("trial", "score", "state", *(trials[0].values if trials else ()))
        for trial in trials[:MAX_ROWS]:
            score = "" if trial.score is None else f"{trial.score:.3f}"
            state = f"{trial.status} {trial.failure}".strip()
            shown = [str(trial.number), score, state, *map(as_value, trial.values.values())]
            table.add_row(*(Text(cell) for cell in shown))
        self._live.update(Group(table, Text(self._summary())))
