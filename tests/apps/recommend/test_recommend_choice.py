"""The choice of what recommends, on validation users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from letter_log import log_of
from numpy.typing import NDArray

from react_ray.apps.recommend import choice
from react_ray.apps.recommend.interactions import Histories
from react_ray.apps.recommend.split import Split

WORDS = ["abcd", "bcda", "cdab", "dabc", "acbd", "bdca"] * 5


@dataclass(frozen=True)
class FindsItForSome:
    """Ranks the wanted item, the last letter of WORDS, first for users ``first`` to ``last``, else last."""

    first: int
    last: int

    def scores(self, liked: Histories, only: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        scores = np.zeros((len(liked), liked.item_count), np.float32)
        for user in range(len(liked)):
            missing = np.setdiff1d(np.arange(4), liked.user(user))
            scores[user, missing] = 1 if self.first <= user < self.last else -1
        return scores


@pytest.mark.parametrize(("first", "expected"), [(5, "ranker_blend"), (0, "item_knn")])
def test_another_recommender_must_be_clearly_better_than_ranker_and_sum(
    first: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recommenders = {"ranker_blend": FindsItForSome(0, 24), "item_knn": FindsItForSome(first, 30)}
    monkeypatch.setattr(choice, "all_recommenders", lambda *_: recommenders)
    query = Split(log_of(WORDS), cold_share=0).test()
    chosen, scores = choice.choose(query, None, {}, None, seed=0)  # type: ignore[arg-type]
    assert chosen == expected
    assert scores["item_knn"] > scores["ranker_blend"]
