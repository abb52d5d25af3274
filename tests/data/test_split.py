from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from react_ray.data.split import validation_mask

rows_strategy = st.dictionaries(st.text(max_size=8), st.sampled_from("abc"), min_size=1, max_size=60)
fractions = st.floats(0.01, 0.99)


def split(rows: dict[str, str], fraction: float) -> dict[str, bool]:
    mask = validation_mask(list(rows), list(rows.values()), fraction)
    assert mask.dtype == bool
    return dict(zip(rows, mask.tolist(), strict=True))


@settings(deadline=None)
@given(rows_strategy, fractions)
def test_every_class_can_be_learned_and_larger_ones_are_measured(
    rows: dict[str, str], fraction: float
) -> None:
    held = split(rows, fraction)
    sizes = Counter(rows.values())
    training = Counter(label for row, label in rows.items() if not held[row])
    validation = Counter(label for row, label in rows.items() if held[row])
    assert all(training[label] >= 1 for label in sizes)
    assert all(validation[label] >= 1 for label, size in sizes.items() if size >= 5)


@settings(deadline=None)
@given(rows_strategy, fractions, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: dict[str, str], fraction: float, draw) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(rows.items())
    draw.shuffle(shuffled)
    assert split(dict(shuffled), fraction) == split(rows, fraction)


@settings(deadline=None)
@given(rows_strategy, rows_strategy, fractions)
def test_added_rows_move_at_most_the_one_row_that_a_class_was_short_of(
    rows: dict[str, str], more: dict[str, str], fraction: float
) -> None:
    before, after = split(rows, fraction), split({**more, **rows}, fraction)
    moved = Counter(rows[row] for row in rows if before[row] != after[row])
    assert all(count == 1 for count in moved.values())


@settings(deadline=None)
@given(rows_strategy, fractions)
def test_classes_do_not_influence_each_other(rows: dict[str, str], fraction: float) -> None:
    alone = {row: label for row, label in rows.items() if label == "a"}
    whole = split(rows, fraction)
    assert split(alone, fraction) == {row: whole[row] for row in alone}


def test_many_rows_are_split_as_asked_and_stay_where_they_are() -> None:
    rows = {f"{number:032x}": "ab"[number % 2] for number in range(20_000)}
    few = dict(list(rows.items())[:2_000])
    held, held_of_few = split(rows, 0.2), split(few, 0.2)
    assert abs(np.mean(list(held.values())) - 0.2) < 0.01
    assert all(held[row] == held_of_few[row] for row in few)


@settings(deadline=None)
@given(rows_strategy, fractions, fractions)
def test_a_larger_fraction_only_adds_rows(rows: dict[str, str], one: float, other: float) -> None:
    small, large = split(rows, min(one, other)), split(rows, max(one, other))
    assert all(large[row] for row in rows if small[row])


def test_no_fraction_keeps_everything_for_training() -> None:
    assert not validation_mask(["r"] * 10, ["a"] * 10, 0.0).any()
    assert len(validation_mask([], [], 0.5)) == 0


def test_rows_of_a_group_stay_together() -> None:
    for groups in (["a"] * 6 + ["b"] * 6, ["a"] * 12):
        for fraction in (1e-9, 1.0):
            mask = validation_mask(groups, [""] * 12, fraction)
            assert {len(set(mask[start : start + 6])) for start in (0, 6)} == {1}
            assert not mask.all()
            assert mask.any() == ("b" in groups)
