"""Gate between D_aug and the plain arm, and the alarm for a collapsed label GAN.

With a handful of labels, a comparison of two scores is decided by chance. So the gate deviates from its
default (use D_aug) only if D_aug is worse with high probability, or on an alarm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.model_selection import StratifiedKFold

from react_ray.config.settings import LganConfig
from react_ray.evaluate.intervals import probability_worse
from react_ray.lgan.experts import fit_teacher
from react_ray.lgan.generate import TrainedLabelGenerator
from react_ray.lgan.inputs import Features, Indices, LganInputs, Probabilities
from react_ray.lgan.probe import Probe, fit_probe
from react_ray.tasks.closed_metrics import class_scores, class_statistics

__all__ = ["Decision", "Evidence", "collapse_alarm", "decide", "gather", "worse_limit"]

WORSE = 0.9
"""Probability of being worse above which D_aug is not used."""
WORSE_OF_PROPOSALS = 0.5
"""The same for spans and texts: there generated labels gain almost nothing on average."""
MIN_ROWS = 10
"""Minimum evaluated rows to deviate from the default."""
FOLD_POOL = 1500
"""Unlabelled rows that are used for out-of-fold scores: cheap, and enough for a comparison."""
ENOUGH_ROWS = 1000
"""Evaluated rows after which further folds are skipped: each fold needs a teacher of its own."""
LOSS_CEILING = 1e3
MAX_D_ACCURACY = 0.995
VANISHED_SHARE = 0.05
"""A class has vanished if its frequency is below this share of its estimated one."""
MAX_VANISHED = 0.05
"""Maximum share of the pool in vanished classes: plain methods also miss a class or two of many."""


@dataclass(frozen=True)
class Decision:
    """Whether to use D_aug and why, with the macro-F1 of both methods on ``rows`` rows."""

    use_lgan: bool
    why: str
    alarms: tuple[str, ...]
    probability_worse: float | None = None
    plain: float | None = None
    lgan: float | None = None
    rows: int = 0

    def as_dict(self) -> dict[str, object]:
        """Return the decision for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Evidence:
    """True class indices of n rows, and the predictions of both methods without their labels."""

    truth: Indices
    plain: Indices
    lgan: Indices
    source: str

    def statistics(self, classes: int) -> tuple[csr_array, csr_array]:
        """Return the statistics of the plain probe and of the label GAN, see ``class_statistics``."""
        plain, lgan = (
            class_statistics(self.truth, predicted, classes) for predicted in (self.plain, self.lgan)
        )
        return plain, lgan


def gather(inputs: LganInputs, labeler: TrainedLabelGenerator, config: LganConfig) -> Evidence | None:
    """Predict the validation rows if there are enough, else the labelled rows out of fold.

    None if there are too few, or if a class has no labelled row: the plain probe never predicts that class,
    which gives it an unfair advantage on the others.
    """
    if len(np.unique(inputs.labels)) < inputs.classes:
        return None
    validated = len(inputs.validation) >= MIN_ROWS
    return _evaluate_on_validation(inputs, labeler) if validated else _evaluate_out_of_fold(inputs, config)


def decide(
    evidence: Evidence | None,
    classes: int,
    alarms: Sequence[str],
    seed: int = 0,
    *,
    generated: int,
    kept: int,
) -> Decision:
    """Decide whether to use D_aug, which has ``kept`` of the ``generated`` labels."""
    if alarms:
        return Decision(False, f"The label GAN collapsed: {'; '.join(alarms)}.", tuple(alarms))
    if evidence is None:
        unjudged = "which is the default: the labels cannot decide this (too few, or not of every class)"
        return Decision(True, f"{_subject(generated, kept, True)}, {unjudged}.", ())
    statistics = evidence.statistics(classes)
    plain, lgan = (float(class_scores(counts.sum(0))["macro_f1"]) for counts in statistics)
    worse = probability_worse(*statistics, class_scores, "macro_f1", seed)
    rows = len(evidence.truth)
    figures = (
        f"macro-F1 {lgan:.3f} against {plain:.3f} of the plain probe on {rows} "
        f"{evidence.source} rows; probability of being worse {worse:.2f}"
    )
    use = worse <= WORSE
    why = f"{_subject(generated, kept, use)}: {figures} (limit {WORSE:g})."
    return Decision(use, why, (), worse, plain, lgan, rows)


def worse_limit(labeler: str) -> float:
    """Return the probability of being worse above which the generated labels of a labeler are not used."""
    return WORSE_OF_PROPOSALS if labeler == "proposals" else WORSE


def _subject(generated: int, kept: int, used: bool) -> str:
    """Say whether generated labels are used, or without any, the rest of D_aug."""
    used_or_not = "used" if used else "not used"
    if kept:
        return f"Generated labels are {used_or_not}"
    none = (
        f"None of the {generated:,} generated labels is reliable enough to train on"
        if generated
        else "There was no unlabelled text, so no labels were generated"
    )
    return f"{none}. The model trained on the labelled rows and any changed copies of them is {used_or_not}"


def _evaluate_on_validation(inputs: LganInputs, labeler: TrainedLabelGenerator) -> Evidence:
    rows, labels = inputs.validation, inputs.validation_labels
    plain = _fit_plain_probe(inputs).predict_proba(inputs.sentence.of(rows, inputs.blocks)).argmax(1)
    return Evidence(labels, plain, labeler.predict_proba(rows).argmax(1), "validation")


def _evaluate_out_of_fold(inputs: LganInputs, config: LganConfig) -> Evidence | None:
    """Predict the rows of each fold by a probe and a teacher that are fitted without it."""
    counts = np.bincount(inputs.labels, minlength=inputs.classes)
    repeated = np.flatnonzero(counts[inputs.labels] > 1)
    if len(repeated) < MIN_ROWS:
        return None
    folds = int(min(3, counts[inputs.labels[repeated]].min()))
    sample = np.random.default_rng(0).permutation(len(inputs.unlabeled))[:FOLD_POOL]
    reduced = replace(
        inputs,
        unlabeled=inputs.unlabeled[sample],
        augmented=inputs.augmented[:0],
        augmented_labels=inputs.augmented_labels[:0],
    )
    truth = inputs.labels[repeated]
    plain, lgan, evaluated = np.zeros_like(truth), np.zeros_like(truth), np.zeros(len(truth), bool)
    for _, test in StratifiedKFold(folds, shuffle=True, random_state=0).split(repeated, truth):
        plain[test], lgan[test] = _predict_fold(reduced, repeated[test], config)
        evaluated[test] = True
        if evaluated.sum() >= ENOUGH_ROWS:
            break
    return Evidence(truth[evaluated], plain[evaluated], lgan[evaluated], "labelled (out of fold)")


def _predict_fold(inputs: LganInputs, held_out: Indices, config: LganConfig) -> tuple[Indices, Indices]:
    """Predict the rows ``held_out`` by a probe and a teacher that are fitted without them."""
    train, rows = np.setdiff1d(np.arange(len(inputs.labels)), held_out), inputs.labeled[held_out]
    pool: Features = np.vstack([inputs.unlabeled, rows])
    fitted_on = replace(inputs, labeled=inputs.labeled[train], labels=inputs.labels[train], unlabeled=pool)
    plain = _fit_plain_probe(fitted_on).predict_proba(inputs.sentence.of(rows, inputs.blocks))
    lgan = fit_teacher(fitted_on, config.names, config.rounds).probabilities[len(inputs.unlabeled) :]
    return plain.argmax(1), lgan.argmax(1)


def _fit_plain_probe(inputs: LganInputs) -> Probe:
    return fit_probe(inputs.sentence.of(inputs.labeled, inputs.blocks), inputs.labels, inputs.classes)


def collapse_alarm(
    labels: Probabilities, prior: NDArray[np.float32], history: Sequence[dict[str, float]]
) -> tuple[str, ...]:
    """Return signs of collapse in generated ``labels`` (n x K) and the losses, as messages.

    ``prior`` is the estimated class balance, ``history`` has the mean losses of each period.
    """
    alarms = []
    losses = [value for period in history for name, value in period.items() if name != "step"]
    if not np.isfinite(labels).all() or not np.isfinite(losses).all():
        alarms.append("a loss or a label is not a number")
    elif losses and max(map(abs, losses)) > LOSS_CEILING:
        alarms.append(f"a loss reached {max(map(abs, losses)):.0f} (ceiling {LOSS_CEILING:.0f})")
    accuracy = history[-1].get("discriminator_accuracy", 0.5) if history else 0.5
    if accuracy > MAX_D_ACCURACY:
        alarms.append(f"D classifies {accuracy:.1%} of all pairs correctly, so the generators cannot learn")
    if len(labels) and np.isfinite(labels).all():
        alarms += _balance_alarms(labels, prior)
    return tuple(alarms)


def _balance_alarms(labels: Probabilities, prior: NDArray[np.float32]) -> list[str]:
    shares = np.bincount(labels.argmax(1), minlength=labels.shape[1]) / len(labels)
    alarms = []
    expected, entropy = _entropy(prior), _entropy(shares)
    if entropy < 0.5 * expected:
        alarms.append(
            f"generated labels have an entropy of {entropy:.2f} nats, the class balance {expected:.2f}"
        )
    is_expected = prior * len(labels) >= 5  # a class with fewer rows may be missing by chance
    vanished = np.flatnonzero(is_expected & (shares < VANISHED_SHARE * prior))
    if prior[vanished].sum() > MAX_VANISHED:
        alarms.append(f"{len(vanished)} of {len(prior)} classes vanished (the first: number {vanished[0]})")
    return alarms


def _entropy(shares: NDArray[np.floating]) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log(positive)).sum())
