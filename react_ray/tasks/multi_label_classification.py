"""Multi-label classification: any number of labels per text.

Each label is a binary decision: sigmoid and binary cross-entropy. The thresholds of the labels are folded
into the bias of the last layer, so that a label is in the set if its logit is at least 0: transformers with
its threshold of 0.5 gives the same sets. The thresholds are also kept in the configuration (``shifts``) and
added back before a logit is converted to a probability, so that probabilities stay calibrated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import expit, logit

from react_ray.answer import Answer
from react_ray.models.tokenizer import TextTokenizer
from react_ray.tasks.class_sections import class_table
from react_ray.tasks.closed_metrics import class_figures
from react_ray.tasks.columns import Cells, Column, Options
from react_ray.tasks.label_sets import flagged_labels, label_set, set_targets
from react_ray.tasks.nouns import SETS
from react_ray.tasks.sections import Section
from react_ray.tasks.set_metrics import Sets, set_credit, set_scores, set_statistics
from react_ray.tasks.set_sections import average_precision, set_mistakes, set_pairs
from react_ray.tasks.task import Example, Outputs, Padding
from react_ray.tasks.thresholds import best_sharpness, f1_thresholds, share_thresholds
from react_ray.tasks.units import Distributions, UnitTask
from react_ray.tasks.windows import join_windows, row_targets, text_examples

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

__all__ = ["MultiLabelClassification", "calibrate_to_shares"]


class MultiLabelClassification(UnitTask):
    """Any number of labels for a text: emotions, topics, codes of an invoice."""

    name = "multi-label-classification"
    title = "multi-label classification"
    nouns = SETS
    columns = (Column("text", "text"), Column("labels", "labels", target=True))
    target = pa.field("labels", pa.list_(pa.string()))
    exclusive = False
    long_texts = "windows"
    settles_on_unlabeled = True
    metrics = ("macro_f1", "micro_f1", "subset_accuracy", "label_ranking_average_precision")
    checkpoint_metric = "label_ranking_average_precision"
    answers = "labels"
    added: ClassVar[tuple[pa.Field, ...]] = (
        pa.field("labels", pa.list_(pa.string())),
        pa.field("scores", pa.list_(pa.float64())),
    )

    # --- rows

    def parse(self, cells: Cells, options: Options) -> dict[str, Any]:
        """Parse a text and its labels: [] is a text without any label, None an unlabelled one."""
        if options.label_columns:
            labels = flagged_labels(cells, options.label_columns)
        else:
            labels = label_set(cells.get("labels"), options.separator)
        return {"text": cells["text"], "labels": labels}

    def names_in(self, target: Any) -> list[str]:
        """Return the labels."""
        return list(target)

    def shown(self, target: Any, row: Mapping[str, Any] | None = None) -> str:
        """Format the labels with commas, such as "joy, love"; "no label" for an empty set."""
        return ", ".join(target) or "no label"

    # --- the model

    def load_model(self, name: str, labels: Sequence[str], dropout: float | None = None) -> PreTrainedModel:
        """Load a sequence classifier with one output per label; a head for other labels is replaced."""
        from react_ray.models.heads import load_sequence_classifier

        return load_sequence_classifier(name, labels, dropout, "multi_label_classification")

    def encode(self, tokenizer: TextTokenizer, rows: pa.Table, labels: Sequence[str]) -> list[Example]:
        """Encode the columns text and, if present, labels (names, or K probabilities) and weight."""
        labeled = "labels" in rows.column_names
        targets = set_targets(rows["labels"], labels) if labeled else [None] * len(rows)
        return text_examples(tokenizer, rows, list(targets))

    def loss(self, output: Any, targets: torch.Tensor) -> torch.Tensor:
        """Return the binary cross-entropy with the probability of each label, averaged over labels."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        losses = binary_cross_entropy_with_logits(output.logits.float(), targets, reduction="none")
        return losses.mean(dim=1)

    def warm_start(self, model: PreTrainedModel, examples: Sequence[Example], padding: Padding) -> bool:
        """Fit the last layer by one logistic regression per label.

        The fitted bias starts a rare label at its frequency: starting from 0, training would mostly learn
        that the label is rare.
        """
        from react_ray.models.head import fit_last_layer

        targets = self.targets(examples, padding)
        return fit_last_layer(
            model, examples, targets, lambda batch: self.collate(batch, padding), binary=True
        )

    # --- answers

    def decode(
        self,
        outputs: Outputs,
        examples: Sequence[Example],
        rows: pa.Table,
        labels: Sequence[str],
        settings: Mapping[str, Any],
    ) -> list[Answer]:
        """Return the labels with a logit of at least 0, sorted, with a ranking of all by probability.

        The score is the probability that the whole set is correct if labels are independent.
        """
        joined = join_windows(outputs, examples)
        logits = np.reshape(joined, (len(joined), len(labels))).astype(np.float64)
        shifts = np.asarray(settings.get("shifts") or np.zeros(len(labels)))
        return _answers(logits >= 0, expit(logits + shifts), labels)

    # --- labels and their probabilities, for the labeler

    def propose(
        self,
        outputs: Outputs,
        examples: Sequence[Example],
        rows: pa.Table,
        labels: Sequence[str],
        settings: Mapping[str, Any],
    ) -> list[NDArray[np.float32]]:
        """Return the probabilities of the labels of each row, 1 x K."""
        shifts = np.asarray(settings.get("shifts") or np.zeros(len(labels)))
        joined = join_windows(outputs, examples)
        return [expit(output + shifts).astype(np.float32)[None] for output in joined]

    def distributions(self, rows: pa.Table, labels: Sequence[str]) -> list[NDArray[np.float32]]:
        """Return the labels of each row as 0 and 1, 1 x K."""
        return [target[None] for target in set_targets(rows["labels"], labels) if target is not None]

    def decide(self, probabilities: Distributions, rows: pa.Table, labels: Sequence[str]) -> list[Answer]:
        """Choose sets in which the frequency of each label equals its mean probability."""
        if not len(probabilities):
            return []
        chances = np.concatenate(probabilities).astype(np.float64)
        logits = logit(np.clip(chances, 1e-6, 1 - 1e-6))
        return _answers(logits >= share_thresholds(logits, chances.mean(axis=0)), chances, labels)

    def soft_column(self, probabilities: Distributions) -> pa.Array:
        """Return the column ``labels`` with a probability for each label in place of names."""
        return pa.array([row[0].tolist() for row in probabilities], pa.list_(pa.float32()))

    # --- predictions, as files and services give them

    def probabilities(self, outputs: Outputs) -> Outputs:
        """Apply the sigmoid: 0.5 is the threshold of a label."""
        return [expit(output) for output in outputs]

    def columns_of(self, answer: Answer, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the labels of the set and their probabilities, best first."""
        chosen = self.wire(answer, row)
        return {
            "labels": [entry["label"] for entry in chosen],
            "scores": [entry["score"] for entry in chosen],
        }

    def wire(self, answer: Answer, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the labels of the set in the format of the transformers pipeline, best first."""
        chosen = set(answer.value)
        return [{"label": name, "score": score} for name, score in answer.ranking if name in chosen]

    def calibrate(
        self,
        model: PreTrainedModel,
        outputs: Outputs,
        examples: Sequence[Example],
        rows: pa.Table,
        labels: Sequence[str],
    ) -> dict[str, float]:
        """Fold a temperature and the thresholds with the best F1 on ``rows`` into the last layer."""
        from react_ray.models.head import final_linear, scale_logits

        head = final_linear(model)
        if head is None or head.bias is None:
            return {}
        targets = row_targets(examples)
        logits = np.reshape(join_windows(outputs, examples), targets.shape) + _shifts(model)
        sharpness = best_sharpness(logits, targets)
        scale_logits(head, sharpness)
        thresholds = f1_thresholds(logits * sharpness, targets)
        _set_thresholds(model, head, thresholds, _shifts(model) * sharpness)
        return {"temperature": 1 / sharpness} | _logged(thresholds)

    def settle(
        self,
        model: PreTrainedModel,
        examples: Sequence[Example],
        unseen: Sequence[Example],
        run: Callable[[Sequence[Example]], Outputs],
    ) -> dict[str, float]:
        """Set the thresholds so that ``unseen`` rows have each label as often as the training ``examples``.

        A model that has memorized its training rows separates rows with and without a rare label by a wide
        margin, and hardly any other row reaches a threshold inside that margin.
        """
        targets = np.stack([example.target for example in examples])
        shares = np.average(targets, axis=0, weights=[example.weight for example in examples])
        used = unseen or examples
        return calibrate_to_shares(model, np.stack(join_windows(run(used), used)), shares)

    # --- judgement

    def credit(self, answers: Sequence[Answer], rows: pa.Table) -> NDArray[np.float64]:
        """Return the F1 of each set."""
        truth = rows["labels"].to_pylist()
        names = sorted({name for labels in (*truth, *(a.value for a in answers)) for name in labels})
        return set_credit(_sets(truth, names), _sets([a.value for a in answers], names))

    def statistics(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> Any:
        """See :func:`react_ray.tasks.set_metrics.set_statistics`."""
        predicted = _sets([answer.value for answer in answers], labels)
        return set_statistics(_sets(rows["labels"].to_pylist(), labels), predicted, _scores(answers, labels))

    def score(self, sums: NDArray[np.float64]) -> dict[str, Any]:
        """Return macro-F1, micro-F1, subset accuracy and label ranking average precision."""
        return set_scores(sums)

    def details(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> dict[str, Any]:
        """Return precision, recall and F1 of each label."""
        sums = np.asarray(self.statistics(answers, rows, labels).sum(0), np.float64)
        return {"per_class": class_figures(sums[:-3], labels), "confusion": None}

    def sections(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> list[Section]:
        """Return sections on scores with average precision, confused labels, and wrong sets."""
        figures, truth = self.details(answers, rows, labels)["per_class"], rows["labels"].to_pylist()
        sets, scores, title = _sets(truth, labels), _scores(answers, labels), "Average precision"
        precision = {name: average_precision(sets[:, k], scores[:, k]) for k, name in enumerate(labels)}
        return [
            class_table(figures, self.nouns, len(labels), {title: precision}, [(title, "score")]),
            set_pairs(truth, [answer.value for answer in answers]),
            set_mistakes(answers, rows, self.credit(answers, rows).tolist()),
        ]


def _answers(chosen: Sets, chances: NDArray[np.float64], labels: Sequence[str]) -> list[Answer]:
    """Make answers with the ``chosen`` labels (n x K), ranked by the probabilities ``chances`` (n x K)."""
    scores = np.nan_to_num(np.where(chosen, chances, 1 - chances).prod(axis=1))  # nan after a collapse
    chances = np.nan_to_num(chances)
    order = np.argsort(-chances, axis=1, kind="stable")
    return [
        Answer(
            sorted(labels[k] for k in np.flatnonzero(chosen[row]).tolist()),
            float(scores[row]),
            tuple((labels[k], float(chances[row, k])) for k in order[row].tolist()),
        )
        for row in range(len(chances))
    ]


def calibrate_to_shares(
    model: PreTrainedModel, logits: NDArray[np.floating], shares: NDArray[np.floating]
) -> dict[str, float]:
    """Set thresholds so that each label is predicted with its frequency in ``shares``.

    For models without validation rows. ``logits`` (n x K) are outputs of the model, ``shares`` has length K.
    """
    from react_ray.models.head import final_linear

    head = final_linear(model)
    if head is None or head.bias is None:
        return {}
    thresholds = share_thresholds(logits + _shifts(model), np.asarray(shares, np.float64))
    _set_thresholds(model, head, thresholds, _shifts(model))
    return _logged(thresholds)


def _shifts(model: PreTrainedModel) -> NDArray[np.float64]:
    """Return the thresholds that were subtracted from the bias of the last layer (K)."""
    settings = getattr(model.config, "react_ray", None) or {}
    return np.asarray(settings.get("shifts") or np.zeros(model.config.num_labels))


def _set_thresholds(
    model: PreTrainedModel, head: nn.Linear, thresholds: NDArray[np.float64], before: NDArray[np.float64]
) -> None:
    """Subtract ``thresholds`` from the bias instead of ``before``, and store them in the configuration."""
    from react_ray.models.head import shift_logits

    shift_logits(head, before - thresholds)
    settings = getattr(model.config, "react_ray", None) or {}
    model.config.react_ray = {**settings, "shifts": thresholds.tolist()}


def _logged(thresholds: NDArray[np.float64]) -> dict[str, float]:
    return {"mean_threshold": float(expit(thresholds).mean())}


def _sets(names: Sequence[Sequence[str]], labels: Sequence[str]) -> Sets:
    """Return whether each row has each label, n x K; KeyError names an unknown label."""
    place = {label: k for k, label in enumerate(labels)}
    indicators = np.zeros((len(names), len(labels)), bool)
    for row, chosen in enumerate(names):
        indicators[row, [place[name] for name in chosen]] = True
    return indicators


def _scores(answers: Sequence[Answer], labels: Sequence[str]) -> NDArray[np.float64]:
    place = {label: k for k, label in enumerate(labels)}
    scores = np.zeros((len(answers), len(labels)))
    for row, answer in enumerate(answers):
        for name, score in answer.ranking:
            scores[row, place[name]] = score
    return scores
