"""Compare whole runs with those of another revision: same rows, same generated labels, same figures.

    git worktree add ../before REVISION
    python -m benchmarks.unchanged --record --package ../before    # keep the results of that revision
    python -m benchmarks.unchanged                                 # run this tree, and compare

A change of structure must not change a result. Runs BBC News, AG News and TREC with 5 labels per class and
seed 0, and compares the rows that were read, the generated training set (D_aug) and every figure of
metrics.json. Kept in ``benchmarks/results/unchanged``: the figures, and D_aug with a hash in place of each
text. The encoder is named, because the default depends on what is installed. Floating-point results differ
between processors and numbers of threads: record and compare on one machine, both runs have two threads.
The exit code is 1 where a value differs by more than 1e-6.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.datasets import DATA, DatasetMissingError, write_draw

RESULTS = Path(__file__).parent / "results" / "unchanged"
DATASETS = ("bbc", "agnews", "trec")
TOLERANCE = 1e-6
THREADS = "2"
NOT_COMPARED = {"seconds", "version", "reused", "why", "headline", "notes", "warnings", "encoders", "cut"}
"""Keys of metrics.json that differ between two runs of one program, that hold sentences, or that are new."""
RENAMED = {"lgan": "generated_labels"}
"""Arms by the names that they had in the results that are kept."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS))
    parser.add_argument("--record", action="store_true", help="keep the results instead of comparing them")
    parser.add_argument("--package", type=Path, default=Path(), help="checkout whose react_ray is run")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    differ = False
    for name in options.datasets:
        kept = RESULTS / name
        if not options.record and not kept.exists():
            print(f"{name}: skipped, no results are kept in {kept}: see --record")
            continue
        try:
            found = run(name, options.package, options.data)
        except DatasetMissingError as missing:
            print(f"skipped: {missing}")
            continue
        if options.record:
            keep(found, kept)
            continue
        differences = list(compare(read(kept), found))
        differ = differ or bool(differences)
        print("\n".join([f"{name}: {len(differences)} differences", *differences[:40]]), flush=True)
    return int(differ)


def run(name: str, package: Path, data: Path) -> dict[str, Any]:
    """The results of one run by the ``react_ray`` in the folder ``package``."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        draw = write_draw(name, folder / "data", labels_per_class=5, pool=4000, test=2000, seed=0, data=data)
        command = [sys.executable, "-m", "react_ray.cli", "run", "--quiet", "--seed", "0", *draw.flags()]
        command += ["--truth-column", "truth", "--output", str(folder / "out"), "encoder=embedded"]
        environment = {**os.environ, "PYTHONPATH": str(package.absolute()), "OMP_NUM_THREADS": THREADS}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
        (rows,) = (folder / "out" / "cache").glob("prepare-*/rows.parquet")
        parts = sorted((folder / "out" / "augmented").glob("*.parquet"))
        return {
            "metrics": json.loads((folder / "out" / "metrics.json").read_text()),
            "rows": _rows(pq.read_table(rows)),
            "augmented": pa.concat_tables(_without_text(pq.read_table(part)) for part in parts),
        }


def _rows(table: pa.Table) -> dict[str, Any]:
    """The number of rows of each part, and a hash over all rows."""
    table = table.drop_columns("file")  # lies in a temporary folder
    counts = {entry["values"]: entry["counts"] for entry in table["part"].value_counts().to_pylist()}
    hashed = hashlib.blake2b(digest_size=16)
    for row in table.to_pylist():
        hashed.update(json.dumps(row, sort_keys=True).encode())
    return {"parts": counts, "hash": hashed.hexdigest()}


def _without_text(table: pa.Table) -> pa.Table:
    hashes = [hashlib.blake2b(text.encode(), digest_size=8).hexdigest() for text in table["text"].to_pylist()]
    return table.set_column(table.column_names.index("text"), "text", pa.array(hashes))


def keep(found: dict[str, Any], folder: Path) -> None:
    """Write results that later runs are compared with."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("metrics", "rows"):
        (folder / f"{name}.json").write_text(json.dumps(found[name], indent=1) + "\n")
    pq.write_table(found["augmented"], folder / "augmented.parquet", compression="zstd")


def read(folder: Path) -> dict[str, Any]:
    """The results that :func:`keep` wrote."""
    tables = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("metrics", "rows")}
    metrics = tables["metrics"]
    metrics["arms"] = {RENAMED.get(arm, arm): figures for arm, figures in metrics["arms"].items()}
    metrics["chosen"] = RENAMED.get(metrics["chosen"], metrics["chosen"])
    return {**tables, "augmented": pq.read_table(folder / "augmented.parquet")}


def compare(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """One line for each value that differs."""
    yield from _compare("rows", before["rows"], after["rows"])
    yield from _compare("metrics", before["metrics"], after["metrics"])
    old, new = before["augmented"], after["augmented"]
    if old.column_names != new.column_names or len(old) != len(new):
        yield f"augmented: {old.shape} {old.column_names} became {new.shape} {new.column_names}"
        return
    for column in old.column_names:
        furthest = _distance(old[column].to_pylist(), new[column].to_pylist())
        if furthest > TOLERANCE:
            yield f"augmented.{column}: differs by up to {furthest:g}"


def _distance(old: list[Any], new: list[Any]) -> float:
    """The largest difference between two columns; infinite where values that are no numbers differ."""
    if any(isinstance(value, str) for value in old):
        return 0.0 if old == new else float("inf")
    numbers = [np.array(values, dtype=float) for values in (old, new)]
    return float(np.nanmax(np.abs(numbers[0] - numbers[1]), initial=0))


def _compare(place: str, old: Any, new: Any) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in NOT_COMPARED:
                yield from _compare(f"{place}.{key}", old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _compare(f"{place}[{number}]", one, other)
    elif _numbers(old, new):
        if abs(old - new) > TOLERANCE:
            yield f"{place}: {old} became {new}"
    elif old != new:
        yield f"{place}: {old!r} became {new!r}"


def _numbers(*values: Any) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


if __name__ == "__main__":
    sys.exit(main())
