from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from react_ray.config.settings import Columns
from react_ray.data.read import read_file, row_schema
from react_ray.data.sources import find_files
from react_ray.errors import InputError
from react_ray.tasks.text_classification import TEXT_CLASSIFICATION

Refused = dict[int, str]


def read(path: Path, columns: Columns | None = None, **options: Any) -> tuple[pd.DataFrame, Refused]:
    """All rows that were kept, and number and reason of those that were not."""
    [source] = find_files(str(path))
    batches = list(read_file(source, columns or Columns(), task=TEXT_CLASSIFICATION, **options))
    refused = [row for batch in batches for row in batch.refused]
    assert {row["file"] for row in refused} <= {str(path)}
    rows = pa.concat_tables([batch.rows for batch in batches])
    assert rows.schema == row_schema(TEXT_CLASSIFICATION)
    assert set(rows["file"].to_pylist()) <= {str(path)}
    return rows.to_pandas().astype(object), {row["row"]: row["reason"] for row in refused}


def csv_file(folder: Path, content: str | bytes, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def jsonl_file(folder: Path, *rows: Any) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    return csv_file(folder, "\n".join(lines), "a.jsonl")


def parquet_file(folder: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), folder / "a.parquet")
    return folder / "a.parquet"


def test_csv(tmp_path: Path) -> None:
    lines = [
        "\ufefflabel,text,note",
        'sport,"a match, in\r\nrain",x',
        "",
        ",今日股市大涨 👩‍👩‍👧,y",
        '1.0,"he said ""no""",',
    ]
    content = "\r\n".join(lines)
    rows, refused = read(csv_file(tmp_path, content))
    assert rows["text"].tolist() == ["a match, in\r\nrain", "今日股市大涨 👩‍👩‍👧", 'he said "no"']
    assert rows["label"].fillna("-").tolist() == ["sport", "-", "1"]
    assert rows["row"].tolist() == [1, 2, 3]
    assert refused == {}


@pytest.mark.parametrize("name", ["a.tsv", "a.csv.gz", "a.jsonl.gz", "a.ndjson"])
def test_every_text_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    if "json" in name:
        content = '{"text": "a b", "label": 1}\n{"text": "c"}\n'
    else:
        content = "text,label\na b,1\nc,\n".replace(",", "\t" if "tsv" in name else ",")
    data = gzip.compress(content.encode()) if name.endswith("gz") else content.encode()
    rows, refused = read(csv_file(tmp_path, data, name))
    assert rows[["text", "label", "row"]].fillna("-").values.tolist() == [["a b", "1", 1], ["c", "-", 2]]
    assert refused == {}


def test_bad_csv_rows_are_refused_alone(tmp_path: Path) -> None:
    rows = [
        b"good 1,a",
        b"caf\xe9,a",
        b"too few",
        b"too,many,fields",
        b",a",
        b" \t ,a",
        b"nu\0ll,a",
        b"x" * 300 + b",a",
        b"good 9,b",
    ]
    kept, refused = read(csv_file(tmp_path, b"text,label\n" + b"\n".join(rows)), max_chars=200)
    assert kept[["text", "row"]].values.tolist() == [["good 1", 1], ["good 9", 9]]
    assert refused == {
        2: "bad encoding: bytes that are not UTF-8",
        3: "wrong number of fields: 1 under 2 columns",
        4: "wrong number of fields: 3 under 2 columns",
        5: "empty text",
        6: "empty text",
        7: "null bytes: the text holds characters with code 0",
        8: "too long: 300 characters, at most 200 (data.max_chars)",
    }


@pytest.mark.parametrize(
    "broken", ['"never closed,a', '"closed" too early,a', '"never closed,a\n"never closed,a', '"x" ,a']
)
def test_broken_quotes_cost_only_the_row_they_are_in(tmp_path: Path, broken: str) -> None:
    """An open quote swallows what follows; those rows must come back."""
    content = f'text,label\n"first, row",a\n{broken}\nthird row,b\n"fourth, row",b\nfifth row,b\n'
    rows, refused = read(csv_file(tmp_path, content))
    assert rows["text"].tolist() == ["first, row", "third row", "fourth, row", "fifth row"]
    assert list(refused) == list(range(2, 2 + len(broken.split("\n"))))
    assert all(reason.startswith("broken quotes: ") for reason in refused.values())


def test_a_row_of_10_mb_is_refused_and_its_neighbours_are_kept(tmp_path: Path) -> None:
    long = "word " * 2_000_000
    text, lines = f'text,label\nbefore,a\n"{long}",a\nafter,b\n', ["before", long, "after"]
    for path in (csv_file(tmp_path, text), jsonl_file(tmp_path, *({"text": t, "label": "a"} for t in lines))):
        rows, refused = read(path)
        assert rows["text"].tolist() == ["before", "after"]
        assert refused == {2: "too long: 10,000,000 characters, at most 100,000 (data.max_chars)"}


def test_bad_jsonl_rows_are_refused_alone(tmp_path: Path) -> None:
    path = jsonl_file(
        tmp_path,
        {"text": "good", "label": "a"},
        "{broken",
        "[1, 2]",
        {"text": 3, "label": "a"},
        {"text": ["x"], "label": "a"},
        {"text": "two labels", "label": ["a", "b"]},
        {"label": "a"},
        "",
        '{"text": "half an emoji \\ud83d", "label": "a"}',
        {"text": "null \0 byte", "label": "a"},
        {"text": "mixed types", "label": 1},
        {"text": "flag", "label": True},
        "[" * 100_000,
    )
    rows, refused = read(path)
    assert rows[["text", "label", "row"]].values.tolist() == [
        ["good", "a", 1],
        ["mixed types", "1", 11],
        ["flag", "true", 12],
    ]
    kinds = {row: reason.split(":")[0] for row, reason in refused.items()}
    assert kinds == {
        2: "not JSON",
        3: "not a JSON object",
        4: "not text",
        5: "not text",
        6: "a list of labels where one is expected",
        7: "empty text",
        9: "bad encoding",
        10: "null bytes",
        13: "not JSON",
    }


def test_the_start_of_a_refused_text_is_kept_in_a_form_that_can_be_written(tmp_path: Path) -> None:
    [source] = find_files(str(csv_file(tmp_path, b"text,label\ncaf\xe9 " + b"x" * 500 + b",sport\n")))
    [row] = [row for batch in read_file(source, Columns(), task=TEXT_CLASSIFICATION) for row in batch.refused]
    assert row["text"].encode().startswith(b"caf\\xe9 xxx")
    assert 200 <= len(row["text"]) < 220
    assert row["names"] == ["sport"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([1, 2, None], ["1", "2", "-"]),
        (pa.array([1.0, 2.5, None]), ["1", "2.5", "-"]),
        ([True, False, None], ["true", "false", "-"]),
        (pa.array(["a", "b", None]).dictionary_encode(), ["a", "b", "-"]),
        (pa.nulls(3), ["-", "-", "-"]),
        (pa.array(["a", "b", ""], pa.large_string()), ["a", "b", "-"]),
    ],
)
def test_parquet_labels_of_every_type_become_names(tmp_path: Path, labels: Any, expected: list[str]) -> None:
    rows, refused = read(parquet_file(tmp_path, text=["x", "y", "z"], label=labels))
    assert rows["label"].fillna("-").tolist() == expected
    assert refused == {}


def test_parquet_cells_of_the_wrong_type_are_refused(tmp_path: Path) -> None:
    _, refused = read(parquet_file(tmp_path, text=["x", "y"], label=[["a", "b"], ["a"]]))
    assert refused[1] == "a list of labels where one is expected: ['a', 'b']"
    _, refused = read(parquet_file(tmp_path, text=[1, 2], label=["a", "b"]))
    assert refused == {1: "not text: int where text is expected", 2: "not text: int where text is expected"}


def test_parquet_strings_that_are_not_utf8_are_refused_alone(tmp_path: Path) -> None:
    raw = pa.array([b"good", b"caf\xe9", "涨".encode()], pa.binary())
    broken = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    rows, refused = read(parquet_file(tmp_path, text=broken, label=["a", "a", "b"]))
    assert rows["text"].tolist() == ["good", "涨"]
    assert refused == {2: "bad encoding: bytes that are not UTF-8"}


def test_the_pool_needs_no_labels_and_ignores_those_it_has(tmp_path: Path) -> None:
    rows, _ = read(csv_file(tmp_path, "text\nx\n"), labeled=False)
    assert rows["text"].tolist() == ["x"]
    rows, refused = read(parquet_file(tmp_path, text=["x"], label=[["a", "b"]]), labeled=False)
    assert rows["label"].isna().all()
    assert refused == {}


def test_columns_by_other_names_and_the_truth(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "body,topic,real\nx,a,b\ny,,1.0\n")
    rows, _ = read(path, Columns(text="body", label="topic", truth="real"))
    assert rows[["text", "label", "truth"]].fillna("-").values.tolist() == [["x", "a", "b"], ["y", "-", "1"]]


CASES = [
    ("csv", "body,label\nx,a\n", r"no column 'text' \(it has: 'body', 'label'\); name it with --text-column"),
    ("csv", "text,topic\nx,a\n", "no column 'label' .* --label-column"),
    ("csv", "text,label,label\nx,a,b\n", "2 columns 'label'; rename all but one"),
    ("csv", b"text,caf\xe9\nx,a\n", "the header is not UTF-8"),
    ("csv", '"text,label\nx,a\n', "the header has broken quotes"),
    ("jsonl", '{"body": "x", "label": "a"}\n', "no column 'text' .*'body'"),
    ("jsonl", '{"text": "x"}\n', "no column 'label' .* --label-column"),
    ("parquet", b"not parquet at all", "a.parquet is damaged"),
    ("csv.gz", b"text,label", "a.csv.gz cannot be read"),
    ("csv.gz", gzip.compress(b"text,label\n" + bytes(range(32, 127)) * 9000)[:-50], "cannot be read|damaged"),
]


@pytest.mark.parametrize(("ending", "content", "told"), CASES)
def test_a_file_that_cannot_be_used_at_all_says_why(
    tmp_path: Path, ending: str, content: str | bytes, told: str
) -> None:
    path = csv_file(tmp_path, content, f"a.{ending}")
    with pytest.raises(InputError, match=told) as error:
        read(path)
    assert str(path) in str(error.value)


def test_a_parquet_file_without_the_column_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no column 'text' .*'body', 'label'"):
        read(parquet_file(tmp_path, body=["x"], label=["a"]))


@pytest.mark.parametrize("content", ["", "\n\n", "text,label\n"])
def test_an_empty_file_is_one_refused_row(tmp_path: Path, content: str) -> None:
    rows, refused = read(csv_file(tmp_path, content))
    assert len(rows) == 0
    assert refused == {0: "empty file: it holds no rows"}


def test_a_label_in_one_line_makes_the_column(tmp_path: Path) -> None:
    rows, _ = read(jsonl_file(tmp_path, {"text": "x"}, {"text": "y", "label": "a"}))
    assert rows["label"].fillna("-").tolist() == ["-", "a"]


def test_a_large_file_comes_in_batches_of_bounded_size(tmp_path: Path) -> None:
    [source] = find_files(str(csv_file(tmp_path, "text,label\n" + "short,a\n" * 25_000)))
    batches = read_file(source, Columns(), task=TEXT_CLASSIFICATION)
    assert [batch.rows.num_rows for batch in batches] == [10_000, 10_000, 5_000]
    [source] = find_files(str(csv_file(tmp_path, "text,label\n" + ("long" * 20_000 + ",a\n") * 400)))
    sizes = [batch.rows.num_rows for batch in read_file(source, Columns(), task=TEXT_CLASSIFICATION)]
    assert sum(sizes) == 400
    assert max(sizes) < 300
