"""The map of text embeddings that is learnt from what users liked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from react_ray.apps.recommend.interactions import Histories, Interactions
from react_ray.apps.recommend.measure import measure
from react_ray.apps.recommend.recommenders import TextProfile
from react_ray.apps.recommend.split import Query, Split
from react_ray.apps.recommend.text_map import HALF_LIFE, _profiles, apply_text_map, fit_text_map

ITEMS, USERS, WIDTH = 120, 60, 24


def embeddings_with_a_faint_taste() -> NDArray[np.float32]:
    """Texts that differ most in what no user cares for, and little in the first number, their taste."""
    rows = np.random.default_rng(0).normal(size=(ITEMS, WIDTH)).astype(np.float32)
    rows[:, 0] = np.where(np.arange(ITEMS) % 2, 0.7, -0.7)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def log_of_tastes(items: int = ITEMS) -> Interactions:
    """Users who like ten items of one of two tastes."""
    generator = np.random.default_rng(1)
    liked = [generator.permutation(np.arange(user % 2, items, 2))[:10] for user in range(USERS)]
    user = np.repeat(np.arange(USERS), 10)
    return Interactions(
        user, np.concatenate(liked), np.arange(len(user), dtype=float), np.ones(len(user), bool), USERS, ITEMS
    )


def auc(query: Query, embeddings: NDArray[np.float32]) -> float:
    return float(measure(query, TextProfile(embeddings)).values["auc"].mean())


def test_what_users_care_for_counts_more_than_what_texts_differ_in() -> None:
    embeddings, query = embeddings_with_a_faint_taste(), Split(log_of_tastes(), cold_share=0).test()
    mapped = apply_text_map(embeddings, fit_text_map(embeddings, query.train))
    assert auc(query, mapped) > auc(query, embeddings) + 0.1


def test_items_that_nobody_took_are_ordered_by_the_map_too() -> None:
    embeddings, train = embeddings_with_a_faint_taste(), log_of_tastes(items=80)
    mapped = apply_text_map(embeddings, fit_text_map(embeddings, train))
    scores = TextProfile(mapped).scores(train.histories(np.arange(USERS)))[:, 80:]
    same_taste = np.arange(80, ITEMS) % 2 == np.arange(USERS)[:, None] % 2
    assert np.median(scores[same_taste]) > np.quantile(scores[~same_taste], 0.9)


def test_the_map_depends_on_the_seed_alone_and_blank_texts_stay_blank() -> None:
    embeddings, train = embeddings_with_a_faint_taste(), log_of_tastes()
    embeddings[::3] = 0
    first, again, other = (fit_text_map(embeddings, train, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.flatnonzero(~apply_text_map(embeddings, first).any(1)).tolist() == [*range(0, ITEMS, 3)]


def test_without_texts_or_pasts_nothing_is_learnt() -> None:
    train = log_of_tastes()
    np.testing.assert_array_equal(fit_text_map(np.zeros((ITEMS, 4), np.float32), train), np.eye(4))
    alone = train.where(np.arange(len(train)) % 10 == 0)
    np.testing.assert_array_equal(fit_text_map(embeddings_with_a_faint_taste(), alone), np.eye(WIDTH))


def test_a_profile_is_the_decayed_sum_of_the_items_before() -> None:
    embeddings = np.eye(4, dtype=np.float32)
    liked = Histories.of([np.array([3, 0]), np.array([0, 1, 2])], 4)
    profiles = _profiles(liked, np.array([1, 4]), embeddings)
    half = 0.5 ** (1 / HALF_LIFE)
    np.testing.assert_allclose(profiles, [[0, 0, 0, 1], [half, 1, 0, 0]], rtol=1e-6)
