"""Journal of the trials of a search, from which a killed search resumes."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from react_ray.folders import open_private
from react_ray.tune.space import Values

__all__ = ["Journal", "Trial"]

Status = Literal["running", "complete", "stopped", "failed"]


@dataclass
class Trial:
    """A trial; ``rungs`` has its intermediate scores as (rung, score)."""

    number: int
    values: Values
    status: Status = "running"
    score: float | None = None
    rungs: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0
    failure: str = ""
    time: float = 0.0  # when the line was written, in seconds since 1970


class Journal:
    """Trials in a file of JSON lines, where the last line of each number is valid.

    Trials that failed in an earlier session are repeated, because the cause (a full disk, a lost node) may be
    gone.
    """

    def __init__(self, path: Path):
        self.path = path
        self.trials: dict[int, Trial] = {}
        self._started: dict[int, float] = {}
        if path.exists():
            # a kill may truncate the last line
            content, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
            for line in filter(None, content.split("\n")):  # texts may have other line ends, such as U+2028
                entry = json.loads(line)
                entry["rungs"] = [(rung, score) for rung, score in entry["rungs"]]
                self.trials[entry["number"]] = Trial(**entry)
            for number, trial in self.trials.items():
                if trial.status == "failed":
                    self.trials[number] = Trial(number, trial.values)
            with open_private(path) as file:
                file.write(f"{content}\n" if content else "")

    def start(self, values: Values) -> int:
        """Register a trial that starts, or that resumes after a kill; returns its number."""
        interrupted = [trial for trial in self.unfinished() if trial.number not in self._started]
        resumed = [trial.number for trial in interrupted if trial.values == values]
        number = resumed[0] if resumed else len(self.trials)
        self.trials[number] = Trial(number, values)
        self._started[number] = time.monotonic()
        self._keep(number)
        return number

    def report_score(self, number: int, values: Values, score: float, rung: int, failure: str = "") -> None:
        """Record an intermediate score of a trial, and its current values."""
        trial = self.trials[number]
        trial.values = values
        trial.rungs.append((rung, score))
        trial.score, trial.failure = (None, failure) if failure else (score, "")

    def end(self, number: int, rungs: int) -> Trial:
        """Record the end of a trial, which is complete if it reached the last of its ``rungs``."""
        trial = self.trials[number]
        reached = bool(trial.rungs) and trial.rungs[-1][0] >= rungs
        trial.status = "failed" if trial.failure else "complete" if reached else "stopped"
        trial.seconds = round(time.monotonic() - self._started[number], 2)
        self._keep(number)
        return trial

    def fail(self, number: int, failure: str) -> Trial:
        """Record that the process of a trial was lost."""
        self.report_score(number, self.trials[number].values, 0.0, 0, failure)
        return self.end(number, 0)

    def finished(self) -> list[Trial]:
        """Return all trials that have ended, by number."""
        return [trial for trial in self._sorted() if trial.status != "running"]

    def unfinished(self) -> list[Trial]:
        """Return the trials that were interrupted, failed in an earlier session, or are running."""
        return [trial for trial in self._sorted() if trial.status == "running"]

    def best(self) -> Trial | None:
        """Return the complete trial with the highest score; the first of equal ones."""
        complete = [trial for trial in self.finished() if trial.status == "complete"]
        return max(complete, key=lambda trial: (trial.score or 0.0, -trial.number), default=None)

    def _sorted(self) -> list[Trial]:
        return [self.trials[number] for number in sorted(self.trials)]

    def _keep(self, number: int) -> None:
        self.trials[number].time = round(time.time(), 2)
        line: Mapping[str, Any] = asdict(self.trials[number])
        with open_private(self.path, "a") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
