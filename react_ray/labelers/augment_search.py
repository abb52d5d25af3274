"""Which changes of a text keep its label: found from the labelled texts, not set by hand (O3).

Each way of changing texts is tried on some labelled rows: a classifier is fitted on the
others and their copies, and asked for the label of each row that it has not seen. The way
with the best likelihood is taken if it is better than no copies by more than chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from react_ray.config.settings import AugmentConfig
from react_ray.lgan.probe import fit_softmax, log
from react_ray.tasks.text_changes import OPERATIONS, augment

__all__ = ["SearchResult", "search"]

STRENGTHS = (0.1, 0.3)
ROWS = 40
"""Labelled rows that are looked at: the search is to cost less than fine-tuning."""
COPIES = 2
COPY_WEIGHT = 0.5
MARGIN = 2.5
"""Standard errors by which a way must be better than none: it is the best of eight."""

Encode = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True)
class SearchResult:
    """The settings to use, and what was measured: gain in log-likelihood a row over no copies."""

    settings: AugmentConfig
    gains: dict[str, dict[str, float]]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"settings": self.settings.model_dump(), "gains": self.gains}


def search(
    texts: Sequence[str], labels: NDArray[np.int64], config: AugmentConfig, encode: Encode, seed: int = 0
) -> SearchResult:
    """The operation and strength for labelled ``texts`` (n; n class indices).

    ``encode`` gives sentence embeddings, n x d. With fewer than two rows in some two
    classes there is nothing to compare, and ``config`` stays as it is.
    """
    rows = _some(labels, seed)
    texts, labels = [texts[row] for row in rows], labels[rows]
    if not len(rows):
        return SearchResult(config, {})
    features, classes = encode(texts), int(labels.max()) + 1
    plain = _likelihood(features, labels, classes, features[:0], np.zeros(0, np.int64))
    gains, best, best_gain = {}, config.model_copy(update={"copies": 0}), 0.0
    for operation in OPERATIONS:
        for strength in STRENGTHS:
            tried = config.model_copy(
                update={"operations": (operation,), "strength": strength, "copies": COPIES}
            )
            copies = [augment(text, tried, seed) for text in texts]
            of = np.repeat(np.arange(len(texts)), [len(made) for made in copies])
            made = encode([copy for some in copies for copy in some])
            gain = _likelihood(features, labels, classes, made, of) - plain
            mean, error = float(gain.mean()), float(gain.std() / np.sqrt(len(gain)))
            gains[f"{operation} {strength}"] = {"gain": round(mean, 4), "error": round(error, 4)}
            if mean > best_gain and mean > MARGIN * error:
                best, best_gain = tried.model_copy(update={"copies": config.copies}), mean
    return SearchResult(best, gains)


def _some(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """At most ROWS rows of classes with two rows or more, two of a class after two of another."""
    draw = np.random.default_rng(seed)
    order, rank = draw.permutation(len(labels)), draw.permutation(int(labels.max(initial=0)) + 1)
    turn = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        own = order[labels[order] == label]
        turn[own] = np.arange(len(own)) // 2 if len(own) > 1 else len(labels)
    chosen = order[np.lexsort((rank[labels[order]], turn[order]))]
    chosen = chosen[turn[chosen] < len(labels)][:ROWS]
    counts = np.bincount(labels[chosen]) if len(chosen) else np.zeros(0, np.int64)
    chosen = chosen[counts[labels[chosen]] > 1]
    return np.sort(chosen) if len(np.unique(labels[chosen])) > 1 else chosen[:0]


def _likelihood(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: int,
    copies: NDArray[np.float32],
    of: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Log-likelihood of each row's label, fitted without the row and its copies; n."""
    found = np.zeros(len(labels), np.float32)
    folds = int(min(5, np.bincount(labels)[labels].min()))
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=0).split(labels, labels):
        kept = np.isin(of, train)
        rows = np.vstack([features[train], copies[kept]])
        targets = np.concatenate([labels[train], labels[of[kept]]])
        weights = np.concatenate([np.ones(len(train)), np.full(kept.sum(), COPY_WEIGHT)])
        probe = fit_softmax(rows, targets, classes, weights.astype(np.float32))
        found[test] = log(probe.predict_proba(features[test]))[np.arange(len(test)), labels[test]]
    return found
