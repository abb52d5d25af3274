"""Verification of generated labels by D, out of fold (S4).

A discriminator that was trained on a pair reproduces its label instead of judging it. So the pool is
cut into folds, and each is judged by a D fitted on the labelled rows and the other folds with their
generated labels. A pair (x, y) is discriminated from the wrong pairs (x, not y):

    L_D = -E[log(exp D(x, y) / sum_y' exp D(x, y'))],    D(x, y) = <x, V_y> + b_y

There are two discriminators, of encoder features and of words; they make different errors, and their
logits are averaged.
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
    generated: Probabilities,
    words: Features | None = None,
    progress: Progress | None = None,
) -> Probabilities:
    """Return D's probability of each label for the unlabelled rows, n x K.

    ``generated`` are the probabilities of G_y, ``words`` the word features of labelled, then unlabelled
    texts.
    """
    known, labels = len(inputs.labels), generated.argmax(1)
    features = [(inputs.labeled, inputs.unlabeled)]
    if words is not None and words.shape[1]:
        features.append((words[:known], words[known:]))
    fold = np.random.default_rng(0).permutation(len(generated)) % FOLDS
    verdicts = [np.zeros_like(generated) for _ in features]
    parts = [(kind, number) for kind in range(len(features)) for number in range(FOLDS)]
    for done, (kind, number) in enumerate(parts, start=1):
        held_out = fold == number
        verdicts[kind][held_out] = _judge_fold(*features[kind], inputs, labels, held_out)
        if progress:
            progress(done, len(parts), "folds judged")
    return softmax(np.mean([log(verdict) for verdict in verdicts], axis=0))


def _judge_fold(
    labeled: Features, pool: Features, inputs: LganInputs, labels: Indices, held_out: NDArray[np.bool_]
) -> Probabilities:
    """Judge the ``held_out`` rows of the pool by a D fitted without them."""
    others = ~held_out
    weights = np.concatenate([np.full(len(labeled), LABEL_WEIGHT), np.ones(others.sum())])
    judge_of_pairs = fit_softmax(
        np.vstack([labeled, pool[others]]),
        np.concatenate([inputs.labels, labels[others]]),
        inputs.classes,
        weights.astype(np.float32),
        iterations=ITERATIONS,
    )
    return judge_of_pairs.predict_proba(pool[held_out])
