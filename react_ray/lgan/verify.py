"""Verification of generated labels by D, out of fold (S4).

A discriminator that was trained on a pair reproduces its label instead of verifying it. So the unlabelled
pool is split into folds, and each is verified by a D that is fitted on the labelled rows and on the other
folds with their generated labels. D discriminates a pair (x, y) from the wrong pairs (x, not y):

    L_D = -E[log(exp D(x, y) / sum_y' exp D(x, y'))],    D(x, y) = <x, V_y> + b_y

There are two discriminators, one of encoder features and one of words. Their errors differ, so their log
probabilities are averaged.
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
    """Return D's probability of each label for the unlabelled rows: n x K.

    ``generated`` has the probabilities of G_y, ``words`` the word features of labelled, then unlabelled
    texts.
    """
    n_labeled, labels = len(inputs.labels), generated.argmax(1)
    features = [(inputs.labeled, inputs.unlabeled)]
    if words is not None and words.shape[1]:
        features.append((words[:n_labeled], words[n_labeled:]))
    fold = np.random.default_rng(0).permutation(len(generated)) % FOLDS
    verdicts = [np.zeros_like(generated) for _ in features]
    parts = [(index, fold_number) for index in range(len(features)) for fold_number in range(FOLDS)]
    for finished, (index, fold_number) in enumerate(parts, start=1):
        held_out = fold == fold_number
        verdicts[index][held_out] = _judge_fold(*features[index], inputs, labels, held_out)
        if progress:
            progress(finished, len(parts), "folds judged")
    return softmax(np.mean([log(verdict) for verdict in verdicts], axis=0))


def _judge_fold(
    labeled: Features, pool: Features, inputs: LganInputs, labels: Indices, held_out: NDArray[np.bool_]
) -> Probabilities:
    """Return the probabilities of the ``held_out`` rows (mask) by a D that is fitted without them."""
    train = ~held_out
    weights = np.concatenate([np.full(len(labeled), LABEL_WEIGHT), np.ones(train.sum())])
    discriminator = fit_softmax(
        np.vstack([labeled, pool[train]]),
        np.concatenate([inputs.labels, labels[train]]),
        inputs.classes,
        weights.astype(np.float32),
        iterations=ITERATIONS,
    )
    return discriminator.predict_proba(pool[held_out])
