"""The simple recommenders and how they are measured."""

from __future__ import annotations

import numpy as np
import pytest
from letter_log import log_of

from react_ray.apps.recommend.interactions import Histories
from react_ray.apps.recommend.measure import leads, measure
from react_ray.apps.recommend.recommenders import (
    Als,
    ItemNeighbours,
    Popularity,
    TextProfile,
    blocks,
    top_items,
)
from react_ray.apps.recommend.split import Split

TWO_TASTES = ["abc", "bda", "acd", "bcd", "abcd", "efg", "efh", "egh", "fgh", "efgh"]


def history(word: str) -> Histories:
    return Histories.of([np.array(["abcdefgh".index(letter) for letter in word], np.int64)], 8)


def test_popularity_counts_users() -> None:
    scores = Popularity(log_of(["ab", "b", "bc"])).scores(history("a"))
    assert scores[0, :4].tolist() == [1, 3, 1, 0]


def test_neighbours_are_the_cosines_of_scikit_learn() -> None:
    from sklearn.metrics.pairwise import cosine_similarity

    train = log_of(TWO_TASTES)
    expected = cosine_similarity(train.all_histories().matrix().T.toarray())
    np.fill_diagonal(expected, 0)
    found = ItemNeighbours.fit(train, neighbours=8, shrinkage=0)
    np.testing.assert_allclose(found.similarity.toarray(), expected, atol=1e-6)
    np.testing.assert_allclose(found.scores(history("ab"))[0], expected[0] + expected[1], atol=1e-6)


def test_only_the_nearest_neighbours_are_kept() -> None:
    found = ItemNeighbours.fit(log_of(["ab", "ab", "abc", "ac"]), neighbours=1, shrinkage=0)
    of_a = found.similarity.toarray()[:, 0]  # what the items of a history give to a
    assert np.flatnonzero(of_a).tolist() == [1]


@pytest.mark.parametrize("fit", [ItemNeighbours.fit, lambda train: Als.fit(train, factors=4)])
def test_collaborative_recommenders_find_the_taste_of_a_new_user(fit) -> None:  # type: ignore[no-untyped-def]
    scores = fit(log_of(TWO_TASTES)).scores(history("ab"))[0]
    assert min(scores[[2, 3]]) > max(scores[4:])


def test_als_has_the_factors_of_users_that_its_package_has() -> None:
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    train = log_of(TWO_TASTES)
    ours = Als.fit(train, factors=4, regularization=0.5, alpha=3)
    package = AlternatingLeastSquares(factors=4, regularization=0.5, alpha=3, random_state=0, num_threads=1)
    package.fit(csr_matrix(train.all_histories().matrix()), show_progress=False)
    expected = package.recalculate_user(0, csr_matrix(history("abe").matrix())) @ package.item_factors.T
    np.testing.assert_allclose(ours.scores(history("abe"))[0], expected, atol=1e-3)


def test_text_finds_items_that_nobody_took() -> None:
    embeddings = np.array([[1, 0], [0.8, 0.6], [0, 1], [0, 0]], np.float32)
    liked = Histories.of([np.array([0])], 4)
    np.testing.assert_allclose(TextProfile(embeddings).scores(liked)[0], [1, 0.8, 0, 0], atol=1e-6)


def test_later_items_of_a_history_count_more() -> None:
    embeddings = np.eye(8, dtype=np.float32)
    scores = TextProfile(embeddings, half_life=1).scores(history("abc"))[0]
    assert scores[2] > scores[1] > scores[0] > scores[3]
    np.testing.assert_allclose(scores[2] / scores[1], 2, rtol=1e-5)


def test_a_measure_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    query = Split(log_of(TWO_TASTES), cold_share=0).test()
    whole = measure(query, Popularity(query.train))
    monkeypatch.setattr("react_ray.apps.recommend.recommenders.BLOCK_SCORES", 16)
    assert len(list(blocks(len(query), 8))) == 5
    parts = measure(query, Popularity(query.train))
    np.testing.assert_array_equal(whole.values["mrr"], parts.values["mrr"])
    np.testing.assert_array_equal(whole.lists, parts.lists)


def test_figures_and_leads_of_a_perfect_recommender() -> None:
    query = Split(log_of(TWO_TASTES), cold_share=0).test()

    class Knows:
        def scores(self, liked: Histories) -> np.ndarray:
            return np.eye(8, dtype=np.float32)[[items[0] for items in query.targets.items]]

    perfect, popular = measure(query, Knows()), measure(query, Popularity(query.train))
    figures = perfect.figures(query)
    assert figures["ndcg_at_10"] == figures["mrr"] == figures["auc"] == 1
    assert figures["users"] == 10
    assert leads(perfect, popular)["mrr"]["lead"] == pytest.approx(1 - popular.values["mrr"].mean())
    assert perfect.lists[:, 0].tolist() == [items[0] for items in query.targets.items]


def test_seen_items_are_never_recommended() -> None:
    query = Split(log_of(TWO_TASTES), cold_share=0).test()
    lists = measure(query, Popularity(query.train)).lists
    for place in range(len(query)):
        assert not set(lists[place]) & set(query.seen.user(place).tolist())


def test_equal_scores_are_listed_in_the_given_order() -> None:
    scores = np.zeros((1, 4), np.float32)
    allowed = np.array([[True, True, False, True]])
    assert top_items(scores, allowed, 2, np.array([3, 2, 1, 0])).tolist() == [[3, 1]]
    assert top_items(scores, allowed, 4, np.array([3, 2, 1, 0])).tolist() == [[3, 1, 0, -1]]
