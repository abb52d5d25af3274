"""Changed copies keep their entities, or have others of the same types in their places."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from react_ray.config.settings import AugmentConfig
from react_ray.tasks import get_task
from react_ray.tasks.columns import Options
from react_ray.tasks.mention_changes import (
    augment_row,
    change_outside,
    collect_mentions,
    draw_of,
    replace_mentions,
)
from react_ray.tasks.tagging import spans_of

TASK = get_task("token-classification")
OPERATIONS = ("delete", "crop", "swap", "typo")


def parse(text: str, **mentions: str) -> dict:
    """A row whose mentions are given by type, several with a comma between."""
    spans = [
        (text.index(mention), text.index(mention) + len(mention), label)
        for label, names in mentions.items()
        for mention in names.split(",")
    ]
    return TASK.parse({"text": text, "spans": spans}, Options())


ROWS = [
    parse("  Ada Lovelace met Li in New York, yesterday.", PER="Ada Lovelace,Li", LOC="New York"),
    parse("高勇在北京工作。", PER="高勇", LOC="北京"),
    parse("nobody was anywhere"),
    parse("Oslo", LOC="Oslo"),
]
LEXICON = collect_mentions(ROWS)
cases = st.tuples(st.sampled_from(ROWS), st.integers(0, 10_000))


def mentions(row: dict) -> list[tuple[str, str]]:
    spans = spans_of(row["tags"])
    return [(s.label, row["text"][row["starts"][s.start] : row["ends"][s.end - 1]]) for s in spans]


def check(row: dict) -> None:
    """What holds for each row that a run keeps."""
    assert set(row) == {"text", "starts", "ends", "tags"}
    places = [place for pair in zip(row["starts"], row["ends"], strict=True) for place in pair]
    assert places == sorted(places)
    assert not places or places[-1] <= len(row["text"])
    words = [row["text"][a:b] for a, b in zip(row["starts"], row["ends"], strict=True)]
    assert all(word == word.strip() and word for word in words)
    assert len(row["tags"]) == len(words)


@given(cases)
def test_a_mention_is_exchanged_for_another_of_its_type(case):
    row, seed = case
    copy = replace_mentions(row, LEXICON, random.Random(seed))
    if not mentions(row):
        assert copy is None
        return
    check(copy)
    assert copy["text"] != row["text"]
    assert [label for label, _ in mentions(copy)] == [label for label, _ in mentions(row)]
    known = {pair for other in ROWS for pair in mentions(other)}
    assert set(mentions(copy)) <= known
    assert replace_mentions(row, LEXICON, random.Random(seed)) == copy


@given(cases, st.sampled_from(OPERATIONS), st.floats(0, 0.5))
def test_changes_outside_leave_mentions_alone(case, operation, strength):
    row, seed = case
    copy = change_outside(row, operation, strength, random.Random(seed))
    if copy is not None:
        check(copy)
        assert mentions(copy) == mentions(row)
        assert copy["text"] != row["text"]


def test_a_deleted_mark_leaves_the_space_behind_it():
    row = parse("Oslo, and", LOC="Oslo")
    copies = {change_outside(row, "delete", 0, random.Random(seed))["text"] for seed in range(9)}
    assert copies == {"Oslo and", "Oslo,"}


def test_nothing_is_left_to_change_in_a_mention_alone():
    assert all(change_outside(ROWS[3], name, 0.5, random.Random(0)) is None for name in OPERATIONS)
    assert replace_mentions(ROWS[3], {"LOC": LEXICON["LOC"][:0]}, random.Random(0)) is None


def test_copies_of_a_row():
    config = AugmentConfig(copies=6, strength=0.2, operations=("delete", "swap", "typo"))
    for row in ROWS[:2]:
        plain, exchanged = TASK.augment(row, config, 0), augment_row(row, config, 0, LEXICON)
        assert len({copy["text"] for copy in [row, *exchanged]}) == 1 + len(exchanged)
        assert all(mentions(copy) == mentions(row) for copy in plain)
        assert any(mentions(copy) != mentions(row) for copy in exchanged)
        assert TASK.augment(row, config, 0) == plain != TASK.augment(row, config, 1)
        for copy in [*plain, *exchanged]:
            check(copy)
    assert TASK.augment(ROWS[3], config, 0) == []
    assert TASK.augment(ROWS[0], AugmentConfig(strength=0), 0) == []


@pytest.mark.parametrize("other", [(ROWS[0], 1, 0), (ROWS[0], 0, 1), (ROWS[1], 0, 0)])
def test_draws_depend_on_row_seed_and_copy(other):
    assert draw_of(ROWS[0], 0, 0).random() == draw_of(ROWS[0], 0, 0).random()
    assert draw_of(*other).random() != draw_of(ROWS[0], 0, 0).random()
