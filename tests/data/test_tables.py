"""Whole tables: what is read strictly, and how parts of different types become one."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from react_ray.data.sources import find_files
from react_ray.data.tables import common_schema, read_whole, widen
from react_ray.errors import InputError

Refused = list[tuple[int, str, str]]


def read(path: Path, refused: Refused | None = None) -> list[dict[str, Any]]:
    """The rows of a file; a refused one is added to ``refused``, or the test fails."""
    [source] = find_files(str(path))

    def refuse(*told: Any) -> None:
        assert refused is not None, told
        refused.append(told)

    return [row for table in read_whole(source, "text", 2, refuse) for row in table.to_pylist()]


def save(folder: Path, content: str | bytes, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_csv(tmp_path: Path) -> None:
    content = '\ufeff\r\n text ,n\r\n"a ""b"",\r\nc",1\r\n\r\nhe said "no",2\r\n,3'
    assert read(save(tmp_path, content)) == [
        {"text": 'a "b",\r\nc', "n": "1"},
        {"text": 'he said "no"', "n": "2"},
        {"text": "", "n": "3"},
    ]


ROWS = [
    ("csv", 'text,n\na,1\n"never closed,2\nc,3\n', 2, "broken quotes", '"never closed,2'),
    ("csv", 'text,n\n"closed" too early,1\nb,2\n', 1, "broken quotes", '"closed" too early,1'),
    (
        "csv",
        'text,n\n"merges the rows,1\n"with this one,2\nc,3\nd,4\n',
        1,
        "broken quotes",
        '"merges the rows,1',
    ),
    ("csv", "text,n\n\na,1\nb\n", 2, "wrong number of fields: 1 under 2", "b"),
    ("csv", "text,n\na,b,1\nc,2\n", 1, "wrong number of fields: 3 under 2", "a,b,1"),
    ("csv", b"text,n\na,1\ncaf\xe9,2\n", 2, "bad encoding", "caf\\udce9"),
    ("jsonl", '{"text": "a"}\n{"text"\n', 2, "not JSON", '{"text"'),
    ("jsonl", '{"text": "a", "n": ["\\ud83d"]}\n{"text": "b"}\n', 1, "bad encoding", "ud83d"),
]


@pytest.mark.parametrize(("ending", "content", "row", "reason", "text"), ROWS)
def test_a_row_that_cannot_be_read_is_refused_and_the_others_are_read(
    tmp_path: Path, ending: str, content: str | bytes, row: int, reason: str, text: str
) -> None:
    refused: Refused = []
    read_rows = read(save(tmp_path, content, f"a.{ending}"), refused)
    number, why, there = refused[0]
    assert (number, why[: len(reason)]) == (row, reason)
    assert text in there
    assert read_rows
    total = content.count(b"\n" if isinstance(content, bytes) else "\n") - content.count(  # type: ignore[arg-type]
        b"\n\n" if isinstance(content, bytes) else "\n\n"  # type: ignore[arg-type]
    )
    assert len(read_rows) + len(refused) == total - (ending == "csv"), "every row is in one of them"


CASES = [
    ("csv", '"text,n\na,1\n', "the header has broken quotes"),
    ("csv", "text,n,text\na,1,b\n", "has 2 columns 'text'; rename all but one"),
    ("csv", "text,n, n\na,1,b\n", "has 2 columns 'n'"),
    ("csv", b"caf\xe9,n\na,1\n", "the header is not UTF-8"),
    ("csv", "body,n\na,1\n", "no column 'text' .*--text-column"),
    ("jsonl", '{"body": "a"}\n', "no column 'text' .*--text-column"),
    ("jsonl", '{"text": "a", "n": 1}\n{"text": "b", "n": "x"}\n', "'n' do not fit .*same kind"),
    ("jsonl", '{"text": "a", "n": 99999999999999999999}\n', "'n' do not fit .*too large"),
    ("parquet", b"not parquet at all", "damaged after 0 rows"),
    ("csv.gz", gzip.compress(b"text,n\n" + bytes(range(48, 127)) * 9000)[:-50], "cannot be read|damaged"),
]


@pytest.mark.parametrize(("ending", "content", "told"), CASES)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, ending: str, content: str | bytes, told: str
) -> None:
    path = save(tmp_path, content, f"a.{ending}")
    with pytest.raises(InputError, match=told) as error:
        read(path)
    assert str(path) in str(error.value)


def test_an_open_quote_does_not_take_the_whole_file_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("react_ray.data.records.RECORD_CHARS", 1000)
    path = save(tmp_path, 'text,n\na,1\n"open,2\n' + "another row,3\n" * 1000)
    refused: Refused = []
    assert len(read(path, refused)) == 1001
    [(row, reason, _)] = refused
    assert (row, reason) == (2, "broken quotes: no end of a quote within 1,000 characters")


def test_strings_of_parquet_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    column = pa.array([b"a", b"\xff", None, b"d", b"e"])
    table = pa.table({"text": column, "note": pa.array([b"x", b"x", b"x", b"\xfe", b"x"]).view(pa.string())})
    pq.write_table(table, tmp_path / "a.parquet")
    refused: Refused = []
    rows = read(tmp_path / "a.parquet", refused)
    assert [row["text"] for row in rows] == ["a", None, "e"]
    assert [(row, text) for row, _, text in refused] == [(2, "\\xff"), (4, "d")]


def test_an_empty_file_is_noted(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "a.parquet")
    for path in (tmp_path / "a.parquet", save(tmp_path, "\n\n"), save(tmp_path, "text,n\n", "b.csv")):
        refused: Refused = []
        assert read(path, refused) == []
        assert [(row, reason.split(":")[0]) for row, reason, _ in refused] == [(0, "empty file")]


def test_parquet_columns_of_one_name(tmp_path: Path) -> None:
    pq.write_table(pa.table([["a"], ["b"]], names=["text", "text"]), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="2 columns 'text'"):
        read(tmp_path / "a.parquet")


def joined(folder: Path, *parts: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """The rows of ``parts`` after all of them got the schema that holds them all."""
    paths = [(folder / f"{number}.parquet", "in.jsonl") for number in range(len(parts))]
    tables = [pa.table(part) for part in parts]
    for (path, _), table in zip(paths, tables, strict=True):
        pq.write_table(table, path)
    schema = common_schema(paths)
    return pa.concat_tables(widen(table, schema, "in.jsonl") for table in tables).to_pylist()


@pytest.mark.parametrize(
    ("first", "second"),
    [([1, 2], [0.5]), ([None], ["x"]), ([{"a": 1}], [{"b": "x"}]), ([[]], [["x"]]), ([[1]], [[0.5]])],
)
def test_types_that_can_widen_do(tmp_path: Path, first: list[Any], second: list[Any]) -> None:
    rows = joined(tmp_path, {"n": first}, {"n": second, "more": [True]}, {"n": first})
    for row, value in zip(rows, [*first, *second, *first], strict=True):
        given = value if not isinstance(value, dict) else {"a": None, "b": None, **value}
        assert row["n"] == given
    assert [row["more"] for row in rows].count(True) == 1


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ([1], ["x"], "int64 in earlier rows, string in later ones"),
        ([True], [1], "bool in earlier rows, int64 in later ones"),
        ([2**60 + 1], [0.5], str(2**60 + 1)),
        ([0.5], [2**60 + 1], str(2**60 + 1)),
    ],
)
def test_types_that_cannot_are_named(tmp_path: Path, first: list[Any], second: list[Any], told: str) -> None:
    with pytest.raises(InputError, match=r"in\.jsonl: the values of 'n' do not fit .* same kind") as error:
        joined(tmp_path, {"n": first}, {"n": second})
    assert told in str(error.value)
