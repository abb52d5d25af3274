"""Search for text augmentations that preserve the label, by cross-validation on the labelled texts (O3).

For each augmentation, a classifier is fitted on some folds of the labelled rows and their copies, and
evaluated on the others. The augmentation with the highest likelihood is used if it is significantly better
than no copies.
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

__all__ = ["AugmentationSearch", "search"]

STRENGTHS = (0.1, 0.3)
MAX_ROWS = 40
"""Maximum labelled rows that are used, so that the search costs less than fine-tuning."""
COPIES = 2
COPY_WEIGHT = 0.5
MARGIN = 2.5
"""Standard errors by which the best of eight augmentations must be better than none."""

Encode = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True)
class AugmentationSearch:
    """The selected settings, and the gain of each augmentation in log-likelihood per row over no copies."""

    settings: AugmentConfig
    gains: dict[str, dict[str, float]]

    def as_dict(self) -> dict[str, Any]:
        """Return the result for JSON."""
        return {"settings": self.settings.model_dump(), "gains": self.gains}


def search(
    texts: Sequence[str], labels: NDArray[np.int64], config: AugmentConfig, encode: Encode, seed: int = 0
) -> AugmentationSearch:
    """Select the operation and strength for labelled ``texts`` (n), with class indices ``labels`` (n).

    ``encode`` returns sentence embeddings, n x d. ``config`` is unchanged unless there are two classes with
    two rows each.
    """
    rows = _sample_rows(labels, seed)
    texts, labels = [texts[row] for row in rows], labels[rows]
    if not len(rows):
        return AugmentationSearch(config, {})
    features, classes = encode(texts), int(labels.max()) + 1
    plain = _log_likelihood(features, labels, classes, features[:0], np.zeros(0, np.int64))
    gains, best, best_gain = {}, config.model_copy(update={"copies": 0}), 0.0
    for operation in OPERATIONS:
        for strength in STRENGTHS:
            candidate = config.model_copy(
                update={"operations": (operation,), "strength": strength, "copies": COPIES}
            )
            copies = [augment(text, candidate, seed) for text in texts]
            source = np.repeat(np.arange(len(texts)), [len(row_copies) for row_copies in copies])
            copy_features = encode([copy for row_copies in copies for copy in row_copies])
            gain = _log_likelihood(features, labels, classes, copy_features, source) - plain
            mean, error = float(gain.mean()), float(gain.std() / np.sqrt(len(gain)))
            gains[f"{operation} {strength}"] = {"gain": round(mean, 4), "error": round(error, 4)}
            if mean > best_gain and mean > MARGIN * error:
                best, best_gain = candidate.model_copy(update={"copies": config.copies}), mean
    return AugmentationSearch(best, gains)


def _sample_rows(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Select at most MAX_ROWS rows of classes with two rows or more, two of each class in turn."""
    generator = np.random.default_rng(seed)
    order, rank = generator.permutation(len(labels)), generator.permutation(int(labels.max(initial=0)) + 1)
    round_number = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        members = order[labels[order] == label]
        round_number[members] = np.arange(len(members)) // 2 if len(members) > 1 else len(labels)
    chosen = order[np.lexsort((rank[labels[order]], round_number[order]))]
    chosen = chosen[round_number[chosen] < len(labels)][:MAX_ROWS]
    counts = np.bincount(labels[chosen]) if len(chosen) else np.zeros(0, np.int64)
    chosen = chosen[counts[labels[chosen]] > 1]
    return np.sort(chosen) if len(np.unique(labels[chosen])) > 1 else chosen[:0]


def _log_likelihood(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: int,
    copies: NDArray[np.float32],
    source: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Return the log-likelihood of each label (n) by a classifier without the row and its copies."""
    result = np.zeros(len(labels), np.float32)
    folds = int(min(5, np.bincount(labels)[labels].min()))
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=0).split(labels, labels):
        used = np.isin(source, train)
        rows = np.vstack([features[train], copies[used]])
        targets = np.concatenate([labels[train], labels[source[used]]])
        weights = np.concatenate([np.ones(len(train)), np.full(used.sum(), COPY_WEIGHT)])
        probe = fit_softmax(rows, targets, classes, weights.astype(np.float32))
        result[test] = log(probe.predict_proba(features[test]))[np.arange(len(test)), labels[test]]
    return result
