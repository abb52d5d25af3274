"""Feature rows of one or several encoders, and their views."""

from __future__ import annotations

import numpy as np
import pytest

from react_ray.data.views import BLOCKS, SENTENCE, VIEWS, side_by_side, views_of


def rows(width: int, seed: int) -> np.ndarray:
    """Five rows of three blocks, as an encoder makes them."""
    blocks = np.random.default_rng(seed).normal(size=(5, BLOCKS, width))
    blocks /= np.linalg.norm(blocks, axis=2, keepdims=True) * BLOCKS**0.5
    return blocks.reshape(5, -1).astype(np.float32)


def test_each_encoder_keeps_its_views() -> None:
    first, second = rows(8, 0), rows(4, 1)
    both = side_by_side([first, second])
    assert np.allclose(np.linalg.norm(both, axis=1), 1)
    views = views_of(2 * BLOCKS)
    assert [view.name for view in views] == [
        "sentence 1", "layers 1", "opening 1", "sentence 2", "layers 2", "opening 2",
    ]  # fmt: skip
    for view, plain, alone in zip(views, [*VIEWS, *VIEWS], [first] * 3 + [second] * 3, strict=True):
        seen, own = view.of(both, 2 * BLOCKS), plain.of(alone, BLOCKS)
        assert np.allclose(seen @ seen.T, own @ own.T, atol=1e-6)


def test_the_sentences_of_all_encoders_are_one_embedding() -> None:
    first, second = rows(8, 0), rows(8, 1)
    seen = SENTENCE.of(side_by_side([first, second]), 2 * BLOCKS)
    cosines = [one @ one.T for one in (SENTENCE.of(first, BLOCKS), SENTENCE.of(second, BLOCKS))]
    assert np.allclose(seen @ seen.T, np.mean(cosines, axis=0), atol=1e-6)


@pytest.mark.parametrize("view", [SENTENCE, *views_of(2 * BLOCKS)], ids=lambda view: view.name)
def test_a_classifier_of_a_view_is_one_of_the_whole_row(view) -> None:
    both = side_by_side([rows(8, 0), rows(8, 1)])
    seen = view.of(both, 2 * BLOCKS)
    weights = np.random.default_rng(2).normal(size=(3, seen.shape[1])).astype(np.float32)
    whole = view.unfold(weights, 2 * BLOCKS)
    assert np.allclose(both @ whole.T, seen @ weights.T, atol=1e-5)


def test_one_encoder_alone_is_unchanged() -> None:
    alone = rows(8, 0)
    assert side_by_side([alone]) is alone
    assert views_of(BLOCKS) == VIEWS
    assert views_of(1) == (SENTENCE,)


def test_no_row_has_the_width_of_all_encoders() -> None:
    assert side_by_side([rows(8, 0)[:0], rows(4, 1)[:0]]).shape == (0, 2 * BLOCKS * 8)
