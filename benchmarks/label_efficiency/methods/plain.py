"""Methods without a network of their own: baselines, self-training, names, the ceiling."""

from __future__ import annotations

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit

from benchmarks.label_efficiency.draws import Draw
from react_ray.data.views import SENTENCE
from react_ray.lgan import fit_probe, self_train
from react_ray.lgan.inputs import Features, Indices, Probabilities
from react_ray.lgan.names import similarity
from react_ray.lgan.word_features import TOKEN

COSTS = (1.0, 10.0, 100.0)
"""Of the ceiling; the best on a fifth of the training rows is taken."""


def majority(draw: Draw) -> Probabilities:
    """The balance of the labelled rows, whatever the text."""
    counts = np.bincount(draw.labels, minlength=len(draw.classes))
    return np.tile((counts / counts.sum()).astype(np.float32), (len(draw.test), 1))


def tfidf(draw: Draw) -> Probabilities:
    """Logistic regression on TF-IDF of words and pairs of words; no pretrained model."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=TOKEN)
    model = LogisticRegression(C=10, max_iter=300)
    model.fit(words.fit_transform(draw.labeled.texts), draw.labels)
    found = np.zeros((len(draw.test), len(draw.classes)), np.float32)
    found[:, model.classes_] = model.predict_proba(words.transform(draw.test.texts))
    return found


def probe(draw: Draw) -> Probabilities:
    """Logistic regression on the frozen features of the labelled rows."""
    fitted = fit_probe(draw.labeled.features, draw.labels, len(draw.classes))
    return fitted.predict_proba(draw.test.features)


def self_training(draw: Draw) -> Probabilities:
    """The probe, fitted again on its own most confident labels of the pool."""
    classes = len(draw.classes)
    fitted = self_train(draw.labeled.features, draw.labels, draw.pool.features, classes)
    return fitted.predict_proba(draw.test.features)


def seeded_self_training(draw: Draw) -> Probabilities:
    """Self-training with the name of each class as one more labelled row."""
    return _seeded(draw, draw.names)


def prompted_self_training(draw: Draw) -> Probabilities:
    """The same with each name read in several sentences, as the label GAN has it."""
    return _seeded(draw, draw.prompted)


def _seeded(draw: Draw, names: Features) -> Probabilities:
    classes = len(draw.classes)
    rows = np.vstack([draw.labeled.features, SENTENCE.of(names, draw.blocks)])
    labels = np.concatenate([draw.labels, np.arange(classes)])
    return self_train(rows, labels, draw.pool.features, classes).predict_proba(draw.test.features)


def names(draw: Draw) -> Probabilities:
    """The class whose name is most like the text; labels are not looked at."""
    rows = draw.pool.features if len(draw.pool) else draw.labeled.features
    return similarity(draw.test.features, SENTENCE.of(draw.names, draw.blocks), rows.mean(0))


def ceiling(draw: Draw) -> Probabilities:
    """The probe on all training rows, its penalty chosen on a fifth of them held back."""
    rows, labels, classes = draw.labeled.features, draw.labels, len(draw.classes)
    cost = max(COSTS, key=lambda cost: _held_back(rows, labels, classes, cost))
    return fit_probe(rows, labels, classes, cost).predict_proba(draw.test.features)


def _held_back(rows: Features, labels: Indices, classes: int, cost: float) -> float:
    """Accuracy on the rows held back; those of classes of a single row stay in training."""
    counts = np.bincount(labels, minlength=classes)
    many = np.flatnonzero(counts[labels] > 1)
    single = np.flatnonzero(counts[labels] == 1)
    size = max(len(many) // 5, len(np.unique(labels[many])))
    train, held = next(StratifiedShuffleSplit(1, test_size=size, random_state=0).split(many, labels[many]))
    fitted = np.concatenate([many[train], single])
    predicted = fit_probe(rows[fitted], labels[fitted], classes, cost).predict_proba(rows[many[held]])
    return float((predicted.argmax(1) == labels[many[held]]).mean())
