"""Labels of the unlabelled pool from proposals: verified by D, joined with names, aligned, sharpened."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from react_ray.data.views import BLOCKS, SENTENCE
from react_ray.labelers import candidates
from react_ray.labelers.label_names import name_probabilities, names_weight

__all__ = ["label_steps"]

Array = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]


def label_steps(
    labelled: Arrays,
    truth: Array,
    pool: Arrays,
    exclusive: bool,
    fold: NDArray[np.int64] | None,
    names: Array | None,
    seed: int,
    blocks: int = BLOCKS,
) -> tuple[dict[str, Array], float]:
    """Label probabilities of the pool's units after each step, and the weight of the names of labels.

    Parameters
    ----------
    labelled, pool
        ``features`` (units x d) of the labelled rows and the pool; of the pool also ``given``, the proposed
        probabilities (units x options).
    truth
        Targets of the labelled units, u x options.
    exclusive
        Whether a unit has exactly one of the options; else any number of them.
    fold
        Fold of each unit of the pool, for D; without it there is no D.
    names
        Features of the names of the options, options x d; None: they are no evidence.
    blocks
        Blocks of a row of features, if there are names.
    """
    shares = truth.mean(0)
    align = candidates.align_balance if exclusive else candidates.align_shares
    steps = {"proposed": pool["given"]}
    joined = pool["given"] if exclusive else align(pool["given"], shares)
    if fold is not None and len(joined):
        arguments = (labelled["features"], truth, pool["features"], joined, fold, exclusive)
        steps["by D"] = candidates.judge_units(*arguments)
        steps["joined"] = joined = candidates.join(joined, steps["by D"], exclusive)
    weight = 0.0
    if names is not None and len(joined):
        sentences = SENTENCE.of(np.concatenate([labelled["features"], pool["features"]]), blocks)
        named = name_probabilities(sentences, SENTENCE.of(names, blocks), shares)
        weight = names_weight(labelled["features"], truth, named[: len(truth)], seed)
        steps["by names"] = named[len(truth) :]
        steps["joined with names"] = joined = candidates.join(joined, steps["by names"], exclusive, weight)
    steps["aligned"] = align(joined, shares)
    steps["sharpened"] = align(candidates.sharpen(joined, exclusive), shares)
    return steps, weight
