"""Types of the content of metrics.json, which the report and the model card read.

Shares, scores and probabilities are 0 to 1. An interval is [low, high], at 95% confidence.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

__all__ = [
    "Arm",
    "Bin",
    "ClassLabels",
    "Cut",
    "Difference",
    "Figures",
    "LabelQuality",
    "Metrics",
    "Score",
]


Figures = dict[str, Any]
"""Metrics of the answers for ``n`` rows: n, each metric of the task, METRIC_interval, and ece, the expected
calibration error of the scores (15 bins): the gap to ``Task.correct``."""
Score = dict[str, Any]
"""Figures, the details of the task, and ``reliability`` (the non-empty Bins).

Details of classification: ``per_class`` ({precision, recall, f1, support} of each class that counts in
macro_f1) and ``confusion``: ``confusion[i][j]`` rows of class i were predicted as class j, in the order of
``Metrics.classes``. With more than 200 classes it is None, and ``cells`` has [i, j, rows] for each pair that
occurs.
"""
Difference = dict[str, Any]
"""Difference of two models in the headline metric on the same rows: {METRIC: float, interval}."""


class Bin(TypedDict):
    """Rows with a predicted probability in (low, high], and the ``accuracy`` of the predictions."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


class Arm(TypedDict):
    """Metrics of an arm of the run; None if there were no rows.

    ``lead`` is that of the saved model over this arm on the test rows, or without them on the validation
    rows.
    """

    validation: Figures | None
    test: Figures | None
    lead: NotRequired[Difference | None]


class ClassLabels(TypedDict):
    """Generated labels of a class; ``accuracy`` of those with known truth, None if there are none."""

    generated: int
    kept: int
    accuracy: float | None


class LabelQuality(TypedDict):
    """Quality of the generated labels of unlabelled rows.

    ``kept`` were certain enough to train on (weight above 0), ``foreign`` were left out because they are out
    of scope (unlike all labelled rows), and ``known`` have a truth. ``auroc_weight`` and ``auroc_score`` are
    the probability that a correct label has a higher weight (score of D) than a wrong one. ``ece_weight`` and
    ``reliability`` use the weights of kept rows as probabilities. Metrics that need truth are None without
    it; the AUROC is also None if all labels are correct or all wrong. ``balance`` is the estimated share of
    each class.
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


class Cut(TypedDict):
    """What the model does not read, in a sample of ``rows``: the shares of ``texts`` and of ``tokens``.

    ``read`` is the mean number of tokens that it reads of a row, in up to ``windows`` inputs of at most
    ``max_length`` tokens.
    """

    rows: int
    texts: float
    tokens: float
    read: float
    max_length: int
    windows: int


class Metrics(TypedDict):
    """Content of metrics.json.

    ``test`` and ``validation`` are the scores of the saved model, None without rows of that part. ``rows``
    counts the rows of each part, ``unused`` the unlabelled ones beyond ``data.pool``, ``refused`` the
    rejected rows by reason. ``notes`` say how files were read, ``warnings`` are sentences about the labels
    (similar names, classes whose rows were all rejected). ``labels_used`` is the number of labels that the
    run used, including validation but not test. ``headline`` is the task's first metric. ``chosen`` is a key
    of ``arms``, ``why`` a sentence. ``label_quality`` is None without unlabelled rows. ``seconds`` has an
    entry for each stage, ``reused`` lists the stages that were not run again.
    """

    version: str
    task: str
    headline: str
    seed: int
    model: str
    encoders: dict[str, float | None]
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
    cut: Cut
    seconds: dict[str, float]
    reused: list[str]
