from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from react_ray.data.check import check_rows, check_usable, describe_refused
from react_ray.errors import InputError

Row = tuple[str, str, str | None]
"""Input, text (here its own id), label."""


def frame(*rows: Row) -> pd.DataFrame:
    table = pd.DataFrame([*rows], columns=["input", "id", "label"]).astype("str")
    return table.assign(file=table["input"] + ".csv", row=table.groupby("input").cumcount() + 1)


def judge(*rows: Row, described: tuple[str, ...] = ()) -> list[str]:
    """The part of each row that stays, and the kind of reason of the others."""
    table = frame(*rows)
    verdict = check_rows(table, described)
    assert verdict.index.equals(table.index)
    kinds = verdict["reason"].str.partition(":")[0]
    return kinds.fillna(verdict["part"].astype("str")).tolist()


def test_rows_go_to_the_part_of_their_input() -> None:
    rows = [("labeled", "a", "x"), ("unlabeled", "b", None), ("validation", "c", "x"), ("test", "d", "x")]
    assert judge(*rows) == ["labeled", "unlabeled", "validation", "test"]


def test_blank_labels_of_the_labelled_file_are_pool() -> None:
    assert judge(("labeled", "a", "x"), ("labeled", "b", None)) == ["labeled", "unlabeled"]
    assert judge(("labeled", "a", None), ("labeled", "a", "x")) == ["also labelled", "labeled"]


def test_the_first_of_several_copies_stays() -> None:
    rows: list[Row] = [
        ("labeled", "a", "x"),
        ("labeled", "b", "x"),
        ("labeled", "a", "x"),
        ("labeled", "a", "x"),
    ]
    assert judge(*rows) == ["labeled", "labeled", "duplicate", "duplicate"]
    pool: list[Row] = [("unlabeled", "a", None), ("unlabeled", "a", None)]
    assert judge(*pool) == ["unlabeled", "duplicate"]


def test_the_reason_says_where_the_other_copy_is() -> None:
    table = frame(("labeled", "z", "x"), ("labeled", "a", "x"), ("test", "a", "x"))
    [reason] = check_rows(table)["reason"].dropna()
    assert reason == "also labelled: the same text is labeled.csv, row 2"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("labeled", "unlabeled", ["labeled", "also labelled"]),
        ("labeled", "test", ["labeled", "also labelled"]),
        ("labeled", "validation", ["labeled", "also labelled"]),
        ("test", "unlabeled", ["test", "also in test"]),
        ("test", "validation", ["test", "also in test"]),
        ("validation", "unlabeled", ["validation", "also in validation"]),
    ],
)
@pytest.mark.parametrize("swap", [False, True])
def test_a_text_in_two_parts_stays_in_one(first: str, second: str, expected: list[str], swap: bool) -> None:
    """Whatever the order of the rows is."""
    label = {"unlabeled": None}
    keep: Row = ("labeled", "other", "x")
    rows: list[Row] = [(first, "a", label.get(first, "x")), (second, "a", label.get(second, "x"))]
    assert judge(keep, *(rows[::-1] if swap else rows))[1:] == (expected[::-1] if swap else expected)


def test_a_text_with_two_labels_is_refused_wherever_it_stands() -> None:
    table = frame(
        ("labeled", "a", "x"), ("labeled", "a", "y"), ("labeled", "b", "x"), ("labeled", "a", "x"),
        ("labeled", "c", "y"), ("unlabeled", "a", None), ("test", "b", "y"),
    )  # fmt: skip
    reasons = check_rows(table)["reason"].fillna("").tolist()
    clash = "two labels: the same text is labelled x and y"
    assert reasons == [clash, clash, "", clash, "", "", "also labelled: the same text is labeled.csv, row 3"]


def test_measured_rows_need_a_known_label() -> None:
    rows: list[Row] = [
        ("labeled", "a", "x"),
        ("test", "b", None),
        ("validation", "c", "z"),
        ("test", "d", "x"),
    ]
    assert judge(*rows) == ["labeled", "no label", "unknown label", "test"]
    assert judge(*rows, described=("x", "z")) == ["labeled", "no label", "validation", "test"]


def test_the_label_file_rules_over_labelled_rows() -> None:
    rows: list[Row] = [("labeled", "a", "x"), ("labeled", "b", "typo"), ("unlabeled", "b", None)]
    assert judge(*rows, described=("x", "y")) == ["labeled", "unknown label", "unlabeled"]
    reasons = check_rows(frame(*rows), ["x"])["reason"]
    assert reasons[1] == "unknown label: typo is not in the --labels file"


def test_a_class_whose_rows_were_all_refused_is_not_known_to_the_test_set() -> None:
    rows: list[Row] = [
        ("labeled", "a", "x"), ("labeled", "a", "y"), ("labeled", "b", "x"), ("test", "c", "y"),
    ]  # fmt: skip
    assert judge(*rows) == ["two labels", "two labels", "labeled", "unknown label"]


def usable(*rows: Row, described: dict[str, str] | None = None, early: tuple[Any, ...] = ()) -> None:
    """Check rows, after ``early`` ones (input, label, reason) that the reader refused."""
    table = frame(*rows)
    table = table.join(check_rows(table, described or {}))
    columns = ["input", "file", "row", "reason", "label"]
    read = [(name, f"{name}.csv", 7, reason, label) for name, label, reason in early]
    refused = pd.concat(
        [
            pd.DataFrame(read, columns=columns).astype({"label": "str"}),
            table[table["reason"].notna()][columns],
        ]
    )
    check_usable(table[table["reason"].isna()], refused, described or {})


X, Y, POOL = ("labeled", "a", "x"), ("labeled", "b", "y"), ("unlabeled", "c", None)


def test_enough_to_start() -> None:
    usable(X, Y)
    usable(X, POOL, described={"x": "", "y": ""})
    usable(POOL, described={"x": "", "y": "财经"})
    usable(X, ("labeled", "b", "2"), described={"x": "", "2": ""})
    usable(POOL, described={"1": "bad", "2": "好"})


@pytest.mark.parametrize(
    ("rows", "options", "told"),
    [
        ([X, ("labeled", "b", "x")], {}, "only one class, 'x'"),
        ([POOL], {"described": {"x": ""}}, "only one class, 'x'"),
        ([POOL, ("labeled", "d", None)], {}, "no row has a label"),
        ([("test", "a", "x")], {"described": {"x": "", "y": ""}}, "no row to learn from"),
        (
            [X, POOL],
            {"described": {"x": "", "2": ""}},
            "class '2' has no labelled row, and its name has no words",
        ),
        ([X, Y, ("test", "d", "z")], {}, r"--test: none of its rows is usable(.|\n)*1 × unknown label: z"),
        ([X, Y, ("unlabeled", "a", None)], {}, "--unlabeled: none of its rows is usable"),
        ([X, Y, ("validation", "a", "x")], {}, "--validation: none of its rows is usable"),
        (
            [POOL],
            {"early": [("labeled", "x", "empty text")] * 3},
            r"--labeled: none(.|\n)*3 × empty text \(first",
        ),
        (
            [X, Y],
            {"early": [("labeled", "z", "empty text")]},
            r"class 'z' has neither(.|\n)*labeled.csv, row 7",
        ),
        (
            [X, Y, ("labeled", "d", "z"), ("labeled", "d", "x")],
            {},
            "class 'z' has neither a usable row nor a name",
        ),
    ],
)
def test_what_is_not_enough_is_an_error_that_says_why(
    rows: list[Row], options: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        usable(*rows, **options)


def test_a_lost_row_of_a_class_that_has_others_or_a_name_is_no_error() -> None:
    usable(X, Y, early=(("labeled", "y", "empty text"), ("labeled", None, "not JSON: x")))
    usable(X, described={"x": "", "y": ""}, early=(("labeled", "y", "empty text"),))


def test_reasons_are_counted_by_kind_commonest_first() -> None:
    rows = [
        ("too long: 5", "a.csv", 1),
        ("empty text", "a.csv", 2),
        ("empty text", "b.csv", 3),
        ("empty file: x", "c", 0),
    ]
    text = describe_refused(pd.DataFrame(rows, columns=["reason", "file", "row"]))
    assert text.splitlines() == [
        "  2 × empty text (first: a.csv, row 2)",
        "  1 × too long: 5 (first: a.csv, row 1)",
        "  1 × empty file: x (first: c)",
    ]
