"""Client logic without I/O: splitting inputs, retries, pauses and resuming.

It makes no requests itself, so that the blocking and the asynchronous client share it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from react_ray.errors import InputError, ServiceError
from react_ray.inference.prediction import Prediction, Triple, typed

__all__ = [
    "Attempts",
    "BulkPart",
    "BulkResult",
    "Explanation",
    "Input",
    "Parts",
    "Word",
    "bulk_parts",
    "checked",
    "explain_request",
    "refusal",
    "triples_in",
]

TEXTS_A_REQUEST = 256
LINES_A_REQUEST = 1000
BYTES_A_REQUEST = 4 << 20
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0
PASSING = (None, 429, 503)
"""Statuses of temporary failures; None: no response."""


Input = str | Mapping[str, Any]
"""A text, or an object with the input columns of the service's task."""


@dataclass(frozen=True)
class BulkResult:
    """The answer to one line: the best label or an error message; neither if the service abstains.

    ``score`` is that of the best label, even if the service abstains. For tasks without a single label,
    ``answer`` has the whole answer, as returned by Client.predict, and ``prediction`` is None.

    Example
    -------
    >>> result = BulkResult(1, Prediction("sports", 0.9), None, 0.9)
    >>> result.prediction.label if result.prediction else result.error
    'sports'
    """

    line: int
    prediction: Prediction | None
    error: str | None
    score: float | None = None
    answer: list[Any] | None = None


@dataclass(frozen=True)
class Word:
    """A word (characters ``start`` to ``end`` of a text) and its weight for the score of a label.

    Example
    -------
    >>> Word("rain", 0, 4, 0.31).weight
    0.31
    """

    text: str
    start: int
    end: int
    weight: float


@dataclass(frozen=True)
class Explanation:
    """A label, its score, and the weight of each word; a negative weight is evidence against the label.

    Example
    -------
    >>> explanation = Explanation("weather", 0.93, [Word("rain", 0, 4, 0.31), Word("goal", 5, 9, -0.1)])
    >>> max(explanation.words, key=lambda word: word.weight).text
    'rain'
    """

    label: str
    score: float
    words: list[Word]

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Explanation:
        """Make an explanation from the JSON of the service."""
        return cls(answer["label"], answer["score"], [Word(**word) for word in answer["words"]])


class Attempts:
    """Retries of a request: their number, and growing pauses between them.

    A request is not retried if the service asks for a pause of more than ``patience`` seconds.
    """

    def __init__(self, retries: int, patience: float):
        self._retries = retries
        self._patience = patience
        self._failed = 0

    def pause(self, problem: ServiceError) -> float:
        """Return the seconds to wait before the next attempt; raise ``problem`` if there is none."""
        requested = problem.retry_after or 0
        if problem.status not in PASSING or self._failed >= self._retries or requested > self._patience:
            raise problem
        longest = min(FIRST_PAUSE_S * 2**self._failed, LONGEST_PAUSE_S)
        self._failed += 1
        drawn = random.uniform(longest / 2, longest)  # callers that failed together do not return together
        return max(drawn, requested)

    def progressed(self) -> None:
        """Reset the number of failures."""
        self._failed = 0


class Parts:
    """Splitting of inputs into requests: after one that is too large, the next have half its size."""

    def __init__(
        self,
        inputs: Iterable[Input],
        top_k: int | None,
        threshold: float | None,
        typed: Callable[[Any], list[Any]] = typed,
    ):
        self.answers: list[list[Any]] = []
        self._inputs = [checked(value, index) for index, value in enumerate(inputs)]
        self._size = TEXTS_A_REQUEST
        self._options = {"top_k": top_k, "threshold": threshold}
        self._typed = typed

    @property
    def request(self) -> dict[str, Any] | None:
        """Return the next request; None when all inputs have answers."""
        start = len(self.answers)
        inputs = self._inputs[start : start + self._size]
        return {"inputs": inputs, **self._options} if inputs else None

    def take(self, answer: list[list[dict[str, Any]]]) -> None:
        """Process the answer to the request."""
        self.answers += map(self._typed, answer)

    def shrink(self, problem: ServiceError) -> None:
        """Halve the size of requests; raise ``problem`` if that is not possible."""
        sent = min(self._size, len(self._inputs) - len(self.answers))
        if problem.status != 413 or sent == 1:
            raise problem
        self._size = sent // 2


class BulkPart:
    """Some lines of a bulk job, and the number of those with an answer."""

    def __init__(self, first: int, lines: Sequence[bytes]):
        self.next = first  # the number of the line whose answer is missing
        self._first = first
        self._lines = lines
        self._size = len(lines)
        self._sent = first  # the number of the line after the last one that was sent
        self._unread = b""
        self._ended = False

    @property
    def done(self) -> bool:
        """Whether every line has an answer."""
        return self.next == self._first + len(self._lines)

    def body(self) -> bytes:
        """Request body from the line ``next`` on."""
        self._unread, self._ended = b"", False
        start = self.next - self._first
        lines = self._lines[start : start + self._size]
        self._sent = self.next + len(lines)
        return b"".join(lines)

    def take(self, received: bytes) -> Iterator[BulkResult]:
        """Yield the results in received data; an incomplete last line is kept for the next call."""
        *lines, self._unread = (self._unread + received).split(b"\n")
        for line in lines:
            answer = _line(line)
            if "done" in answer:
                self._ended = True
                return
            if answer["line"] != self.next:
                raise ServiceError(f"the answer to line {self.next} is missing: line {answer['line']} came")
            label, score = answer.get("label"), answer.get("score")
            best = None if label is None else Prediction(label, answer["score"])
            self.next += 1
            entries = typed(answer["answer"]) if "answer" in answer else None
            yield BulkResult(answer["line"], best, answer.get("error"), score, entries)

    def check_end(self) -> None:
        """Raise ServiceError if the answer ended early or did not cover all lines."""
        if not self._ended:
            raise ServiceError(f"the answer was cut before line {self.next}, without saying that it was done")
        if self.next != self._sent:
            raise ServiceError(f"the answer ended before line {self.next} of {self._sent}")

    def shrink(self, problem: ServiceError) -> BulkResult | None:
        """Halve the size of requests; a single line that is too large gets the error as its result."""
        if problem.status != 413:
            raise problem
        sent = min(self._size, self._first + len(self._lines) - self.next)
        self._size = max(1, sent // 2)
        if sent > 1:
            return None
        self.next += 1
        return BulkResult(self.next - 1, None, problem.message)


def bulk_parts(texts: Iterable[Input]) -> Iterator[BulkPart]:
    """Split ``texts`` lazily into parts of one request each."""
    if isinstance(texts, str | Mapping):
        raise InputError("bulk takes many texts; expected a list or another source of strings, not a string")
    first, size, lines = 0, 0, list[bytes]()
    for index, text in enumerate(texts):
        line = json.dumps(checked(text, index)).encode() + b"\n"
        if lines and (len(lines) == LINES_A_REQUEST or size + len(line) > BYTES_A_REQUEST):
            yield BulkPart(first, lines)
            first, size, lines = index, 0, []
        lines.append(line)
        size += len(line)
    if lines:
        yield BulkPart(first, lines)


def triples_in(entries: Sequence[Mapping[str, Any]]) -> list[Triple]:
    """Convert the triples of one text from JSON."""
    return [Triple(**entry) for entry in entries]


def explain_request(text: str, label: str | None) -> dict[str, Any]:
    """Build the request body for an explanation of ``label`` (None: the best one)."""
    return {"input": checked(text, 0), "label": label}


def refusal(status: int, body: bytes, retry_after: str | None) -> ServiceError:
    """Convert an error response to ServiceError; those of the proxy are plain text."""
    text = body.decode("utf-8", "replace").strip()
    try:
        text = json.loads(text)["error"]
    except (ValueError, KeyError, TypeError):
        text = text[:200] or "refused"
    waits = float(retry_after) if retry_after and retry_after.isdecimal() else None
    return ServiceError(text, status, waits)


def _line(line: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(line)
        if isinstance(answer, dict) and ("done" in answer or isinstance(answer["line"], int)):
            return answer
    except (ValueError, KeyError):
        pass
    raise ServiceError(f"no answer of the service: {line[:200].decode('utf-8', 'replace')!r}")


def checked(value: Any, index: int) -> Any:
    """Return an input as JSON; InputError if it is neither a text nor a dict."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return dict(value)
    raise InputError(
        f"text {index} is of type {type(value).__name__}; expected a string, or a dict of columns"
    )
