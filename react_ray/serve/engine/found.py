"""Results of the rows of a request: outputs of examples, collected and decoded by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from react_ray.answer import Answer
from react_ray.inference.inputs import Row, few_rows
from react_ray.serve.engine.model import Engine, Outcome
from react_ray.tasks.task import Example

__all__ = ["Found", "tokens_in"]


def tokens_in(example: Example) -> int:
    """The length of an example in tokens."""
    return len(example.ids)


@dataclass(frozen=True)
class Found:
    """The outcome of each example of some rows."""

    engine: Engine
    rows: Sequence[Row]
    examples: Sequence[Example]
    outcomes: Sequence[Outcome]

    def tokens(self) -> list[int]:
        """The tokens of each row."""
        found = [0] * len(self.rows)
        for example in self.examples:
            found[example.row] += len(example.ids)
        return found

    def answers(self, ranked: int | None) -> list[Answer | Exception]:
        """The answer to each row, its ranking at most ``ranked`` long, or why it has none.

        A row fails where the model failed on one of its examples, or where it cannot be decoded.
        """
        outputs = [outcome for outcome in self.outcomes if not isinstance(outcome, Exception)]
        if len(outputs) == len(self.outcomes):
            try:
                rows = few_rows(self.engine.task, self.rows)
                return list(self.engine.decode(outputs, self.examples, rows, ranked))
            except Exception as error:
                if len(self.rows) == 1:
                    return [error]
        return [self._alone(number, ranked) for number in range(len(self.rows))]

    def _alone(self, number: int, ranked: int | None) -> Answer | Exception:
        pairs = zip(self.examples, self.outcomes, strict=True)
        own = [(example, outcome) for example, outcome in pairs if example.row == number]
        error = next((outcome for _, outcome in own if isinstance(outcome, Exception)), None)
        if error:
            return error
        examples = [replace(example, row=0) for example, _ in own]
        outcomes = [outcome for _, outcome in own]
        return Found(self.engine, [self.rows[number]], examples, outcomes).answers(ranked)[0]
