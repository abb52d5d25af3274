from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from react_ray.data.check import check_usable, label_warnings
from react_ray.data.duplicates import PARTS
from react_ray.data.rejections import RejectedRows, count_kinds, describe, kind_of
from react_ray.data.shards import Shard, shard_schema, text_id
from react_ray.data.verdicts import CheckedRows
from react_ray.errors import InputError
from react_ray.tasks import get_task
from react_ray.tasks.text_classification import TEXT_CLASSIFICATION

Row = tuple[str, str, str | None]
"""Input, text, label."""


def shards(rows: tuple[Row, ...], folder: Path) -> Iterator[Shard]:
    """The rows as they would have been read; those of one input that follow each other in one shard."""
    numbers: Counter[str] = Counter()
    for number, (given, group) in enumerate(groupby(rows, key=lambda row: row[0])):
        shard = Shard(given, f"{given}.csv", folder / f"{number}.parquet")
        told = []
        for _, text, label in group:
            numbers[given] += 1
            told.append({"id": text_id(text), "text": text, "label": label, "row": numbers[given]})
        pq.write_table(pa.Table.from_pylist(told, shard_schema(TEXT_CLASSIFICATION)), shard.target)
        shard.target.with_suffix(".refused.jsonl").touch()
        yield shard


def judged(*rows: Row, described: tuple[str, ...] = ()) -> tuple[list[str | None], list[str]]:
    """The part of each row (None: refused), and the reasons of the others in their order."""
    with tempfile.TemporaryDirectory() as folder:
        written = [*shards(rows, Path(folder))]
        checked = CheckedRows.of(written, described, 100, Path(folder), TEXT_CLASSIFICATION)
        fates = [PARTS[fate] if fate < len(PARTS) else None for fate in checked.status]
        return fates, [reason for _, _, reason in checked.refused(0, len(rows))]


def judge(*rows: Row, described: tuple[str, ...] = ()) -> list[str]:
    """The part of each row that stays, and the kind of reason of the others."""
    parts, reasons = judged(*rows, described=described)
    kinds = map(kind_of, reasons)
    return [part or next(kinds) for part in parts]


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
    _, [reason] = judged(("labeled", "z", "x"), ("labeled", "a", "x"), ("test", "a", "x"))
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
    parts, reasons = judged(
        ("labeled", "a", "x"), ("labeled", "a", "y"), ("labeled", "b", "x"), ("labeled", "a", "x"),
        ("labeled", "c", "y"), ("unlabeled", "a", None), ("test", "b", "y"),
    )  # fmt: skip
    assert parts == [None, None, "labeled", None, "labeled", "unlabeled", None]
    clash = "two labels: the same text is labelled x and y"
    assert reasons == [clash, clash, clash, "also labelled: the same text is labeled.csv, row 3"]


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
    _, reasons = judged(*rows, described=("x",))
    assert reasons[0] == "unknown label: typo is not in the --labels file"


def test_a_class_whose_rows_were_all_refused_is_not_known_to_the_test_set() -> None:
    rows: list[Row] = [
        ("labeled", "a", "x"), ("labeled", "a", "y"), ("labeled", "b", "x"), ("test", "c", "y"),
    ]  # fmt: skip
    assert judge(*rows) == ["two labels", "two labels", "labeled", "unknown label"]


def usable(*rows: Row, described: dict[str, str] | None = None, early: tuple[Any, ...] = ()) -> None:
    """Check rows, after ``early`` ones (input, label, reason) that the reader refused."""
    parts, reasons = judged(*rows, described=tuple(described or {}))
    rejections, late = RejectedRows(), iter(reasons)
    for given, label, reason in early:
        rejections.add(given, f"{given}.csv", 7, reason, [label] if label else [])
    for (given, _, label), part in zip(rows, parts, strict=True):
        if part is None:
            rejections.add(given, f"{given}.csv", 1, next(late), [label] if label else [])
    kept = Counter(given for (given, _, _), part in zip(rows, parts, strict=True) if part)
    labels = {str(label) for (_, _, label), part in zip(rows, parts, strict=True) if part == "labeled"}
    learnable = bool({"labeled", "unlabeled"} & {*parts})
    check_usable(kept, labels, learnable, rejections, described or {}, TEXT_CLASSIFICATION)


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
        ([("test", "a", "x")], {"described": {"x": "", "y": ""}}, "no training row"),
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


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["joy"], "only one label, 'joy': at least two are needed, in the labels column of --labeled"),
        ([], "for each label in the labels column of --labeled (--column labels=NAME names it)"),
    ],
)
def test_errors_have_the_words_of_the_task(labels: list[str], told: str) -> None:
    sets = get_task("multi-label-classification")
    with pytest.raises(InputError, match=re.escape(told)):
        check_usable({"labeled": 2}, labels, True, RejectedRows(), {}, sets)
    rejections = RejectedRows()
    rejections.add("test", "a.csv", 1, "empty text", ["anger"])
    [warning] = label_warnings({"joy": 1}, {"test": {"joy"}}, rejections, sets)
    assert warning.startswith("label 'anger' has no test row left: the only one was rejected")


def test_the_missing_label_names_the_columns_of_the_file() -> None:
    entities = get_task("token-classification")
    for columns, expected in (
        (("text", "label"), "in the label column"),
        ((), "in the tags or spans column"),
    ):
        with pytest.raises(InputError, match=expected):
            check_usable({"labeled": 2}, [], True, RejectedRows(), {}, entities, columns)


def test_a_lost_row_of_a_class_that_has_others_or_a_name_is_no_error() -> None:
    usable(X, Y, early=(("labeled", "y", "empty text"), ("labeled", None, "not JSON: x")))
    usable(X, described={"x": "", "y": ""}, early=(("labeled", "y", "empty text"),))


def test_the_rows_of_a_lost_class_are_shown() -> None:
    lost = [("labeled", "z", f"empty text: {number}") for number in range(7)]
    with pytest.raises(InputError) as error:
        usable(X, Y, early=(*lost, ("labeled", "w\u200b", "too long: 9")))
    told = str(error.value)
    assert told.count("labeled.csv, row 7: empty text") == 5
    assert "and 2 more" in told
    assert r"the class 'w\u200b' has neither a usable row nor a name" in told
    assert "labeled.csv, row 7: too long: 9" in told


@pytest.mark.parametrize("part", ["labeled", "validation", "test"])
def test_a_class_whose_rows_were_all_rejected_is_a_warning(part: str) -> None:
    rejections = RejectedRows()
    for row in range(1, 8):
        rejections.add(part, "a.csv", row, "unknown label: y", ["y"])
    rejections.add(part, "a.csv", 9, "empty text", ["x"])
    [warning] = label_warnings({"x": 1}, {part: {"x"}}, rejections, TEXT_CLASSIFICATION)
    name = "labelled" if part == "labeled" else part
    assert warning.splitlines()[0] == f"class 'y' has no {name} row left: all 7 were rejected"
    assert warning.splitlines()[1] == "  a.csv, row 1: unknown label: y"
    assert warning.splitlines()[-1] == "  and 2 more"


def test_reasons_are_counted_by_kind_commonest_first() -> None:
    rows = [
        ("too long: 5", "a.csv", 1),
        ("empty text", "a.csv", 2),
        ("empty text", "b.csv", 3),
        ("empty file: x", "c", 0),
    ]
    text = describe(count_kinds(rows))
    assert text.splitlines() == [
        "  2 × empty text (first: a.csv, row 2)",
        "  1 × too long: 5 (first: a.csv, row 1)",
        "  1 × empty file: x (first: c)",
    ]
