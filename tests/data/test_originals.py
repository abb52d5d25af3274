"""Rows that come back as they were, in the format of the output."""

from __future__ import annotations

import csv
import datetime
import decimal
import io
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from react_ray.data.json_text import add_members, members, rename_keys
from react_ray.data.originals import column_kinds, original_of
from react_ray.data.row import Broken, ColumnSelection
from react_ray.data.sources import find_files
from react_ray.data.tables import OutputColumns, open_output, write_table

TEXT = ColumnSelection((("text",),))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["label", "a", "{", 'q"', "é"]), VALUES), st.booleans())
def test_json_objects_keep_their_text(row: dict[str, Any], escaped: bool) -> None:
    text = json.dumps(row, ensure_ascii=escaped, separators=(" ,  ", " :"))
    assert [text[m.value_start : m.value_end] for m in members(text)] == [
        json.dumps(value, ensure_ascii=escaped, separators=(" ,  ", " :")) for value in row.values()
    ]
    assert add_members(text, {"more": 1}).startswith(text[:-1])
    added = json.loads(rename_keys(add_members(text, {"more": 1}), {"label": "given"}))
    expected = {"given" if key == "label" else key: value for key, value in row.items()} | {"more": 1}
    assert repr(added) == repr(expected)


def write(target: Path, *paths: Path, guard: bool = False) -> Path:
    """What ``predict`` writes for these files, with one answer for all rows."""
    sources = [source for path in paths for source in find_files(str(path))]
    kinds = [column_kinds(source, TEXT) for source in sources]
    opened = [original_of(source, TEXT, kind) for source, kind in zip(sources, kinds, strict=True)]
    with closing(open_output(target, target, OutputColumns(opened), guard)) as output:
        for original in opened:
            output.begin(original)
            for _, cells, whole in original.rows:
                if not isinstance(cells, Broken):
                    output.add(whole, "x", 0.5)
    return target


def save(folder: Path, name: str, *lines: str) -> Path:
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


LINES = [
    '{"text": "a", "n": 1, "f": 1.0, "e": 1e3, "big": 123456789012345678901234567890}',
    '{"meta":{},"text":"b","list":[],"nested":{"x":[{}, {"y":null}]}, "z" : "caf\\u00e9 \\ud83d"}',
    '{"n": "a", "text": "c", "n": 2, "nan": NaN}',
    '  {"score": 3, "la\\u0062el": {"label": 1}, "text": "d" }  ',
]


def test_a_row_of_jsonl_comes_back_byte_for_byte(tmp_path: Path) -> None:
    made = write(tmp_path / "out.jsonl", save(tmp_path, "in.jsonl", *LINES)).read_text(encoding="utf-8")
    answer = '"label": "x", "score": 0.5}'
    assert made.splitlines()[:3] == [f"{line[:-1]}, {answer}" for line in LINES[:3]]
    assert made.splitlines()[3].strip() == (
        '{"score_given": 3, "label_given": {"label": 1}, "text": "d", ' + answer
    )


def test_cells_of_csv_come_back_as_they_were(tmp_path: Path) -> None:
    given = 'id,text,label,,\r\n007,"a, ""b""\r\nc",1.0,,\r\n1e3,=1+1,,,\r\n'
    path = tmp_path / "in.csv"
    path.write_text(given, newline="")
    made = write(tmp_path / "out.csv", path).read_bytes().decode()
    assert list(csv.reader(io.StringIO(made, newline=""))) == [
        ["id", "text", "label_given", "", "", "label", "score"],
        ["007", 'a, "b"\r\nc', "1.0", "", "", "x", "0.5"],
        ["1e3", "=1+1", "", "", "", "x", "0.5"],
    ]


def test_types_of_parquet_come_back(tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": pa.array(["a", None, "c"], pa.large_string()),
            "category": pa.array(["x", "y", None]).dictionary_encode(),
            "bytes": pa.array([b"\xff", None, b""], pa.large_binary()),
            "view": pa.array(["x", None, "y"], pa.string_view()),
            "day": pa.array([datetime.date(2020, 1, 1), None, None]),
            "time": pa.array([1, None, 3], pa.timestamp("ns", "UTC")),
            "price": pa.array([decimal.Decimal("1.50"), None, None], pa.decimal128(10, 2)),
            "nothing": pa.nulls(3),
            "small": pa.array([1, None, 3], pa.int8()),
            "nested": [{"a": [1, 2], "b": None}, None, {"a": [], "b": "x"}],
        }
    )
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=2)
    made = pq.read_table(write(tmp_path / "out.parquet", tmp_path / "in.parquet"))
    assert made.select(table.column_names).cast(table.schema).equals(table)
    assert made.schema.types[:-2] == table.schema.types
    assert made.column_names[-2:] == ["label", "score"]
    lines = [json.loads(line) for line in write(tmp_path / "o.jsonl", tmp_path / "in.parquet").open()]
    assert lines[0]["bytes"] == "/w=="
    assert (lines[0]["price"], lines[0]["day"], lines[2]["nested"]) == (
        "1.50", "2020-01-01", {"a": [], "b": "x"},
    )  # fmt: skip
    with write(tmp_path / "o.csv", tmp_path / "in.parquet").open(newline="") as file:
        assert next(csv.DictReader(file))["nested"] == '{"a": [1, 2], "b": null}'


def test_values_of_many_kinds_in_one_column_become_text(tmp_path: Path) -> None:
    given = save(
        tmp_path,
        "in.jsonl",
        '{"text": "a", "id": 1, "n": 1, "tags": ["x"], "m": {}, "big": 9007199254740993}',
        '{"text": "b", "id": "a", "n": 0.5, "tags": [], "m": {"k": 1}, "big": 0.5, "flag": true}',
        '{"text": "c", "id": null, "n": null}',
    )
    made = pq.read_table(write(tmp_path / "out.parquet", given)).to_pydict()
    assert made["id"] == ["1", "a", None]
    assert made["n"] == [1.0, 0.5, None]
    assert made["tags"] == [["x"], [], None]
    assert made["m"] == ["{}", '{"k": 1}', None]
    assert made["big"] == ["9007199254740993", "0.5", None]
    assert made["flag"] == [None, True, None]
    with write(tmp_path / "out.csv", given).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["1", "a", ""]
    assert [row["m"] for row in rows] == ["{}", '{"k": 1}', ""]


@pytest.mark.parametrize("target", ["out.csv", "out.tsv", "out.jsonl", "out.parquet"])
def test_files_with_different_columns_become_one(tmp_path: Path, target: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    save(folder, "a.csv", "text,id,,", "a,1,,")
    save(folder, "b.csv", "text;id;id", "b;2;3")
    save(folder, "c.jsonl", '{"id": 4, "text": "c", "more": {}}')
    for name, more in (("d", ["x"]), ("e", pa.array(["y"]).dictionary_encode())):
        pq.write_table(pa.table({"text": [name], "id": [5], "more": more}), folder / f"{name}.parquet")
    made = write(tmp_path / target, folder)
    if made.suffix == ".parquet":
        rows = pq.read_table(made).to_pylist()
        assert [row["id"] for row in rows] == ["1", "2", "4", "5", "5"]
        assert rows[1]["id_2"] == "3"
    elif made.suffix == ".jsonl":
        rows = [json.loads(line) for line in made.open()]
        assert [row["id"] for row in rows] == ["1", "2", 4, 5, 5]
        assert rows[1]["id_2"] == "3"
    else:
        header, *cells = csv.reader(made.open(newline=""), delimiter="\t" if target == "out.tsv" else ",")
        assert header == ["text", "id", "", "", "id", "more", "label", "score"]
        rows = [dict(zip([*header[:2], "3", "4", "id_2", *header[5:]], row, strict=True)) for row in cells]
        assert [row["id"] for row in rows] == ["1", "2", "4", "5", "5"]
    assert [row["text"] for row in rows] == list("abcde")
    assert [row.get("more") for row in rows][3:] == ["x", "y"]


def test_the_output_is_about_as_large_as_the_input(tmp_path: Path) -> None:
    lines = [json.dumps({"text": "a", "meta": {f"key{n}": n}}) for n in range(1000)]
    given = save(tmp_path, "in.jsonl", *lines)
    assert write(tmp_path / "out.jsonl", given).stat().st_size < 2 * given.stat().st_size
    assert write(tmp_path / "out.csv", given).stat().st_size < 2 * given.stat().st_size


def test_cells_that_a_spreadsheet_would_run_are_guarded_on_request(tmp_path: Path) -> None:
    given = save(tmp_path, "in.csv", "text,=x", "=cmd|1,-5", '@a,"+1,000.5"', "＝b,-1+1", "c,a=b")
    plain = write(tmp_path / "plain.csv", given).read_text(encoding="utf-8").splitlines()
    assert plain[1].startswith("=cmd|1,-5,")
    with write(tmp_path / "out.csv", given, guard=True).open(encoding="utf-8", newline="") as file:
        rows = [row[:2] for row in csv.reader(file)]
    assert rows == [["text", "'=x"], ["'=cmd|1", "-5"], ["'@a", "+1,000.5"], ["'＝b", "'-1+1"], ["c", "a=b"]]
    write_table(pa.table({"text": ["=1"]}), tmp_path / "suggested.csv", guard=True)
    assert (tmp_path / "suggested.csv").read_text().splitlines() == ["text", "'=1"]


def test_what_is_written_with_tabs_is_read_as_it_was(tmp_path: Path) -> None:
    given = save(tmp_path, "in.jsonl", '{"text": "\\"open\\tb\\nc\\""}', '{"text": "5\\""}')
    made = write(tmp_path / "out.tsv", given).read_text()
    assert made == 'text\tlabel\tscore\n"open b c"\tx\t0.5\n5"\tx\t0.5\n'
