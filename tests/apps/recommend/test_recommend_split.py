"""The protocol: what is asked, and what may be known to answer."""

from __future__ import annotations

import numpy as np
import pytest
from letter_log import letters, log_of

from react_ray.apps.recommend.interactions import Interactions
from react_ray.apps.recommend.split import Query, Split

MANY = "abcdefghijklmnop"


def asked(query: Query, items: str = "abcdefgh") -> dict[int, tuple[str, str]]:
    """What was liked before, and what is wanted, by user."""
    return {
        int(user): (letters(query.liked.user(place), items), letters(query.targets.items[place], items))
        for place, user in enumerate(query.targets.users)
    }


def pairs(interactions: Interactions) -> set[tuple[int, int]]:
    return set(zip(interactions.user.tolist(), interactions.item.tolist(), strict=True))


@pytest.fixture
def many() -> Interactions:
    generator = np.random.default_rng(0)
    lists = ["".join(generator.permutation(list(MANY))[:7]) for _ in range(40)]
    return log_of(lists, items=MANY, liked=MANY)


def test_the_last_items_are_left_out_one_after_the_other() -> None:
    split = Split(log_of(["abcde", "fg", "h"]), cold_share=0)
    assert asked(split.test()) == {0: ("abcd", "e"), 1: ("f", "g")}
    assert asked(split.validation()) == {0: ("abc", "d")}
    assert pairs(split.test().train) == pairs(log_of(["abcd", "f", "h"]))


def test_the_ranker_learns_from_the_items_before_the_last(many: Interactions) -> None:
    split = Split(many, cold_share=0)
    last, earlier = split.ranker()
    stopping, gate = split.early_stopping(), split.gate()
    parts = [set(query.targets.users.tolist()) for query in (last, stopping, gate)]
    assert set().union(*parts) == set(range(40))
    assert [len(part) for part in parts] == [24, 8, 8]
    for user, (history, item) in asked(last, MANY).items():
        before, next_item = asked(earlier, MANY)[user]
        assert history == before + next_item
        assert history + item == letters(split.test().liked.user(user), MANY)


def test_items_that_were_only_seen_are_neither_wanted_nor_recommended() -> None:
    test = Split(log_of(["axbycz"], items="abcxyz", liked="abc"), cold_share=0).test()
    assert letters(test.liked.user(0), "abcxyz") == "ab"
    assert letters(test.seen.user(0), "abcxyz") == "axby"
    assert letters(test.targets.items[0], "abcxyz") == "c"


def test_no_target_is_in_what_training_sees(many: Interactions) -> None:
    split = Split(many, cold_share=0.2)
    for query in (split.test(), split.validation(), *split.ranker(), split.new_items(), split.new_users()):
        wanted = {
            (int(user), int(item))
            for user, items in zip(query.targets.users, query.targets.items, strict=True)
            for item in items
        }
        assert wanted
        assert not wanted & pairs(query.train)
        assert (query.liked.lengths() > 0).all()


def test_the_ranker_is_trained_on_nothing_that_is_asked_later(many: Interactions) -> None:
    split = Split(many, cold_share=0.2)
    learnt = set()
    for ranker in split.ranker():
        learnt |= pairs(ranker.train) | {
            (int(user), int(item))
            for user, items in zip(ranker.targets.users, ranker.targets.items, strict=True)
            for item in items
        }
    for query in (split.test(), split.new_items(), split.new_users()):
        later = {(int(u), int(i[0])) for u, i in zip(query.targets.users, query.targets.items, strict=True)}
        assert not learnt & later
    users, items = (set(column) for column in zip(*learnt, strict=True))
    assert not users & set(split.cold_users().tolist())
    assert not items & set(split.cold_items().tolist())


def test_new_users_and_items_are_unknown_to_training(many: Interactions) -> None:
    split = Split(many, cold_share=0.2)
    users, items = split.new_users(), split.new_items()
    assert len(split.cold_users()) == 8
    assert set(users.targets.users.tolist()) == set(split.cold_users().tolist())
    assert not np.isin(users.train.user, split.cold_users()).any()
    assert not np.isin(items.train.item, split.cold_items()).any()
    assert np.isin([one[0] for one in items.targets.items], split.cold_items()).all()
    assert not set(split.test().targets.users.tolist()) & set(split.cold_users().tolist())


def test_hidden_items_are_asked_for_apart_and_nothing_of_the_test_is_known(many: Interactions) -> None:
    split = Split(many, cold_share=0.2)
    known, new = split.with_new_items()
    hidden = {int(one[0]) for one in new.targets.items}
    assert hidden
    assert not hidden & set(split.cold_items().tolist())
    assert not hidden & set(known.train.item.tolist())
    assert not hidden & {int(one[0]) for one in known.targets.items}
    test = split.test()
    tested = {(int(u), int(i[0])) for u, i in zip(test.targets.users, test.targets.items, strict=True)}
    for query in (known, new):
        wanted = {(int(u), int(i[0])) for u, i in zip(query.targets.users, query.targets.items, strict=True)}
        assert wanted
        assert not tested & (wanted | pairs(query.train))


def test_the_seed_draws_users_and_items(many: Interactions) -> None:
    assert Split(many, 0.3, 0).cold_users().tolist() == Split(many, 0.3, 0).cold_users().tolist()
    assert Split(many, 0.3, 0).cold_users().tolist() != Split(many, 0.3, 1).cold_users().tolist()
