"""The assistant's index beside LanceDB: time to write, size, milliseconds a search, and what is found.

    python3 -m venv ../lance && ../lance/bin/pip install lancedb==0.40.0
    python -m benchmarks.apps.stores --lance-python ../lance/bin/python

Entries are customers' questions of banking77 and clinc150, and the queries test questions of both; embeddings
are made up, of 384 dimensions around ``TOPICS`` centres. A search is that of the assistant: of two sides, the
100 entries with the nearest embeddings, and the 100 with the highest BM25 by any word of the query. LanceDB
searches exactly, and by its index of approximate neighbours (IVF_PQ, default settings); recall is the share
of the exact 100 nearest that it finds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.datasets import DATA
from react_ray.apps.assist.index import FROM_EACH, SIDES, Index, write_index
from react_ray.apps.assist.read import Entry

RESULTS = Path(__file__).parents[1] / "results" / "apps" / "stores"
PEER = Path(__file__).parent / "lance_peer.py"
DIMENSIONS, TOPICS, SPREAD = 384, 200, 0.7
SETS = ("banking77", "clinc150")
QUERIES = 200


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 20_000])
    parser.add_argument("--lance-python", type=Path, help="interpreter of LanceDB's environment")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for size in options.sizes:
        target = RESULTS / f"{size}-{options.seed}.json"
        if not target.exists():
            target.write_text(json.dumps(measure(size, options), indent=1) + "\n", encoding="utf-8")
            print(target.name, flush=True)
    print("\n".join(table()))


def measure(size: int, options: argparse.Namespace) -> dict[str, Any]:
    """Write and search ``size`` entries with each store."""
    random = np.random.default_rng(options.seed)
    centres = random.normal(size=(TOPICS, DIMENSIONS)) / np.sqrt(DIMENSIONS)
    vectors, queries = (_vectors(random, centres, count) for count in (size, QUERIES))
    texts, questions = (
        _texts(options.data, part, random, count) for part, count in (("train", size), ("test", QUERIES))
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        stores = {"this index": _own(folder / "own", texts, vectors, questions, queries)}
        if options.lance_python:
            pq.write_table(pa.table({"text": texts, "vector": list(vectors)}), folder / "entries.parquet")
            pq.write_table(pa.table({"text": questions, "vector": list(queries)}), folder / "queries.parquet")
            command = [options.lance_python, PEER, folder, str(FROM_EACH)]
            subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
            stores |= json.loads((folder / "lance.json").read_text(encoding="utf-8"))
    return {"entries": size, "seed": options.seed, "queries": QUERIES, "stores": stores}


def _own(
    folder: Path, texts: list[str], vectors: np.ndarray, questions: list[str], queries: np.ndarray
) -> dict[str, float]:
    folder.mkdir()
    began = time.perf_counter()
    write_index([Entry(text, text, None, str(n)) for n, text in enumerate(texts)], folder)
    np.save(folder / "vectors.npy", vectors)
    written = time.perf_counter()
    loaded = np.load(folder / "vectors.npy")
    index = Index(folder, dict.fromkeys(SIDES, loaded))
    opened = time.perf_counter()
    for question, query in zip(questions, queries, strict=True):
        index.search(question, query)
    searched = time.perf_counter()
    return {
        "write_s": written - began,
        "megabytes": sum(path.stat().st_size for path in folder.iterdir()) / 1e6,
        "open_s": opened - written,
        "search_ms": 1000 * (searched - opened) / QUERIES,
        "recall": 1.0,
    }


def _vectors(random: np.random.Generator, centres: np.ndarray, count: int) -> np.ndarray:
    noise = random.normal(size=(count, DIMENSIONS)) / np.sqrt(DIMENSIONS)
    vectors = centres[random.integers(len(centres), size=count)] + SPREAD * noise
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _texts(data: Path, part: str, random: np.random.Generator, count: int) -> list[str]:
    tables = [pq.read_table(data / name / f"{part}.parquet", columns=["text"]) for name in SETS]
    texts = pa.concat_tables(tables)["text"].to_pylist()
    return [texts[place] for place in random.permutation(len(texts))[:count]]


def table() -> list[str]:
    """A line for each number of entries and store."""
    lines = [
        "| entries | store | seconds to write | MB | seconds to open | ms a search | recall of the nearest |",
        "|---|---|---|---|---|---|---|",
    ]
    found = [json.loads(path.read_text(encoding="utf-8")) for path in RESULTS.glob("*.json")]
    for record in sorted(found, key=lambda one: one["entries"]):
        for name, figures in record["stores"].items():
            shown = [f"{figures[key]:.2f}" for key in ("write_s", "megabytes", "open_s", "search_ms")]
            cells = [f"{record['entries']:,}", name, *shown, f"{figures['recall']:.3f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    main()
