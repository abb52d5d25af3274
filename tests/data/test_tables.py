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


def read(path: Path, rows: int = 100) -> list[dict[str, Any]]:
    [source] = find_files(str(path))
    return [row for table in read_whole(source, rows) for row in table.to_pylist()]


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


CASES = [
    ("csv", 'text,n\na,1\n"never closed,2\nc,3\n', r"row 2 has broken quotes .*twice"),
    ("csv", 'text,n\n"closed" too early,1\n', "row 1 has broken quotes"),
    ("csv", 'text,n\n"merges the rows,1\n"with this one,2\nc,3\n', "row 1 has broken quotes"),
    ("csv", '"text,n\na,1\n', "the header has broken quotes"),
    ("csv", "text,n,text\na,1,b\n", "has 2 columns 'text'; rename all but one"),
    ("csv", "text,n, text\na,1,b\n", "has 2 columns 'text'"),
    ("csv", "text,n\n\na,1\nb\n", "row 2: 1 fields under 2 columns"),
    ("csv", "text,n\na,b,1\n", "row 1: 3 fields under 2 columns"),
    ("csv", b"text,n\na,1\ncaf\xe9,2\n", "row 2 is not UTF-8"),
    ("csv", b"caf\xe9,n\na,1\n", "the header is not UTF-8"),
    ("csv", "\n\n", "is empty"),
    ("jsonl", '{"text": "a"}\n{"text"\n', "line 2 is not JSON"),
    ("jsonl", '{"text": "a", "n": 1}\n{"text": "b", "n": "x"}\n', "'n' do not fit .*same kind"),
    ("jsonl", '{"text": "a", "n": 99999999999999999999}\n', "'n' do not fit .*too large"),
    ("jsonl", '{"n": "\\ud83d"}\n', "'n' holds text that is not UTF-8"),
    ("parquet", b"not parquet at all", "damaged after 0 rows"),
    ("csv.gz", gzip.compress(b"text,n\n" + bytes(range(48, 127)) * 9000)[:-50], "cannot be read|damaged"),
]


@pytest.mark.parametrize(("ending", "content", "told"), CASES)
def test_a_broken_file_is_named_with_the_place(
    tmp_path: Path, ending: str, content: str | bytes, told: str
) -> None:
    path = save(tmp_path, content, f"a.{ending}")
    with pytest.raises(InputError, match=told) as error:
        read(path)
    assert str(path) in str(error.value)


def test_an_open_quote_does_not_take_the_whole_file_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("react_ray.data.tables.RECORD_CHARS", 1000)
    path = save(tmp_path, 'text,n\na,1\n"open,2\n' + "another row,3\n" * 1000 + '"\n')
    with pytest.raises(InputError, match=r"row 2 has broken quotes .*limit \(1000\)"):
        read(path)


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
