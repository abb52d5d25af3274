"""Changed copies keep their entities, or have others of the same types in their places."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from react_ray.config.settings import AugmentConfig
from react_ray.data.augment import augment_table, labelled_rows
from react_ray.tasks import get_task
from react_ray.tasks.columns import Options
from react_ray.tasks.mention_changes import (
    MENTIONS,
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
    assert TASK.collect(ROWS, config) is None, "nothing has to be known of other rows"
    for row in ROWS[:2]:
        copies = TASK.augment(row, config, 0)
        assert len({copy["text"] for copy in [row, *copies]}) == 1 + len(copies)
        assert all(mentions(copy) == mentions(row) for copy in copies)
        assert TASK.augment(row, config, 0) == copies != TASK.augment(row, config, 1)
        for copy in copies:
            check(copy)
    assert TASK.augment(ROWS[3], config, 0) == []
    assert TASK.augment(ROWS[0], AugmentConfig(strength=0), 0) == []


def test_mentions_are_replaced_unless_other_operations_are_named():
    known = TASK.collect(ROWS, AugmentConfig())
    copies = TASK.augment(ROWS[0], AugmentConfig(copies=20), 0, known)
    other = [copy for copy in copies if mentions(copy) != mentions(ROWS[0])]
    assert 0 < len(other) < len(copies)
    for copy in other:
        check(copy)


def test_mentions_of_other_rows_are_an_operation():
    config = AugmentConfig(copies=3, strength=0, operations=("delete", MENTIONS))
    known = TASK.collect(ROWS, config)
    copies = TASK.augment(ROWS[3], config, 0, known)
    assert sorted(mentions(copy) for copy in copies) == [[("LOC", "New York")], [("LOC", "北京")]]
    assert TASK.augment(ROWS[2], config, 0, known) == [], "no mention, and no other change at strength 0"
    assert TASK.augment(ROWS[3], config, 0) == []


def test_copies_are_the_same_however_rows_are_cut_among_workers():
    config = AugmentConfig(copies=4, operations=(*OPERATIONS, MENTIONS))
    schema = pa.schema([("id", pa.string()), *TASK.inputs, TASK.target])
    table = pa.Table.from_pylist([{"id": str(n), **row} for n, row in enumerate(ROWS)], schema)
    known = TASK.collect(labelled_rows(table, TASK), config)
    whole = augment_table(table, config, 0, TASK, known)
    assert {row["text"] for row in whole.to_pylist()} & {"New York", "北京"}, "mentions of other parts"
    parts = [augment_table(table.slice(n, 1), config, 0, TASK, known) for n in range(len(ROWS))]
    assert pa.concat_tables(parts) == whole


def test_the_mentions_that_are_kept_are_bounded_and_do_not_depend_on_the_order_of_rows():
    rows = [parse(f"in {name}town", LOC=f"{name}town") for name in "abcdefghij"]
    kept = collect_mentions([*rows, *rows[:3]], most=4)
    assert len(set(kept["LOC"])) == len(kept["LOC"]) == 4
    assert collect_mentions(rows[::-1], most=4) == kept
    assert kept != {"LOC": collect_mentions(rows)["LOC"][:4]}, "a fair draw, not the first in the alphabet"


@pytest.mark.parametrize("other", [(ROWS[0], 1, 0), (ROWS[0], 0, 1), (ROWS[1], 0, 0)])
def test_draws_depend_on_row_seed_and_copy(other):
    assert draw_of(ROWS[0], 0, 0).random() == draw_of(ROWS[0], 0, 0).random()
    assert draw_of(*other).random() != draw_of(ROWS[0], 0, 0).random()
