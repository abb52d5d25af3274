"""Labels of the unlabelled pool from proposals: verified by D, joined with names, aligned, sharpened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from react_ray.data.views import BLOCKS, SENTENCE
from react_ray.evaluate.wording import metric_title
from react_ray.labelers import candidates
from react_ray.labelers.label_names import name_probabilities, names_weight

__all__ = ["HeldOut", "Verifier", "label_steps", "try_verifier"]

Array = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]
Steps = dict[str, Array]


def label_steps(
    labelled: Arrays,
    truth: Array,
    pool: Arrays,
    exclusive: bool,
    fold: NDArray[np.int64] | None,
    names: Array | None,
    seed: int,
    blocks: int = BLOCKS,
) -> tuple[Steps, float]:
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


@dataclass(frozen=True)
class HeldOut:
    """Labelled rows that the proposing model was not trained on, labelled together with the pool.

    ``score`` returns their headline metric, called ``metric``, for the probabilities of all units.
    """

    rows: int
    metric: str
    score: Callable[[Array], float]


@dataclass(frozen=True)
class Verifier:
    """Whether D is joined with the proposals, a sentence on the evidence, and figures of held-out rows."""

    used: bool
    why: str
    figures: dict[str, float]


def try_verifier(
    label: Callable[[bool], tuple[Steps, float]], held_out: HeldOut | None
) -> tuple[Steps, float, Verifier]:
    """Label the pool with D, or without it if the labels of held-out rows are better so.

    Parameters
    ----------
    label
        Returns the result of :func:`label_steps`, with D or without.
    held_out
        Rows to compare both on; None: there are too few, and D is used.
    """
    steps, weight = label(True)
    if held_out is None:
        return (
            steps,
            weight,
            Verifier(
                True,
                "The discriminator D judges them too: there are too few held-out rows to try without it.",
                {},
            ),
        )
    alone, weight_alone = label(False)
    with_d, without_d = (held_out.score(labels["aligned"]) for labels in (steps, alone))
    used = with_d >= without_d
    why = (
        f"On {held_out.rows:,} held-out rows the proposals have an {metric_title(held_out.metric)} of "
        f"{with_d:.3f} joined with D and {without_d:.3f} alone, so D is {'joined' if used else 'not used'}."
    )
    figures = {"rows": float(held_out.rows), "with_d": with_d, "without_d": without_d}
    verifier = Verifier(used, why, figures)
    return (steps, weight, verifier) if used else (alone, weight_alone, verifier)
