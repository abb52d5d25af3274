"""Tag sequences and entities: tagging schemes, spans, and decoding constrained to BIO.

Every scheme is converted to spans and written as BIO (IOB2), which models are trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["OUTSIDE", "Scheme", "Span", "bio_tags", "find_scheme", "spans_of", "tag_names", "viterbi"]

OUTSIDE = "O"
Scheme = Literal["BIO", "IOB1", "BIOES"]
HINT = "data.scheme sets the tagging scheme"
ENDINGS = {"E", "L"}
SINGLES = {"S", "U"}
PREFIXES = {"BIO": {"B", "I"}, "IOB1": {"B", "I"}, "BIOES": {"B", "I", "M", *ENDINGS, *SINGLES}}


class Span(NamedTuple):
    """An entity: tokens (or characters) from ``start`` to before ``end``, and its type."""

    start: int
    end: int
    label: str


def find_scheme(sequences: Iterable[Sequence[str]]) -> Scheme:
    """Detect the scheme of tag sequences.

    BIOES (also BILOU and BMES) has tags for the last token of an entity or for entities of one token. In
    IOB1 an entity starts with I, and with B only right after another of its type; in BIO always with B.

    Example
    -------
    >>> find_scheme([["O", "I-PER", "I-PER", "B-PER"]])
    'IOB1'
    """
    starts_with_b = starts_with_i = False
    for tags in sequences:
        previous = OUTSIDE
        for tag in tags:
            prefix, label = _split(tag)
            if prefix in ENDINGS | SINGLES | {"M"}:
                return "BIOES"
            fresh = label and _split(previous)[1] != label
            starts_with_b |= bool(fresh and prefix == "B")
            starts_with_i |= bool(fresh and prefix == "I")
            previous = tag
    return "IOB1" if starts_with_i and not starts_with_b else "BIO"


def spans_of(tags: Sequence[str], scheme: Scheme = "BIO") -> list[Span]:
    """Return the entities of a tag sequence, in order.

    Raises ValueError for a tag that is not in the scheme, or not allowed in its position.

    Example
    -------
    >>> spans_of(["B-PER", "I-PER", "O", "B-LOC"])
    [Span(start=0, end=2, label='PER'), Span(start=3, end=4, label='LOC')]
    """
    spans: list[Span] = []
    start, current = 0, ""
    closed = True  # whether the entity before is complete in BIOES
    for place, tag in enumerate([*tags, OUTSIDE]):
        prefix, label = _checked(tag, place, scheme)
        goes_on = prefix in {"I", "M", *ENDINGS} and label == current
        if current and not goes_on:
            if scheme == "BIOES" and not closed:
                raise ValueError(
                    f"impossible tags: {tag!r} at token {place} where {current!r} has not ended; {HINT}"
                )
            spans.append(Span(start, place, current))
            current = ""
        if label and not goes_on:
            if prefix not in {"B", *SINGLES} and scheme != "IOB1":
                raise ValueError(f"impossible tags: {tag!r} at token {place} follows no B-{label}; {HINT}")
            start, current = place, label
        closed = prefix in ENDINGS | SINGLES
        if scheme == "BIOES" and closed and current:
            spans.append(Span(start, place + 1, current))
            current = ""
    return spans


def bio_tags(spans: Iterable[Span], length: int) -> list[str]:
    """Convert spans that do not overlap to BIO tags of ``length`` tokens.

    Raises ValueError for a span that is empty, out of range or overlaps another.
    """
    tags = [OUTSIDE] * length
    for span in spans:
        if not 0 <= span.start < span.end <= length:
            raise ValueError(f"span out of range: {span.start} to {span.end} of {length}")
        if any(tag != OUTSIDE for tag in tags[span.start : span.end]):
            raise ValueError(f"overlapping spans: {span.start} to {span.end} ({span.label}) overlaps another")
        tags[span.start : span.end] = [f"B-{span.label}", *[f"I-{span.label}"] * (span.end - span.start - 1)]
    return tags


def tag_names(types: Sequence[str]) -> list[str]:
    """Return the BIO tags of entity types: O first, then B and I of each type."""
    return [OUTSIDE, *(f"{prefix}-{name}" for name in types for prefix in "BI")]


def viterbi(log_probabilities: NDArray[np.floating], tags: Sequence[str]) -> list[int]:
    """Return the most probable valid BIO sequence (n tag indices) of ``log_probabilities`` (n x tags).

    I-X follows B-X or I-X only; apart from that, tags are independent.
    """
    if not len(log_probabilities):
        return []
    allowed = _transitions(tags)
    inside = np.array([tag.startswith("I-") for tag in tags])
    best = np.where(inside, -np.inf, log_probabilities[0])  # no entity goes on at the start
    back = np.zeros(log_probabilities.shape, dtype=np.int64)
    for place in range(1, len(log_probabilities)):
        scores = best[:, None] + allowed
        back[place] = scores.argmax(0)
        best = scores.max(0) + log_probabilities[place]
    path = [int(best.argmax())]
    for place in range(len(log_probabilities) - 1, 0, -1):
        path.append(int(back[place, path[-1]]))
    return path[::-1]


def _transitions(tags: Sequence[str]) -> NDArray[np.float64]:
    """Return 0 where the column's tag may follow the row's, minus infinity elsewhere."""
    allowed = np.zeros((len(tags), len(tags)))
    for column, tag in enumerate(tags):
        prefix, label = _split(tag)
        if prefix == "I":
            allowed[:, column] = [0 if _split(before)[1] == label else -np.inf for before in tags]
    return allowed


def _split(tag: str) -> tuple[str, str]:
    """Split a tag into prefix and type; both are empty for O."""
    prefix, _, label = tag.partition("-")
    return ("", "") if tag == OUTSIDE else (prefix, label)


def _checked(tag: str, place: int, scheme: Scheme) -> tuple[str, str]:
    prefix, label = _split(tag)
    if tag != OUTSIDE and (prefix not in PREFIXES[scheme] or not label):
        expected = ", ".join(f"{letter}-TYPE" for letter in sorted(PREFIXES[scheme]))
        raise ValueError(f"unknown tag: {tag!r} at token {place}, expected {OUTSIDE}, {expected}; {HINT}")
    return prefix, label
