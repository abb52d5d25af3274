"""Labels of items: sentiment, and topic where there is a classifier of topics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from react_ray import InputError
from react_ray.apps.monitor.settings import NEGATIVE_LABELS, MonitorConfig
from react_ray.apps.monitor.store import Labelled, Store

if TYPE_CHECKING:
    from react_ray import ClassifierGroup

__all__ = ["Labeler", "negative_label"]


class Labeler:
    """The classifiers of sentiment and topics.

    Raises InputError if a model cannot be loaded, gives no single label, or has no negative label.
    """

    def __init__(self, config: MonitorConfig):
        self.batch = config.batch
        self.models = _load([config.sentiment, *([config.topic] if config.topic else [])])
        self.negative = negative_label(self.models.models[0].labels, config.negative)

    def label(self, store: Store) -> int:
        """Label all items of the journal that have no label, in batches; return their number."""
        labelled = 0
        while rows := store.unlabelled(self.batch):
            texts = [row["text"] for row in rows]
            labels = zip(*self.models.predict(texts), strict=True)  # of a text: sentiment, and topic
            store.label(
                [
                    Labelled(
                        row["seq"],
                        *(
                            part
                            for prediction in predictions
                            for part in (prediction.label, prediction.score)
                        ),
                    )
                    for row, predictions in zip(rows, labels, strict=True)
                ]
            )
            labelled += len(rows)
        return labelled


def negative_label(labels: Sequence[str], name: str | None) -> str:
    """Return the label that is negative. Raises InputError if it cannot be known.

    Example
    -------
    >>> negative_label(["正面", "负面"], None)
    '负面'
    """
    if name is not None:
        if name in labels:
            return name
        raise InputError(f"--negative {name}: the labels are {', '.join(labels)}")
    candidates = [label for label in labels if label.strip().lower() in NEGATIVE_LABELS]
    if len(candidates) == 1:
        return candidates[0]
    raise InputError(f"which label is negative? Name it with --negative: one of {', '.join(labels)}")


def _load(folders: Sequence[str]) -> ClassifierGroup:
    from react_ray import load_together  # imports torch, which replicas of the service do without

    return load_together(folders)
