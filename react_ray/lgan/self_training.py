"""Plain self-training on frozen features: the baseline of the label GAN.

Logistic regression on the labelled rows labels the pool; it is fitted again on the
labels and its most confident fifth of each predicted class, then on two fifths, and
so on to the whole pool (Yarowsky 1995, with a growing share). It is deterministic.
"""

from __future__ import annotations

import numpy as np

from react_ray.lgan.inputs import Features, Indices
from react_ray.lgan.probe import Probe, fit_probe, fit_softmax

__all__ = ["confident_rows", "self_train"]

ROUNDS = 5


def self_train(labeled: Features, labels: Indices, unlabeled: Features, classes: int) -> Probe:
    """Return the classifier after all rounds; without unlabelled rows it is the plain probe."""
    probe = fit_probe(labeled, labels, classes)
    if not len(unlabeled):
        return probe
    for turn in range(1, ROUNDS + 1):
        probabilities = probe.predict_proba(unlabeled)
        rows = confident_rows(probabilities, turn / ROUNDS)
        features = np.vstack([labeled, unlabeled[rows]])
        targets = np.concatenate([labels, probabilities[rows].argmax(1)])
        probe = fit_softmax(features, targets, classes, start=probe)
    return probe


def confident_rows(probabilities: np.ndarray, share: float) -> Indices:
    """Select the most confident ``share`` (0 to 1) of each predicted class, in order."""
    label, confidence = probabilities.argmax(1), probabilities.max(1)
    kept = []
    for c in np.unique(label):
        members = np.flatnonzero(label == c)
        order = np.argsort(-confidence[members], kind="stable")
        kept.append(members[order[: int(np.ceil(share * len(members)))]])
    return np.sort(np.concatenate(kept)).astype(np.int64) if kept else np.zeros(0, np.int64)
