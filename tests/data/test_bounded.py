"""Files of some kilobytes that unpack to gigabytes: read in bounded memory, row by row."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from react_ray.data.records import Rows
from react_ray.data.row import Broken, ColumnSelection
from react_ray.data.sources import find_files
from react_ray.errors import InputError

MB = 1 << 20
LIMIT_MB = 400
CHILD = """
import resource, sys
from contextlib import closing
from pathlib import Path
from react_ray.config.settings import Columns
from react_ray.data.originals import column_kinds, original_of
from react_ray.data.read import read_file
from react_ray.data.row import Broken, ColumnSelection
from react_ray.data.sources import find_files
from react_ray.data.tables import OutputColumns, open_output
from react_ray.tasks.text_classification import TEXT_CLASSIFICATION

TEXT = ColumnSelection((("text",),))

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

warm, path = sys.argv[1:]
for given in (warm, path):
    before = peak()
    [source] = find_files(given)
    batches = list(read_file(source, Columns(), task=TEXT_CLASSIFICATION, labeled=False))
    kinds = column_kinds(source, TEXT)
    target = Path(given + ".out.jsonl")
    written = 0
    with closing(open_output(target, target, OutputColumns([original_of(source, TEXT, kinds)]))) as output:
        original = original_of(source, TEXT, kinds)
        output.begin(original)
        for _, cells, whole in original.rows:
            if not isinstance(cells, Broken) and len(cells.get("text") or "") < 100_000:
                output.add(whole, "x", 0.5)
                written += 1
kept = sum(batch.rows.num_rows for batch in batches)
refused = [row["reason"].split(":")[0] for batch in batches for row in batch.refused]
print((peak() - before) // 1024, kept, len(refused), written, *sorted(set(refused)), sep="|")
"""


def read(path: Path) -> tuple[int, int, int, list[str]]:
    """Megabytes beyond those of a small file; rows kept and rejected, and why."""
    warm = path.with_name("warm.parquet")
    pq.write_table(pa.table({"text": ["a"]}), warm)
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, str(warm), str(path)], capture_output=True, text=True, check=True
    )
    peak, kept, refused, written, *kinds = ran.stdout.strip().split("|")
    assert kept == written
    return int(peak), int(kept), int(refused), kinds


def packed(path: Path, pieces: Iterable[bytes]) -> Path:
    with gzip.open(path, "wb", compresslevel=1) as file:
        for piece in pieces:
            file.write(piece)
    return path


PACKED = {
    "endless object.json": (
        [b'[{"text": "a"}, {"text": "', *[b"x" * MB] * 600, b'"}, {"text": "b"}]'],
        2,
        1,
        "too long",
    ),
    "objects.json": (
        [b'[{"text": "a", "m": [', *[b"{}," * (MB // 3)] * 3, b'1]}, {"text": "b"}]'],
        1,
        1,
        "too long",
    ),
    "deep.json": ([b'[{"text": "a"},', *[b"[" * MB] * 2, *[b"]" * MB] * 2, b"]"], 1, 1, "too long"),
    "endless line.csv": ([b"text\na\n", *[b"x" * MB] * 600, b"\nb\n"], 2, 1, "too long"),
    "endless cell.csv": ([b'text\na\n"', *[b"x" * MB] * 600, b"\nb\n"], 2, 1, "too long"),
    "short lines in quotes.csv": ([b'text,n\na,1\n"', *[b"x\n" * 10_000] * 8], 1, 80_000, "broken quotes"),
    "empty cells.csv": ([b"text,n\na,1\n", *[b"," * MB] * 15, b"\nb,1\n"], 2, 1, "too long"),
    "emoji.csv": ([b"text\na\n", *["😀".encode() * (MB // 4)] * 15, b"\nb\n"], 2, 1, "too long"),
    "endless.jsonl": (
        [b'{"text":"a"}\n{"text":"', *[b"x" * MB] * 600, b'"}\n{"text":"b"}'],
        2,
        1,
        "too long",
    ),
    "deep.jsonl": ([b'{"text":"a"}\n{"text":"b","d":' + b"[" * 900_000 + b"\n"], 1, 1, "not JSON"),
    "objects.jsonl": ([b'{"text":"a"}\n{"d":[', *[b"{}," * 500_000] * 9, b"{}]}"], 1, 1, "too long"),
}


@pytest.mark.parametrize("name", PACKED)
def test_text_that_unpacks_to_more_than_memory_holds(tmp_path: Path, name: str) -> None:
    pieces, kept, refused, kind = PACKED[name]
    found = read(packed(tmp_path / f"{name}.gz", pieces))
    assert found[1:3] == (kept, refused)
    assert kind in found[3]
    assert found[0] < LIMIT_MB


def repeated(value: str, times: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(times, np.int32)), pa.array([value]))


def a_list(values: pa.Array) -> pa.Array:
    """Two rows, of which the first has all values."""
    return pa.ListArray.from_arrays(pa.array([0, len(values), len(values)], pa.int32()), values)


TWO = ["a", "b"]
DELTA = {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}, "data_page_size": 1000}
TABLES = {
    "a long text in all rows": ({"text": repeated("x" * 1_000_000, 3000)}, {}, 0, 3000, "too long"),
    "a text of megabytes": ({"text": ["a", "z" * 150_000_000]}, {}, 0, 2, "too long"),
    "texts that repeat others": (
        {"text": [f"{'z' * 1_000_000}{n}" for n in range(300)]}, DELTA, 0, 300, "too long",
    ),
    "a page for each text": (
        {"text": ["z" * 500_000] * 1000},
        {"use_dictionary": False, "data_page_size": 1, "write_batch_size": 1},
        0, 1000, "too long",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_parquet_that_unpacks_to_more_than_memory_holds(tmp_path: Path, name: str) -> None:
    columns, options, kept, refused, kind = TABLES[name]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), path, compression="zstd", store_schema=False, **options)
    assert path.stat().st_size < MB
    found = read(path)
    assert found[1:] == (kept, refused, [kind])
    assert found[0] < LIMIT_MB


@pytest.mark.parametrize(
    "values", [pa.array(np.zeros(20_000_000, np.int8)), repeated("x" * 100_000, 500_000)]
)
def test_lists_that_unpack_to_more_than_memory_holds(tmp_path: Path, values: pa.Array) -> None:
    """Read with all columns, as predict does."""
    table = pa.table({"text": TWO, "more": a_list(values)})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd", store_schema=False)
    [source] = find_files(str(tmp_path / "a.parquet"))
    before = pa.total_allocated_bytes()
    found = [cells for _, cells, _ in Rows(source, ColumnSelection((("text",),)), all_columns=True)]
    assert isinstance(found[0], Broken)
    assert found[0].reason.startswith("too long: ")
    assert pa.total_allocated_bytes() - before < LIMIT_MB * MB


def test_more_rows_than_its_bytes_can_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("react_ray.data.parquet_rows.FREE_ROWS", 10)
    monkeypatch.setattr("react_ray.data.parquet_rows.ROWS_PER_BYTE", 1)
    pq.write_table(pa.table({"text": pa.nulls(1_000_000, pa.string())}), tmp_path / "a.parquet")
    [source] = find_files(str(tmp_path / "a.parquet"))
    with pytest.raises(InputError, match=r"1,000,000 rows in .* bytes"):
        Rows(source, ColumnSelection((("text",),)))
