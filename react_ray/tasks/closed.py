"""Base class of tasks with one of K classes per row: softmax, cross-entropy, calibration, confusion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.answer import Answer
from react_ray.tasks.class_sections import class_table, confusion_section, plain_mistakes
from react_ray.tasks.closed_metrics import Indices, class_figures, class_scores, class_statistics
from react_ray.tasks.columns import Cells, Column, Options
from react_ray.tasks.label_names import label_name
from react_ray.tasks.labels import LabelMap
from react_ray.tasks.sections import Section
from react_ray.tasks.task import Example, Outputs, Padding, Task
from react_ray.tasks.windows import join_windows

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

__all__ = ["ClosedTask", "class_probabilities", "predicted_of", "ranked", "truth_of"]

METRICS_MATRIX_CLASSES = 200
"""With more classes the confusion matrix would dominate metrics.json, and be nearly all zeros."""
RANKED = 100
"""Maximum length of the ranking of an answer."""


class ClosedTask(Task):
    """Task with one of K classes per row, in the column ``label``."""

    columns: ClassVar[tuple[Column, ...]] = (Column("text", "text"), Column("label", "label", target=True))
    answers = "label"
    metrics = ("macro_f1", "accuracy")

    def parse(self, cells: Cells, options: Options) -> dict[str, Any]:
        """Parse a text and the name of its class."""
        return {"text": cells["text"], "label": label_name(cells.get("label"))}

    def loss(self, output: Any, targets: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy with the label distribution of each row."""
        return -(targets * output.logits.float().log_softmax(dim=1)).sum(dim=1)

    def warm_start(self, model: PreTrainedModel, examples: Sequence[Example], padding: Padding) -> bool:
        """Fit the last layer by logistic regression (linear probing then fine-tuning).

        Kumar et al. 2022, arXiv:2202.10054: a random head's first gradients distort
        features that are good already.
        """
        from react_ray.models.head import fit_last_layer

        targets = self.targets(examples, padding)
        return fit_last_layer(model, examples, targets, lambda batch: self.collate(batch, padding))

    def decode(
        self,
        outputs: Outputs,
        examples: Sequence[Example],
        rows: pa.Table,
        labels: Sequence[str],
        settings: Mapping[str, Any],
    ) -> list[Answer]:
        """Return the most probable class, with a ranking of the best ``ranked`` (a setting) classes."""
        probabilities = class_probabilities(outputs, examples, len(labels))
        return ranked(probabilities, labels, settings.get("ranked", RANKED))

    def calibrate(
        self,
        model: PreTrainedModel,
        outputs: Outputs,
        examples: Sequence[Example],
        rows: pa.Table,
        labels: Sequence[str],
    ) -> dict[str, float]:
        """Fold the best temperature for ``rows`` into the last layer."""
        from react_ray.models.head import best_temperature, final_linear, scale_logits

        head = final_linear(model)
        if head is None:
            return {}
        logits = np.reshape(join_windows(outputs, examples), (len(rows), len(labels)))
        temperature = best_temperature(logits, truth_of(rows, labels))
        scale_logits(head, 1 / temperature)
        return {"temperature": temperature}

    def credit(self, answers: Sequence[Answer], rows: pa.Table) -> NDArray[np.float64]:
        """Return 1 where the label is correct, else 0."""
        truth = rows["label"].to_pylist()
        return np.array([a.value == label for a, label in zip(answers, truth, strict=True)], np.float64)

    def statistics(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> Any:
        """See :func:`react_ray.tasks.closed_metrics.class_statistics`."""
        return class_statistics(truth_of(rows, labels), predicted_of(answers, labels), len(labels))

    def score(self, sums: NDArray[np.float64]) -> dict[str, Any]:
        """Return macro-F1 over the classes that are true or predicted, and accuracy."""
        return class_scores(sums)

    def details(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> dict[str, Any]:
        """Return precision, recall and F1 of each class, and the confusion matrix (rows are the truth).

        With many classes there is no matrix; ``cells`` has [truth, predicted, rows] for the pairs that occur.
        """
        truth, predicted = truth_of(rows, labels), predicted_of(answers, labels)
        sums = np.asarray(class_statistics(truth, predicted, len(labels)).sum(0))
        figures: dict[str, Any] = {"per_class": class_figures(sums, labels), "confusion": None}
        cells, counts = np.unique(np.stack([truth, predicted], axis=1), axis=0, return_counts=True)
        if len(labels) > METRICS_MATRIX_CLASSES:
            return figures | {"cells": np.column_stack([cells, counts]).tolist()}
        matrix = np.zeros((len(labels), len(labels)), int)
        matrix[tuple(cells.T)] = counts
        return figures | {"confusion": matrix.tolist()}

    def sections(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> list[Section]:
        """Return sections on scores of the classes, confusion, and most confident mistakes."""
        figures = self.details(answers, rows, labels)["per_class"]
        texts = [field.name for field in self.inputs]
        return [
            class_table(figures, self.nouns, len(labels)),
            self.confusion(answers, rows, labels),
            plain_mistakes(answers, rows, self.credit(answers, rows).tolist(), texts),
        ]

    def confusion(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> Section:
        """Return the section on confusion."""
        pairs = zip(truth_of(rows, labels).tolist(), predicted_of(answers, labels).tolist(), strict=True)
        elsewhere = "; the complete matrix is in metrics.json"
        return confusion_section(Counter(pairs), labels, self.nouns, elsewhere=elsewhere)


def class_probabilities(outputs: Outputs, examples: Sequence[Example], classes: int) -> NDArray[np.floating]:
    """Return the probability of each of K ``classes`` for each row: n x K."""
    joined = join_windows(outputs, examples)
    logits = np.reshape(joined, (len(joined), classes))
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))  # scipy's softmax is slow for one row
    return odds / odds.sum(axis=1, keepdims=True)


def ranked(
    probabilities: NDArray[np.floating], labels: Sequence[str], most: int | None = RANKED
) -> list[Answer]:
    """Convert ``probabilities`` (n x K) to answers: the most probable label, and a ranking of ``most``.

    Ties are in the order of ``labels``. NaN, as after a collapse of training, counts as probability 0.
    """
    values = np.asarray(probabilities)
    if not np.isfinite(values).all():
        values = np.nan_to_num(values, posinf=0)
    order = np.argsort(-values, axis=1, kind="stable")[:, :most]
    shares = values[np.arange(len(values))[:, None], order]
    rankings = [
        tuple((labels[i], share) for i, share in zip(places, row, strict=True))
        for places, row in zip(order.tolist(), shares.tolist(), strict=True)
    ]
    return [Answer(ranking[0][0], ranking[0][1], ranking) for ranking in rankings]


def truth_of(rows: pa.Table, labels: Sequence[str]) -> Indices:
    """Return the index of each row's class in ``labels``."""
    return LabelMap(tuple(labels)).indices(rows["label"].to_pylist())


def predicted_of(answers: Sequence[Answer], labels: Sequence[str]) -> Indices:
    """Return the index of each answer's class in ``labels``."""
    return LabelMap(tuple(labels)).indices([answer.value for answer in answers])
