"""What is known of the trials of a search, kept line by line so that a killed search goes on."""

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
    """A trial. ``rungs`` are (rung, score so far); stopped ones have no more than these."""

    number: int
    values: Values
    status: Status = "running"
    score: float | None = None
    rungs: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0
    failure: str = ""
    time: float = 0.0  # when the line was written, seconds since 1970


class Journal:
    """The trials in a file of JSON lines, the last line of a number counts.

    Those that failed in an earlier session are to be done again, for what was in their way (a full
    disk, a lost node) may be gone.
    """

    def __init__(self, path: Path):
        self.path = path
        self.trials: dict[int, Trial] = {}
        self._started: dict[int, float] = {}
        if path.exists():
            whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")  # a kill may cut a line
            for line in whole.splitlines():
                known = json.loads(line)
                known["rungs"] = [(rung, score) for rung, score in known["rungs"]]
                self.trials[known["number"]] = Trial(**known)
            for number, trial in self.trials.items():
                if trial.status == "failed":
                    self.trials[number] = Trial(number, trial.values)
            with open_private(path) as file:
                file.write(f"{whole}\n" if whole else "")

    def start(self, values: Values) -> int:
        """A trial begins, or one that a kill cut off begins again; its number."""
        same = [t.number for t in self.unfinished() if t.values == values and t.number not in self._started]
        number = same[0] if same else len(self.trials)
        self.trials[number] = Trial(number, values)
        self._started[number] = time.monotonic()
        self._keep(number)
        return number

    def report_score(self, number: int, values: Values, score: float, rung: int, failure: str = "") -> None:
        """A trial tells its score so far, and the values it has now."""
        trial = self.trials[number]
        trial.values = values
        trial.rungs.append((rung, score))
        trial.score, trial.failure = (None, failure) if failure else (score, "")

    def end(self, number: int, rungs: int) -> Trial:
        """A trial has ended: complete when it reached the last of its ``rungs``."""
        trial = self.trials[number]
        reached = bool(trial.rungs) and trial.rungs[-1][0] >= rungs
        trial.status = "failed" if trial.failure else "complete" if reached else "stopped"
        trial.seconds = round(time.monotonic() - self._started[number], 2)
        self._keep(number)
        return trial

    def fail(self, number: int, failure: str) -> Trial:
        """A trial was lost with its process."""
        self.report_score(number, self.trials[number].values, 0.0, 0, failure)
        return self.end(number, 0)

    def finished(self) -> list[Trial]:
        """All trials that have an end, in the order of their numbers."""
        return [trial for trial in self._sorted() if trial.status != "running"]

    def unfinished(self) -> list[Trial]:
        """Trials that were cut off, failed in an earlier session, or are at work."""
        return [trial for trial in self._sorted() if trial.status == "running"]

    def best(self) -> Trial | None:
        """The complete trial with the highest score; of equal ones the first."""
        complete = [trial for trial in self.finished() if trial.status == "complete"]
        return max(complete, key=lambda trial: (trial.score or 0.0, -trial.number), default=None)

    def _sorted(self) -> list[Trial]:
        return [self.trials[number] for number in sorted(self.trials)]

    def _keep(self, number: int) -> None:
        self.trials[number].time = round(time.time(), 2)
        line: Mapping[str, Any] = asdict(self.trials[number])
        with open_private(self.path, "a") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
