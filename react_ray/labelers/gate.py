"""The collapse alarm, and the gate between D_aug and the plain arm.

With a handful of labels a comparison of two scores decides by chance, so the gate
leaves its default (D_aug helps) only when D_aug is worse with high probability, or
on an alarm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.model_selection import StratifiedKFold

from react_ray.config.settings import LganConfig
from react_ray.data.views import SENTENCE
from react_ray.evaluate.intervals import probability_worse
from react_ray.lgan.experts import fit_teacher
from react_ray.lgan.generate import Labeler
from react_ray.lgan.inputs import Features, Indices, LganInputs, Probabilities
from react_ray.lgan.probe import Probe, fit_probe
from react_ray.tasks.closed_metrics import class_scores, class_statistics

__all__ = ["Decision", "Evidence", "collapse_alarm", "decide", "gather"]

WORSE = 0.9
"""Probability of being worse at which D_aug is given up."""
MIN_ROWS = 10
"""Fewer judged rows than this cannot speak against the default."""
FOLD_POOL = 1500
"""Pool rows used for out-of-fold scores: enough to tell better from worse, and cheap."""
ENOUGH_ROWS = 1000
"""Judged rows after which no further fold is judged: each takes a teacher of its own."""
LOSS_CEILING = 1e3
PINNED = 0.995
VANISHED = 0.05
"""A class vanished when it gets less than this share of its estimated part."""
LOST = 0.05
"""Of the pool, in vanished classes: less is a class or two of many, which plain methods miss as well."""


@dataclass(frozen=True)
class Decision:
    """Whether D_aug is used, why, and on what evidence: macro-F1 of both on ``rows`` rows."""

    use_lgan: bool
    why: str
    alarms: tuple[str, ...]
    probability_worse: float | None = None
    plain: float | None = None
    lgan: float | None = None
    rows: int = 0

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Evidence:
    """True class indices of n rows, and what both methods took them for without knowing them."""

    truth: Indices
    plain: Indices
    lgan: Indices
    where: str

    def statistics(self, classes: int) -> tuple[csr_array, csr_array]:
        """Counts of the plain probe and of the label GAN, see ``class_statistics``."""
        plain, lgan = (class_statistics(self.truth, made, classes) for made in (self.plain, self.lgan))
        return plain, lgan


def gather(inputs: LganInputs, labeler: Labeler, config: LganConfig) -> Evidence | None:
    """Judge validation rows if there are enough, else the labelled ones out of fold; None if few.

    None too where a class has no labelled row: the plain probe is ahead on the other classes because
    it cannot give that one to anything.
    """
    if len(np.unique(inputs.labels)) < inputs.classes:
        return None
    validated = len(inputs.validation) >= MIN_ROWS
    return _on_validation(inputs, labeler) if validated else _out_of_fold(inputs, config)


def decide(
    evidence: Evidence | None,
    classes: int,
    alarms: Sequence[str],
    seed: int = 0,
    *,
    generated: int,
    kept: int,
) -> Decision:
    """Whether evidence and alarms leave room for D_aug, with ``kept`` of ``generated`` labels in it."""
    if alarms:
        return Decision(False, f"The label GAN collapsed: {'; '.join(alarms)}.", tuple(alarms))
    if evidence is None:
        unjudged = "as by default: the labels cannot judge this (too few, or not of every class)"
        return Decision(True, f"{_about(generated, kept, True)}, {unjudged}.", ())
    statistics = evidence.statistics(classes)
    plain, lgan = (float(class_scores(found.sum(0))["macro_f1"]) for found in statistics)
    worse = probability_worse(*statistics, class_scores, "macro_f1", seed)
    rows = len(evidence.truth)
    figures = (
        f"macro-F1 {lgan:.3f} against {plain:.3f} of the plain probe on {rows} "
        f"{evidence.where} rows; probability of being worse {worse:.2f}"
    )
    use = worse <= WORSE
    why = f"{_about(generated, kept, use)}: {figures} (limit {WORSE:g})."
    return Decision(use, why, (), worse, plain, lgan, rows)


def _about(generated: int, kept: int, used: bool) -> str:
    """What is used or not: generated labels, or where there are none, the rest of D_aug."""
    used_or_not = "used" if used else "not used"
    if kept:
        return f"Generated labels are {used_or_not}"
    none = (
        f"None of the {generated:,} generated labels is reliable enough to train on"
        if generated
        else "There was no unlabelled text, so no labels were generated"
    )
    return f"{none}. The model trained on the labelled rows and any changed copies of them is {used_or_not}"


def _on_validation(inputs: LganInputs, labeler: Labeler) -> Evidence:
    rows, labels = inputs.validation, inputs.validation_labels
    plain = _plain(inputs).predict_proba(SENTENCE.of(rows, inputs.blocks)).argmax(1)
    return Evidence(labels, plain, labeler.predict_proba(rows).argmax(1), "validation")


def _out_of_fold(inputs: LganInputs, config: LganConfig) -> Evidence | None:
    """Probe and teacher fitted without each fold label the rows of the fold."""
    counts = np.bincount(inputs.labels, minlength=inputs.classes)
    held = np.flatnonzero(counts[inputs.labels] > 1)
    if len(held) < MIN_ROWS:
        return None
    folds = int(min(3, counts[inputs.labels[held]].min()))
    keep = np.random.default_rng(0).permutation(len(inputs.unlabeled))[:FOLD_POOL]
    small = replace(
        inputs,
        unlabeled=inputs.unlabeled[keep],
        augmented=inputs.augmented[:0],
        augmented_labels=inputs.augmented_labels[:0],
    )
    truth = inputs.labels[held]
    plain, lgan, judged = np.zeros_like(truth), np.zeros_like(truth), np.zeros(len(truth), bool)
    for _, test in StratifiedKFold(folds, shuffle=True, random_state=0).split(held, truth):
        plain[test], lgan[test] = _label_fold(small, held[test], config)
        judged[test] = True
        if judged.sum() >= ENOUGH_ROWS:
            break
    return Evidence(truth[judged], plain[judged], lgan[judged], "labelled (out of fold)")


def _label_fold(inputs: LganInputs, out: Indices, config: LganConfig) -> tuple[Indices, Indices]:
    """What the probe and the teacher, fitted without the rows ``out``, take them for."""
    rest, rows = np.setdiff1d(np.arange(len(inputs.labels)), out), inputs.labeled[out]
    pool: Features = np.vstack([inputs.unlabeled, rows])
    without = replace(inputs, labeled=inputs.labeled[rest], labels=inputs.labels[rest], unlabeled=pool)
    plain = _plain(without).predict_proba(SENTENCE.of(rows, inputs.blocks))
    lgan = fit_teacher(without, config.names, config.rounds).probabilities[len(inputs.unlabeled) :]
    return plain.argmax(1), lgan.argmax(1)


def _plain(inputs: LganInputs) -> Probe:
    return fit_probe(SENTENCE.of(inputs.labeled, inputs.blocks), inputs.labels, inputs.classes)


def collapse_alarm(
    labels: Probabilities, prior: NDArray[np.float32], history: Sequence[dict[str, float]]
) -> tuple[str, ...]:
    """What is wrong with generated ``labels`` (n x K) and the losses; empty if nothing is.

    ``prior`` is the estimated class balance, ``history`` the mean losses of each period.
    """
    found = []
    losses = [value for period in history for name, value in period.items() if name != "step"]
    if not np.isfinite(labels).all() or not np.isfinite(losses).all():
        found.append("a loss or a label is not a number")
    elif losses and max(map(abs, losses)) > LOSS_CEILING:
        found.append(f"a loss reached {max(map(abs, losses)):.0f} (ceiling {LOSS_CEILING:.0f})")
    if history and history[-1].get("discriminator_accuracy", 0.5) > PINNED:
        found.append(f"D is right on {history[-1]['discriminator_accuracy']:.1%} of all pairs: no game left")
    if len(labels) and np.isfinite(labels).all():
        found += _balance_alarms(labels, prior)
    return tuple(found)


def _balance_alarms(labels: Probabilities, prior: NDArray[np.float32]) -> list[str]:
    given = np.bincount(labels.argmax(1), minlength=labels.shape[1]) / len(labels)
    found = []
    expected, entropy = _entropy(prior), _entropy(given)
    if entropy < 0.5 * expected:
        found.append(f"generated labels hold {entropy:.2f} nats where the class balance has {expected:.2f}")
    due = prior * len(labels) >= 5  # a class due fewer rows may be missing by chance
    gone = np.flatnonzero(due & (given < VANISHED * prior))
    if prior[gone].sum() > LOST:
        found.append(f"{len(gone)} of {len(prior)} classes vanished (the first: number {gone[0]})")
    return found


def _entropy(shares: NDArray[np.floating]) -> float:
    some = shares[shares > 0]
    return float(-(some * np.log(some)).sum())
