"""What metrics.json holds, as types: the pipeline fills it, report and model card read it.

Shares, scores and probabilities are 0 to 1. An interval is [low, high] and covers 95%.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

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


class Figures(TypedDict):
    """How good predictions for ``n`` rows are.

    macro_f1 is the mean over the classes that are true or predicted for some row, as
    scikit-learn has it by default; ece is the expected calibration error (15 bins).
    """

    n: int
    macro_f1: float
    macro_f1_interval: list[float]
    accuracy: float
    accuracy_interval: list[float]
    ece: float


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


class Score(Figures):
    """Figures in detail. ``per_class`` has the classes that count in macro_f1, and no others.

    ``confusion[i][j]`` is the number of rows of class i taken for class j, in the order of
    ``Metrics.classes``; with more than 200 classes it is None, and ``cells`` has [i, j, rows] for each
    pair that occurs. ``reliability`` leaves out bins without rows.
    """

    per_class: dict[str, ClassScore]
    confusion: list[list[int]] | None
    cells: NotRequired[list[list[int]]]
    reliability: list[Bin]


class Difference(TypedDict):
    """By how much one model's macro-F1 is above another's on the same rows."""

    macro_f1: float
    interval: list[float]


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
    """Labels made for unlabelled rows, and how right they are where truth is known.

    ``kept`` were believed enough to train on (weight above 0), ``foreign`` were left out as
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
    ``chosen`` is a key of ``arms``, ``why`` a sentence. ``label_quality`` is None without
    unlabelled rows. ``seconds`` has one entry a stage, ``reused`` those not run again.
    """

    version: str
    task: str
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
