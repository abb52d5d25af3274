"""parquet files: text in every type, and names of classes in the metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from react_ray.config.settings import Columns
from react_ray.data.pages import read_pages
from react_ray.data.read import read_file
from react_ray.data.sources import find_files
from react_ray.errors import InputError
from react_ray.tasks.text_classification import TEXT_CLASSIFICATION

NAMES = ["World", "Sports"]
CLASS_LABEL = {"names": NAMES, "_type": "ClassLabel"}


def save(folder: Path, table: pa.Table, feature: Any = None) -> Path:
    if feature is not None:
        features = {"info": {"features": {"label": feature}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    pq.write_table(table, folder / "a.parquet")
    return folder / "a.parquet"


def read(path: Path, labeled: bool = True) -> tuple[list[tuple[str, str | None]], dict[int, str]]:
    [source] = find_files(str(path))
    batches = list(read_file(source, Columns(), task=TEXT_CLASSIFICATION, labeled=labeled))
    rows = [(row["text"], row["label"]) for batch in batches for row in batch.rows.to_pylist()]
    return rows, {row["row"]: row["reason"] for batch in batches for row in batch.refused}


TYPES = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()]


@pytest.mark.parametrize("kind", [*TYPES, pa.dictionary(pa.int32(), pa.string())], ids=str)
def test_text_in_every_type(tmp_path: Path, kind: pa.DataType) -> None:
    texts = ["a", "雨", None]
    values = [text and text.encode() for text in texts] if "binary" in str(kind) else texts
    table = pa.table(
        {"text": pa.array(values, kind), "label": pa.array(["x", "y", "z"]).cast(pa.large_string())}
    )
    assert read(save(tmp_path, table)) == ([("a", "x"), ("雨", "y")], {3: "empty text"})


@pytest.mark.parametrize("kind", [pa.int64(), pa.int8(), pa.uint32()], ids=str)
def test_numbers_of_classes_get_their_names(tmp_path: Path, kind: pa.DataType) -> None:
    labels = pa.array([0, 1, None, 2], kind)
    rows, refused = read(save(tmp_path, pa.table({"text": list("abcd"), "label": labels}), CLASS_LABEL))
    assert rows == [("a", "World"), ("b", "Sports"), ("c", None)]
    assert refused == {4: "not a label: 2 is none of the 2 classes that the file's metadata names"}


def test_the_number_for_no_class_is_no_label(tmp_path: Path) -> None:
    table = pa.table({"text": ["a", "b"], "label": [-1, 1]})
    assert read(save(tmp_path, table, CLASS_LABEL))[0] == [("a", None), ("b", "Sports")]


def test_lists_of_one_class(tmp_path: Path) -> None:
    table = pa.table({"text": ["a", "b", "c"], "label": [[1], [], [0, 1]]})
    rows, refused = read(save(tmp_path, table, {"feature": CLASS_LABEL, "_type": "List"}))
    assert rows == [("a", "Sports"), ("b", None)]
    assert refused[3].startswith("a list of labels")


@pytest.mark.parametrize(
    "feature", [{"_type": "Value"}, {"names": NAMES}, {"names": 3, "_type": "ClassLabel"}, [], 7, "x"]
)
def test_other_metadata_leaves_numbers_as_they_are(tmp_path: Path, feature: Any) -> None:
    table = pa.table({"text": ["a", "b"], "label": [0, 1]})
    assert read(save(tmp_path, table, feature))[0] == [("a", "0"), ("b", "1")]
    broken = table.replace_schema_metadata({"huggingface": b"{" + b"[" * 5000})
    assert read(save(tmp_path, broken))[0] == [("a", "0"), ("b", "1")]


def test_names_are_for_numbers_alone(tmp_path: Path) -> None:
    table = pa.table({"text": ["a"], "label": ["1"]})
    assert read(save(tmp_path, table, CLASS_LABEL))[0] == [("a", "1")]


@pytest.mark.parametrize("asked", [["text", "label"], ["label", "text"]])
def test_columns_are_found_by_name_whatever_their_order(tmp_path: Path, asked: list[str]) -> None:
    from react_ray import read_rows

    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"label": ["sports"], "note": ["x"], "text": ["a match"]}), path)
    cells = [dict(row.cells) for row in read_rows(str(path), asked)]
    assert cells == [{"text": "a match", "label": "sports"}]


@pytest.mark.parametrize("table", [pa.table({}), pa.table({"n": [1]}), pa.table({"text": [], "n": []})])
def test_files_without_text(tmp_path: Path, table: pa.Table) -> None:
    path = save(tmp_path, table)
    if "text" in table.column_names:
        assert read(path, labeled=False) == ([], {0: "empty file: it holds no rows"})
    else:
        with pytest.raises(InputError, match="no column 'text'"):
            read(path, labeled=False)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "zstd", "gzip"])
def test_page_headers_are_read(tmp_path: Path, version: str, compression: str) -> None:
    table = pa.table(
        {"text": [f"text {n}" * 50 for n in range(10_000)], "n": [[n] * (n % 5) for n in range(10_000)]}
    )
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, data_page_version=version, compression=compression, data_page_size=20_000)
    file = pq.ParquetFile(path)
    with pa.OSFile(str(path)) as stream:
        for place in range(2):
            chunk = file.metadata.row_group(0).column(place)
            pages = read_pages(stream, chunk, block=16)
            assert 1_000 < pages.page_bytes <= chunk.total_uncompressed_size
            assert 0 < pages.page_values <= chunk.num_values
            assert pages.dictionary_bytes > 0
            assert pages.value_bytes <= pages.page_bytes


def test_damaged_pages_are_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = save(tmp_path, pa.table({"text": ["a b c"] * 100}))
    content = bytearray(path.read_bytes())
    content[4:20] = b"\xff" * 16
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.parquet is damaged"):
        read(path, labeled=False)
