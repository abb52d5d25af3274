"""Answers of the fine-tuned model for unlabelled rows, as labels: weights, and the alarm for a collapse.

For tasks whose answers are not options of units: spans and texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from react_ray.answer import Answer

__all__ = ["collapse_alarm", "proposal_weights"]

KEPT_SHARE = 0.7
"""Share of the answers to train on, those with the highest scores."""
SAME_SHARE = 0.5
"""Share of equal answers that is a collapse, unless that among the labelled rows is nearer to it than 1."""
MIN_ROWS = 10
"""Answers needed for the alarm."""


def proposal_weights(scores: NDArray[np.floating], seed: int) -> NDArray[np.float32]:
    """Return the weight of each answer: its score, or 0 for those with the lowest scores.

    Equal scores are kept by chance (``seed``), so that the share KEPT_SHARE is never exceeded.

    Example
    -------
    >>> (proposal_weights(np.array([0.9, 0.2, 0.5, 0.8]), seed=0) > 0).tolist()
    [True, False, True, True]
    """
    order = np.lexsort([np.random.default_rng(seed).permutation(len(scores)), scores])
    kept = order[len(scores) - round(KEPT_SHARE * len(scores)) :]
    weights = np.zeros(len(scores), np.float32)
    weights[kept] = scores[kept]
    return weights


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
    share, usual = count / len(shown), Counter(truth)[text] / len(truth)
    if share < SAME_SHARE or share <= (1 + usual) / 2:
        return []
    return [f"{text[:80]!r} is the answer for {share:.0%} of the unlabelled rows"]
