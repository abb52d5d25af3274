"""Decoding of the model's outputs to answers by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from react_ray.answer import Answer
from react_ray.inference.inputs import Row, few_rows
from react_ray.serve.engine.model import Engine, ModelOutput
from react_ray.tasks.task import Example

__all__ = ["RowDecoder", "tokens_in"]


def tokens_in(example: Example) -> int:
    """Return the length of an example in tokens."""
    return len(example.ids)


class RowDecoder:
    """Decoder of the outputs of examples to answers of rows.

    Parameters
    ----------
    engine
        The model that computed them.
    rows
        The rows of a request.
    examples
        Examples of all rows; a long text has several.
    outputs
        Output or error of each example.
    """

    def __init__(
        self,
        engine: Engine,
        rows: Sequence[Row],
        examples: Sequence[Example],
        outputs: Sequence[ModelOutput],
    ):
        self._engine, self._rows = engine, rows
        self._examples, self._outputs = examples, outputs
        self._examples_of: list[list[int]] = [[] for _ in rows]
        for number, example in enumerate(examples):
            self._examples_of[example.row].append(number)

    def tokens(self, row: int) -> int:
        """Return the number of tokens of a row."""
        return sum(tokens_in(self._examples[number]) for number in self._examples_of[row])

    def answers(self, rows: Sequence[int], ranked: int | None) -> list[Answer | Exception]:
        """Return the answer or error of each of ``rows`` (indices); rankings have at most ``ranked`` entries.

        A row fails if the model failed on one of its examples, or if decoding fails.
        """
        numbers = [number for row in rows for number in self._examples_of[row]]
        outputs = [self._outputs[number] for number in numbers]
        error = next((output for output in outputs if isinstance(output, Exception)), None)
        if error is None:
            place = {row: index for index, row in enumerate(rows)}
            row_examples = [self._examples[number] for number in numbers]
            examples = [
                example if example.row == place[example.row] else replace(example, row=place[example.row])
                for example in row_examples
            ]
            table = few_rows(self._engine.task, [self._rows[row] for row in rows])
            try:
                return list(self._engine.decode(outputs, examples, table, ranked))  # type: ignore[arg-type]
            except Exception as problem:
                error = problem
        if len(rows) == 1:
            return [error]
        return [answer for row in rows for answer in self.answers([row], ranked)]
