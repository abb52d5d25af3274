"""What metrics.json holds, as types: the pipeline fills it, report and model card read it.

Shares, scores and probabilities are 0 to 1. An interval is [low, high] and covers 95%.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

__all__ = [
    "Arm",
    "Bin",
    "ClassLabels",
    "ClassScore",
    "Difference",
    "Figures",
    "LabelQuality",
    "Metrics",
    "Score",
]


Figures = dict[str, Any]
"""How good answers for ``n`` rows are: n, each metric of the task with METRIC_interval, and ece, the expected
calibration error of their scores (15 bins)."""
Score = dict[str, Any]
"""Figures, the details of the task, and ``reliability`` (Bins; those without rows are left out).

Details of classification: ``per_class`` (ClassScore of each class that counts in macro_f1) and ``confusion``:
``confusion[i][j]`` rows of class i were taken for class j, in the order of ``Metrics.classes``. With more
than 200 classes it is None, and ``cells`` has [i, j, rows] for each pair that occurs.
"""
Difference = dict[str, Any]
"""By how much one model's headline metric is above another's on the same rows: {METRIC: float, interval}."""


class ClassScore(TypedDict):
    """One class; ``support`` is the number of rows it is the truth of."""

    precision: float
    recall: float
    f1: float
    support: int


class Bin(TypedDict):
    """The rows predicted with a probability in (low, high]: ``accuracy`` of them are right."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


class Arm(TypedDict):
    """A method of the run; None where it was not measured.

    ``lead``: of the saved model over this arm on the test rows, without test rows on
    the validation rows.
    """

    validation: Figures | None
    test: Figures | None
    lead: NotRequired[Difference | None]


class ClassLabels(TypedDict):
    """Generated labels of one class; ``accuracy`` of those with known truth, None if none."""

    generated: int
    kept: int
    accuracy: float | None


class LabelQuality(TypedDict):
    """Labels generated for unlabelled rows, and how right they are where truth is known.

    ``kept`` were certain enough to train on (weight above 0), ``foreign`` were left out as
    they are like none of the labelled rows, ``known`` have a truth.
    ``auroc_weight`` and ``auroc_score``: chance that a right label has the higher weight
    (verdict of D) than a wrong one. ``ece_weight`` and ``reliability`` take the weight of
    kept rows for a probability. Figures that need truth are None without it, areas also
    when all labels are right or all wrong. ``balance``: estimated share of each class.
    """

    generated: int
    kept: int
    foreign: int
    known: int
    accuracy: float | None
    kept_accuracy: float | None
    auroc_weight: float | None
    auroc_score: float | None
    ece_weight: float | None
    reliability: list[Bin]
    per_class: dict[str, ClassLabels]
    balance: dict[str, float] | None


class Metrics(TypedDict):
    """The whole of metrics.json.

    ``test`` and ``validation`` are those of the saved model, None without rows of that
    part. ``rows`` counts the rows of each part, ``unused`` the unlabelled ones beyond
    ``data.pool``, ``refused`` those of each reason; ``notes`` say how files were read, where that is not
    obvious; ``warnings`` are sentences on the labels (similar names, classes whose rows were all
    rejected). ``labels_used`` are all labels the run saw, validation included, test not.
    ``headline`` names the task's first metric.
    ``chosen`` is a key of ``arms``, ``why`` a sentence. ``label_quality`` is None without
    unlabelled rows. ``seconds`` has one entry a stage, ``reused`` those not run again.
    """

    version: str
    task: str
    headline: str
    seed: int
    model: str
    classes: list[str]
    labels_used: int
    rows: dict[str, int]
    unused: int
    refused: dict[str, int]
    notes: list[str]
    warnings: list[str]
    test: Score | None
    validation: Score | None
    arms: dict[str, Arm]
    chosen: str
    why: str
    label_quality: LabelQuality | None
    seconds: dict[str, float]
    reused: list[str]
