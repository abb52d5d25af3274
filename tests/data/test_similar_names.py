from __future__ import annotations

import pytest

from react_ray.data.similar_names import similar_names, visible


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["Sport", "sport"], "'Sport' (1 row), 'sport' (2 rows)"),
        (["New York", "New  York"], "'New  York' (2 rows)"),
        (["New York", "NewYork"], "'NewYork' (2 rows)"),
        (["New York", "New\xa0York"], r"'New\xa0York' (2 rows)"),
        (["a", "a\u200b"], r"'a\u200b' (2 rows)"),
        (["a", "\ufeffa"], r"'\ufeffa' (2 rows)"),
        (["ab", "a\u00adb"], r"'a\xadb' (2 rows)"),
        (["a", "a\u202e"], r"'a\u202e' (2 rows)"),
        (["a", "a\ufe0f"], r"'a\ufe0f' (2 rows)"),
        (["A1", "Ａ1"], r"'\uff211' (2 rows)"),
        (["fin", "ﬁn"], r"'\ufb01n' (2 rows)"),
        (["sport", "ѕроrt"], r"'\u0455\u0440\u043ert' (2 rows)"),
        (["Спорт", "спорт"], "'спорт' (2 rows)"),
        (["straße", "STRASSE"], "'STRASSE' (2 rows)"),
        (["1", "01"], "'01' (2 rows)"),
        (["1", "+1"], "'+1' (2 rows)"),
        (["0.5", "0.50"], "'0.50' (2 rows)"),
        (["a b", "a\nb"], r"'a\nb' (2 rows)"),
    ],
)
def test_names_that_look_the_same_are_shown_with_their_difference(names: list[str], shown: str) -> None:
    [warning] = similar_names({name: number for number, name in enumerate(names, start=1)})
    assert "differ only in" in warning
    assert all(part in warning for part in shown.split(", "))


@pytest.mark.parametrize(
    "names",
    [["-1", "1"], ["A+", "A-"], ["cafe", "café"], ["1000001", "1000002"], ["a", "b"], ["нос", "носы"]],
)
def test_names_that_differ_are_no_warning(names: list[str]) -> None:
    assert similar_names(dict.fromkeys(names, 3)) == []


def test_many_groups_and_long_names_are_cut() -> None:
    counts = {f"{name}{number}": 1 for number in range(20) for name in ("x", "X")}
    assert similar_names(counts)[-1] == "and 15 more groups of such names"
    assert len(visible("x" * 200)) < 100
