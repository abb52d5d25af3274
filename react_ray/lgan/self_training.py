"""Plain self-training on frozen features: the baseline of the label GAN.

Logistic regression on the labelled rows predicts the unlabelled pool. It is refitted on the labelled rows and
the most confident fifth of each predicted class, then on two fifths, and so on up to all rows (Yarowsky 1995,
with a growing share). It is deterministic.
"""

from __future__ import annotations

import numpy as np

from react_ray.lgan.inputs import Features, Indices
from react_ray.lgan.probe import Probe, fit_probe, fit_softmax

__all__ = ["confident_rows", "self_train"]

ROUNDS = 5


def self_train(labeled: Features, labels: Indices, unlabeled: Features, classes: int) -> Probe:
    """Return the classifier after all rounds; without unlabelled rows, the plain probe."""
    probe = fit_probe(labeled, labels, classes)
    if not len(unlabeled):
        return probe
    for round_number in range(1, ROUNDS + 1):
        probabilities = probe.predict_proba(unlabeled)
        rows = confident_rows(probabilities, round_number / ROUNDS)
        features = np.vstack([labeled, unlabeled[rows]])
        targets = np.concatenate([labels, probabilities[rows].argmax(1)])
        probe = fit_softmax(features, targets, classes, start=probe)
    return probe


def confident_rows(probabilities: np.ndarray, share: float) -> Indices:
    """Return the indices of the most confident ``share`` (0 to 1) of each predicted class, sorted."""
    label, confidence = probabilities.argmax(1), probabilities.max(1)
    selected = []
    for class_index in np.unique(label):
        members = np.flatnonzero(label == class_index)
        order = np.argsort(-confidence[members], kind="stable")
        selected.append(members[order[: int(np.ceil(share * len(members)))]])
    return np.sort(np.concatenate(selected)).astype(np.int64) if selected else np.zeros(0, np.int64)
