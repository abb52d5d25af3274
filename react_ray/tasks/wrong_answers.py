"""Wrong targets of open tasks, to fit a discriminator on: spans, and texts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from react_ray.models.writing_systems import has_spaces
from react_ray.tasks.answer_like import answer_like_spans, overlaps

__all__ = ["wrong_spans", "wrong_texts"]

SPANS = 3
"""Wrong spans of a row of each kind."""

Spans = Sequence[Sequence[int]]


def wrong_spans(contexts: Sequence[str], answers: Sequence[Spans], seed: int) -> list[list[list[list[int]]]]:
    """Return wrong answers for each question: other spans of its context, and no answer if it has one.

    Other spans are those that look like answers, and answers of other questions about the same context.

    Example
    -------
    >>> wrong_spans(["Ada met Bob in 1843."], [[[0, 3]]], seed=0)
    [[[[8, 11]], [[15, 19]], []]]
    """
    random = np.random.default_rng(seed)
    of_context: dict[str, list[Sequence[int]]] = defaultdict(list)
    for context, spans in zip(contexts, answers, strict=True):
        of_context[context] += spans
    alike = {context: answer_like_spans(context) for context in of_context}
    wrong = []
    for context, spans in zip(contexts, answers, strict=True):
        samples = [_draw(candidates, spans, random) for candidates in (alike[context], of_context[context])]
        distinct = sorted({span for sample in samples for span in sample})
        wrong.append([[list(span)] for span in distinct] + ([[]] if spans else []))
    return wrong


def _draw(spans: Spans, answers: Spans, random: np.random.Generator) -> list[tuple[int, ...]]:
    free = sorted({tuple(span) for span in spans if not overlaps(span, answers)})
    return [free[place] for place in random.permutation(len(free))[:SPANS].tolist()]


def wrong_texts(targets: Sequence[str], seed: int) -> list[list[str]]:
    """Return wrong texts for each row: the target of another row, its own shuffled, and its first half.

    Texts without spaces are shuffled by characters.
    """
    random = np.random.default_rng(seed)
    shift = int(random.integers(1, len(targets))) if len(targets) > 1 else 0
    wrong = []
    for row, target in enumerate(targets):
        space = " " if has_spaces(target) else ""
        words = target.split(" ") if space else list(target)
        shuffled = space.join(words[place] for place in random.permutation(len(words)))
        texts = [targets[(row + shift) % len(targets)], shuffled, space.join(words[: len(words) // 2])]
        wrong.append([text for text in dict.fromkeys(texts) if text and text != target])
    return wrong
