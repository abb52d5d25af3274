"""Answers of the fine-tuned model for unlabelled rows, as labels: weights, and the alarm for a collapse.

For tasks whose answers are not options of units: spans and texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from react_ray.answer import Answer
from react_ray.labelers.candidates import FOLDS, fold_of_rows
from react_ray.labelers.pairs import Mix, Pairs, fit_mix

__all__ = ["Verified", "collapse_alarm", "proposal_weights", "verify"]

KEPT_SHARE = 0.7
"""Share of the answers to train on, those with the highest scores."""
SAME_SHARE = 0.5
"""Share of equal answers that is a collapse, unless that among the labelled rows is nearer to it than 1."""
MIN_ROWS = 10
"""Answers needed for the alarm."""
MIN_HELD_OUT = 30
"""Held-out rows needed to calibrate D on; with fewer, D and the model's own score have the same weight."""
CORRECT = 0.5
"""Credit above which an answer counts as correct."""


def proposal_weights(scores: NDArray[np.floating], seed: int) -> NDArray[np.float32]:
    """Return the weight of each answer: its score, or 0 for those with the lowest scores.

    Equal scores are kept by chance (``seed``), so that the share KEPT_SHARE is never exceeded.

    Example
    -------
    >>> (proposal_weights(np.array([0.9, 0.2, 0.5, 0.8]), seed=0) > 0).tolist()
    [True, False, True, True]
    """
    order = np.lexsort([np.random.default_rng(seed).permutation(len(scores)), scores])
    selected = order[len(scores) - round(KEPT_SHARE * len(scores)) :]
    weights = np.zeros(len(scores), np.float32)
    weights[selected] = scores[selected]
    return weights


@dataclass(frozen=True)
class Verified:
    """Answers for the unlabelled rows after D, a sentence on them, and figures of the held-out rows.

    ``mix`` joins D's and the model's score of a candidate; None: D is not used.
    """

    answers: list[Answer]
    why: str
    figures: dict[str, float]
    mix: Mix | None


def verify(
    values: Sequence[Sequence[Any]],
    judged: NDArray[np.float32],
    pool: Pairs,
    judged_held_out: NDArray[np.float32],
    held_out: Pairs,
    credit: NDArray[np.float64],
    seed: int,
) -> Verified:
    """Choose the best candidate of each row by D and the model's own score together.

    The probability of a candidate is calibrated on held-out rows. Where the answers for these that would be
    trained on have less credit than by the model's own score, D is not used.

    Parameters
    ----------
    values
        The candidates of each unlabelled row.
    judged, pool
        D's verdicts on them and their pairs (p).
    judged_held_out, held_out, credit
        D's verdicts on candidates for held-out rows, their pairs, and how right they are (q).
    """
    mix, figures = Mix(), {}
    correct = credit > CORRECT
    if len(np.unique(held_out.row)) >= MIN_HELD_OUT and 0 < correct.sum() < len(correct):
        figures = _figures(judged_held_out, held_out, credit, seed)
        mix = fit_mix(judged_held_out, held_out.score, correct)
    used = figures.get("with_d", 1.0) >= figures.get("own_score", 0.0)
    score = mix(judged, pool.score) if used else pool.score
    parts = np.split(score, np.flatnonzero(np.diff(pool.row)) + 1) if len(values) else []
    answers = [
        Answer(candidates[int(part.argmax())], float(part.max()))
        for candidates, part in zip(values, parts, strict=True)
    ]
    return Verified(answers, _describe(used, figures), figures, mix if used else None)


def _figures(
    judged: NDArray[np.float32], held_out: Pairs, credit: NDArray[np.float64], seed: int
) -> dict[str, float]:
    """Mean credit of the held-out answers that would be trained on, with D (out of fold) and without."""
    rows, row = np.unique(held_out.row, return_inverse=True)
    fold = fold_of_rows(len(rows), seed)[row]
    mixed = held_out.score.copy()
    for number in range(FOLDS):
        inside = fold == number
        mix = fit_mix(judged[~inside], held_out.score[~inside], credit[~inside] > CORRECT)
        mixed[inside] = mix(judged[inside], held_out.score[inside])
    figures = {"rows": float(len(rows))}
    for name, score in (("own_score", held_out.score), ("with_d", mixed)):
        order = np.lexsort((-score, row))
        best = order[np.r_[True, np.diff(row[order]) > 0]]
        selected = proposal_weights(score[best], seed) > 0
        figures[name] = float(credit[best][selected].mean())
    return figures


def _describe(used: bool, figures: dict[str, float]) -> str:
    if not figures:
        return "D and the model's own score choose them, with the same weight for lack of held-out rows."
    sentence = (
        f"On {figures['rows']:.0f} held-out rows the most certain answers have a credit of "
        f"{figures['with_d']:.3f} with D and {figures['own_score']:.3f} by the model's own score alone"
    )
    return f"{sentence}, so D {'chooses them' if used else 'is not used'}."


def collapse_alarm(answers: Sequence[Answer], shown: Sequence[str], truth: Sequence[str]) -> list[str]:
    """Return a message if most answers are the same, which the labelled rows are not.

    Parameters
    ----------
    answers
        Those for the unlabelled rows.
    shown
        The same in words.
    truth
        The targets of the labelled rows in words.
    """
    if len(answers) < MIN_ROWS or not truth:
        return []
    text, count = Counter(shown).most_common(1)[0]
    share, expected = count / len(shown), Counter(truth)[text] / len(truth)
    if share < SAME_SHARE or share <= (1 + expected) / 2:
        return []
    return [f"{text[:80]!r} is the answer for {share:.0%} of the unlabelled rows"]
