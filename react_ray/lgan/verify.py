"""D as verifier: whether a label belongs to a text (S4).

A D that has seen a pair cannot judge it: it believes what it was told. So the pool is cut
into folds, and each is judged by a D fitted on the labelled rows and the other folds, with
the labels that G_y gave those. A pair (x, y) is told from the wrong pairs (x, not y):

    L_D = -E[log(exp D(x, y) / sum_y' exp D(x, y'))],    D(x, y) = <x, V_y> + b_y

There are two of them, for what the encoder says of a text and for its words; they are right
on different rows, and their verdicts are added.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from react_ray.console.reporter import Progress
from react_ray.lgan.experts import ITERATIONS, LABEL_WEIGHT
from react_ray.lgan.inputs import Features, Indices, LganInputs, Probabilities
from react_ray.lgan.probe import fit_softmax, log, softmax

__all__ = ["judge"]

FOLDS = 3


def judge(
    inputs: LganInputs,
    given: Probabilities,
    words: Features | None = None,
    progress: Progress | None = None,
) -> Probabilities:
    """How much D believes in each label of the unlabelled rows, n x K.

    ``given`` is what G_y says of them, ``words`` describes labelled, then unlabelled texts.
    """
    known, told = len(inputs.labels), given.argmax(1)
    sights = [(inputs.labeled, inputs.unlabeled)]
    if words is not None and words.shape[1]:
        sights.append((words[:known], words[known:]))
    fold = np.random.default_rng(0).permutation(len(given)) % FOLDS
    verdicts = [np.zeros_like(given) for _ in sights]
    parts = [(sight, number) for sight in range(len(sights)) for number in range(FOLDS)]
    for done, (sight, number) in enumerate(parts, start=1):
        own = fold == number
        verdicts[sight][own] = _judge_fold(*sights[sight], inputs, told, own)
        if progress:
            progress(done, len(parts), "folds judged")
    return softmax(np.mean([log(verdict) for verdict in verdicts], axis=0))


def _judge_fold(
    labeled: Features, pool: Features, inputs: LganInputs, told: Indices, own: NDArray[np.bool_]
) -> Probabilities:
    """The ``own`` rows of the pool judged by a D that was not told their labels."""
    others = ~own
    weights = np.concatenate([np.full(len(labeled), LABEL_WEIGHT), np.ones(others.sum())])
    judge_of_pairs = fit_softmax(
        np.vstack([labeled, pool[others]]),
        np.concatenate([inputs.labels, told[others]]),
        inputs.classes,
        weights.astype(np.float32),
        iterations=ITERATIONS,
    )
    return judge_of_pairs.predict_proba(pool[own])
