from __future__ import annotations

import numpy as np
import pytest

from react_ray.pretraining.masking import INSIDE, SPECIAL, START, Masking


def sequence(words: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Words of so many tokens each, between two special tokens."""
    kinds = [SPECIAL, *(kind for n in words for kind in [START, *[INSIDE] * (n - 1)]), SPECIAL]
    return np.arange(100, 100 + len(kinds)), np.array(kinds)


@pytest.mark.parametrize("whole_words", [True, False])
def test_as_many_tokens_as_asked_are_predicted_and_none_is_special(whole_words: bool) -> None:
    ids, kinds = sequence([1, 3, 2, 1] * 30)
    masking = Masking(4, range(1000, 1100), 0.15, whole_words)
    counts = []
    for seed in range(50):
        masked = masking(ids, kinds, np.random.default_rng(seed))
        assert (kinds[masked.places] != SPECIAL).all()
        assert (masked.answers == ids[masked.places]).all()
        untouched = np.setdiff1d(np.arange(len(ids)), masked.places)
        assert (masked.ids[untouched] == ids[untouched]).all()
        counts.append(len(masked.places))
    assert np.mean(counts) == pytest.approx(0.15 * 210, rel=0.06)


def test_words_are_masked_whole() -> None:
    ids, kinds = sequence([1, 3, 2, 4] * 10)
    words = np.cumsum(kinds == START)
    masked = Masking(4, [1000], 0.2, True)(ids, kinds, np.random.default_rng(1))
    for word in set(words[masked.places]):
        assert set(np.flatnonzero((words == word) & (kinds != SPECIAL))) <= set(masked.places)


def test_eight_of_ten_are_masked_one_is_random_and_one_stays() -> None:
    ids, kinds = sequence([1] * 20_000)
    masked = Masking(4, range(1_000_000, 1_000_100), 0.5, True)(ids, kinds, np.random.default_rng(0))
    seen = masked.ids[masked.places]
    assert (seen == 4).mean() == pytest.approx(0.8, abs=0.01)
    assert (seen >= 1_000_000).mean() == pytest.approx(0.1, abs=0.01)
    assert (seen == masked.answers).mean() == pytest.approx(0.1, abs=0.01)


def test_a_sequence_of_one_token_has_it_to_predict() -> None:
    ids, kinds = sequence([1])
    assert list(Masking(4, [9], 0.01, True)(ids, kinds, np.random.default_rng(0)).places) == [1]
