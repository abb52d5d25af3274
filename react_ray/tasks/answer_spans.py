"""Spans of a context that answer a question: from logits of windows to ranked answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from react_ray.models.tokenizer import Window

__all__ = ["SpanPlaces", "SpanScores", "place_context", "ranked_spans", "span_scores", "span_target"]

MOST_TOKENS = 64
"""Longest answer, in tokens."""
PER_WINDOW = 10
"""Spans of a window that are compared with those of others."""


class SpanPlaces(NamedTuple):
    """The tokens of a window whose logits count: the first, for no answer, and those of the context.

    ``starts`` and ``ends`` are the characters of the context that each of the others covers.
    """

    tokens: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


class SpanScores(NamedTuple):
    """Spans of a context with the sums of their logits, best first, and the sum for no answer."""

    spans: list[tuple[int, int]]
    scores: list[float]
    none: float


def place_context(window: Window, context: str) -> SpanPlaces:
    """Find the tokens of the context, the second text of a window, without the white space around them.

    Tokens of XLM-R and GPT-2 include the space before a word, which is no part of an answer.
    """
    places = [
        (token, start + len(text) - len(text.lstrip()), start + len(text.rstrip()))
        for token, (part, (start, end)) in enumerate(zip(window.parts, window.offsets, strict=True))
        if part == 1 and (text := context[start:end]).strip()
    ]
    tokens, starts, ends = np.array(places, np.int64).reshape(-1, 3).T
    return SpanPlaces(np.append(0, tokens), starts, ends)


def span_target(places: SpanPlaces, answers: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """Return the target of a window: 2 x places; the first answer that is in it, else the place for none."""
    target = np.zeros((2, len(places.tokens)), np.float32)
    for start, end in answers:
        inside = np.flatnonzero((places.starts < end) & (places.ends > start))
        if len(inside) and places.starts[inside[0]] <= start and places.ends[inside[-1]] >= end:
            target[0, 1 + inside[0]] = target[1, 1 + inside[-1]] = 1
            return target
    target[:, 0] = 1
    return target


def span_scores(outputs: Sequence[NDArray[np.float32]], places: Sequence[SpanPlaces]) -> SpanScores:
    """Combine the windows of a row, whose logits are 2 x places each.

    A row has no answer only if no window has one, so the sum for no answer is the least of all windows.
    """
    best: dict[tuple[int, int], float] = {}
    none = np.inf
    for output, place in zip(outputs, places, strict=True):
        logits = np.nan_to_num(np.asarray(output, np.float64))
        none = min(none, float(logits[0, 0] + logits[1, 0]))
        for first, last, score in _window_spans(logits[:, 1:]):
            span = (int(place.starts[first]), int(place.ends[last]))
            best[span] = max(score, best.get(span, -np.inf))
    order = sorted(best, key=lambda span: (-best[span], span))[:PER_WINDOW]
    return SpanScores(order, [best[span] for span in order], none if np.isfinite(none) else 0.0)


def ranked_spans(
    candidates: SpanScores, temperature: float, shift: float | None, most: int
) -> list[tuple[tuple[int, int] | None, float]]:
    """Return at most ``most`` answers with their probabilities, best first; None is no answer.

    ``shift`` is added to the sum for no answer; None: every question has an answer.
    """
    options: list[tuple[int, int] | None] = list(candidates.spans)
    scores = list(candidates.scores)
    if shift is not None or not options:
        options.append(None)
        scores.append(candidates.none + (shift or 0.0))
    shares = softmax(np.array(scores) / temperature)
    order = np.argsort(-shares, kind="stable")[:most]
    return [(options[place], float(shares[place])) for place in order]


def _window_spans(logits: NDArray[np.float64]) -> list[tuple[int, int, float]]:
    """The best spans of a window: first and last token of the context, and the sum of their logits."""
    size = logits.shape[1]
    if not size:
        return []
    width = min(size, MOST_TOKENS)
    ends = np.pad(logits[1], (0, width - 1), constant_values=-np.inf)
    sums = logits[0][:, None] + np.lib.stride_tricks.sliding_window_view(ends, width)
    order = np.argsort(-sums, axis=None, kind="stable")[:PER_WINDOW].tolist()
    spans = [(place // width, place // width + place % width, float(sums.flat[place])) for place in order]
    return [span for span in spans if np.isfinite(span[2])]
