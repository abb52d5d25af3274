"""Labels of items: sentiment, and topic where there is a classifier of topics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from react_ray import InputError
from react_ray.apps.monitor.settings import NEGATIVE_LABELS, MonitorConfig
from react_ray.apps.monitor.store import Labelled, Store

__all__ = ["Labeler", "negative_label"]


class Labeler:
    """The classifiers of sentiment and topics.

    Raises InputError if a model cannot be loaded, gives no single label, or has no negative label.
    """

    def __init__(self, config: MonitorConfig):
        self.batch = config.batch
        self.sentiment = _load(config.sentiment)
        self.topic = _load(config.topic) if config.topic else None
        self.negative = negative_label(self.sentiment.labels, config.negative)

    def label(self, store: Store) -> int:
        """Label all items of the journal that have no label, in batches; return their number."""
        done = 0
        while rows := store.unlabelled(self.batch):
            texts = [row["text"] for row in rows]
            found = self.sentiment.predict(texts)
            topics = self.topic.predict(texts) if self.topic else [None] * len(texts)
            store.label(
                [
                    Labelled(row["seq"], one.label, one.score, *((topic.label, topic.score) if topic else ()))
                    for row, one, topic in zip(rows, found, topics, strict=True)
                ]
            )
            done += len(rows)
        return done


def negative_label(labels: Sequence[str], wanted: str | None) -> str:
    """Return the label that is negative. Raises InputError if it cannot be known.

    Example
    -------
    >>> negative_label(["正面", "负面"], None)
    '负面'
    """
    if wanted is not None:
        if wanted in labels:
            return wanted
        raise InputError(f"--negative {wanted}: the labels are {', '.join(labels)}")
    found = [label for label in labels if label.strip().lower() in NEGATIVE_LABELS]
    if len(found) == 1:
        return found[0]
    raise InputError(f"which label is negative? Name it with --negative: one of {', '.join(labels)}")


def _load(folder: str) -> Any:
    from react_ray import load  # imports torch, which replicas of the service do without

    classifier = load(folder)
    if classifier.task.answers != "label":
        raise InputError(f"{folder}: a model for {classifier.task.title}; expected one that gives a label")
    return classifier
