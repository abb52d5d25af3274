"""The search for changes of a text that keep its label."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.feature_extraction.text import HashingVectorizer

from react_ray.config.settings import AugmentConfig
from react_ray.labelers.augment_search import search

OPERATIONS = {"delete", "swap", "crop", "typo"}


def encoder(pairs: bool):
    """Counts words, or pairs of words; another encoder could not tell their order."""
    count = HashingVectorizer(n_features=256, ngram_range=(2, 2) if pairs else (1, 1), alternate_sign=False)

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        return count.transform(texts).toarray().astype(np.float32) if len(texts) else np.zeros((0, 256), "f4")

    return encode


def told_by_order(count: int) -> tuple[list[str], NDArray[np.int64]]:
    """'not good' among other words against 'good not': only the order tells."""
    draw = random.Random(0)
    texts, labels = [], np.arange(count) % 2
    for label in labels:
        words = [f"w{draw.randrange(6)}" for _ in range(2)]
        texts.append(" ".join([words[0], *(("not", "good") if label else ("good", "not")), words[1]]))
    return texts, labels


def test_a_change_that_turns_labels_over_is_not_taken() -> None:
    texts, labels = told_by_order(30)
    found = search(texts, labels, AugmentConfig(), encoder(pairs=True))
    assert {name.split()[0] for name in found.gains} == OPERATIONS
    assert all(found.gains[f"swap {strength}"]["gain"] < 0 for strength in (0.1, 0.3))
    assert "swap" not in found.settings.operations or not found.settings.copies


def test_no_copies_are_a_possible_answer() -> None:
    draw = random.Random(1)
    texts = [" ".join(f"w{draw.randrange(40)}" for _ in range(5)) for _ in range(30)]
    found = search(texts, np.arange(30) % 3, AugmentConfig(copies=7), encoder(pairs=False))
    assert found.settings.copies in (0, 7)
    best = max(found.gains.values(), key=lambda gain: gain["gain"])
    assert (found.settings.copies == 0) == (best["gain"] <= max(0.0, best["error"]))


@pytest.mark.parametrize("labels", [[], [0], [0, 1], [0, 0, 0], [0, 0, 1]])
def test_too_few_labels_leave_the_settings(labels: list[int]) -> None:
    config = AugmentConfig(copies=3)
    texts = [f"text {number}" for number in range(len(labels))]
    found = search(texts, np.array(labels, np.int64), config, encoder(pairs=False))
    assert found.settings == config
    assert found.gains == {}


def test_the_search_looks_at_some_rows_only() -> None:
    seen = []

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        seen.extend(texts)
        return encoder(pairs=True)(texts)

    texts, labels = told_by_order(500)
    search([f"{text} {number}" for number, text in enumerate(texts)], labels, AugmentConfig(), encode)
    assert len(seen) <= 40 * (1 + 8 * 2)


def test_rows_of_many_classes_are_looked_at_two_of_a_class() -> None:
    texts = [f"w{number} x{number % 7} y{number % 5}" for number in range(150)]
    found = search(texts, np.arange(150) // 3, AugmentConfig(), encoder(pairs=False))
    assert len(found.gains) == 8
