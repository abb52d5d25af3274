"""LanceDB in an environment of its own: writes entries, searches them, and writes lance.json.

    python lance_peer.py FOLDER 100

FOLDER holds entries.parquet and queries.parquet (text, vector).
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SIDES = ("question", "answer")


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    entries, queries = (pq.read_table(folder / f"{name}.parquet") for name in ("entries", "queries"))
    vectors = np.array(entries["vector"].to_pylist(), np.float32)
    size = vectors.shape[1]
    columns = {"number": pa.array(range(len(entries)))}
    for side in SIDES:
        columns[side] = entries["text"]
        columns[f"{side}_vector"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), size)
    rows = pa.table(columns)
    asked = np.array(queries["vector"].to_pylist(), np.float32)
    questions = queries["text"].to_pylist()
    nearest = [np.argpartition(-(vectors @ one), count - 1)[:count] for one in asked]
    found = {"LanceDB, exact": measure(folder / "exact", rows, questions, asked, nearest, count, False)}
    if len(rows) >= 10_000:  # its index of neighbours needs rows to be trained on
        found["LanceDB, IVF_PQ"] = measure(folder / "index", rows, questions, asked, nearest, count, True)
    (folder / "lance.json").write_text(json.dumps(found), encoding="utf-8")


def measure(folder, rows, questions, asked, nearest, count, indexed) -> dict[str, float]:
    began = time.perf_counter()
    table = lancedb.connect(folder).create_table("entries", rows)
    for side in SIDES:
        table.create_fts_index(side)
        if indexed:
            table.create_index(metric="dot", vector_column_name=f"{side}_vector")
    written = time.perf_counter()
    table = lancedb.connect(folder).open_table("entries")
    opened = time.perf_counter()
    recall = 0.0
    for question, vector, exact in zip(questions, asked, nearest, strict=True):
        for side in SIDES:
            search = table.search(vector, vector_column_name=f"{side}_vector").distance_type("dot")
            numbers = search.select(["number"]).limit(count).to_arrow()["number"].to_numpy()
            recall += np.isin(exact, numbers).mean() / len(asked) / len(SIDES)
            words = table.search(question, query_type="fts", fts_columns=side)
            words.select(["number"]).limit(count).to_arrow()
    searched = time.perf_counter()
    return {
        "write_s": written - began,
        "megabytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6,
        "open_s": opened - written,
        "search_ms": 1000 * (searched - opened) / len(asked),
        "recall": float(recall),
    }


if __name__ == "__main__":
    main()
