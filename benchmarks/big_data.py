"""Data larger than memory: what a run and ``predict`` take for piles of several sizes.

    python -m benchmarks.big_data --rows 1000000 10000000       # asks for 7 GB of free disk
    python -m benchmarks.big_data --clean                       # delete the made-up data

Each in a process of its own, one after the other: for every size of the pile, reading, checking, splitting
and augmenting (``run --until augment``); for the largest, the rest of the run with a tiny encoder and the
default pool; ``predict`` on --model-rows; encoding of as many (``--until encode`` with such a pool). Ray's
object store is held to 2 GiB. What is counted must be what was made, file by file: rows = used + unused +
refused. A step whose figures are in results/big_data.json is not done again; delete the file to repeat it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.memory import watch
from benchmarks.synthetic import Pile, make_pile, vocabulary
from benchmarks.tiny_model import save_tiny_model

RESULTS = Path(__file__).parent / "results" / "big_data.json"
DATA = Path("out") / "benchmarks" / "big_data"
OBJECT_STORE = 2 * 2**30
DISK_PER_ROW = 600
"""Bytes: the input, what was read of it, and the output of ``predict``, with room to spare."""
REACT_RAY = [sys.executable, "-m", "react_ray.cli"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--model-rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=DATA, help="where the made-up data goes")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--clean", action="store_true", help="delete the made-up data and end")
    options = parser.parse_args()
    if options.clean:
        shutil.rmtree(options.folder, ignore_errors=True)
        return
    check_disk(options.folder, max(*options.rows, options.model_rows))
    records: list[dict[str, Any]] = []
    if options.results.exists():
        records = json.loads(options.results.read_text())["steps"]
    model = save_tiny_model(options.folder / "model", vocabulary())
    for step, rows, work in steps(options, model):
        if any((r["step"], r["rows"]) == (step, rows) for r in records):
            continue
        records.append({"step": step, "rows": rows, **work(), "load": round(os.getloadavg()[1], 1)})
        print(json.dumps(records[-1]), flush=True)
        content = {"machine": {"cpus": os.cpu_count()}, "object_store_limit": OBJECT_STORE, "steps": records}
        options.results.parent.mkdir(parents=True, exist_ok=True)
        options.results.write_text(json.dumps(content, indent=1) + "\n")
    print(table(records))


def check_disk(folder: Path, rows: int) -> None:
    """End the program where the disk is too small for ``rows``."""
    folder.mkdir(parents=True, exist_ok=True)
    free, needed = shutil.disk_usage(folder).free, DISK_PER_ROW * rows + 10**9
    if free < needed:
        sys.exit(f"{folder}: {free / 1e9:.1f} GB are free, {rows:,} rows take {needed / 1e9:.1f} GB; "
                 "give fewer --rows or another --folder")  # fmt: skip


Step = tuple[str, int, Callable[[], dict[str, Any]]]


def steps(options: argparse.Namespace, model: Path) -> list[Step]:
    """Name, rows and work of everything that is measured, in order."""
    folder, many, largest = options.folder, options.model_rows, max(options.rows)
    return [
        *(("augment", rows, partial(augment, folder, rows, model)) for rows in options.rows),
        ("rest of the run", largest, partial(rest, folder, largest, model)),
        ("predict", many, partial(predict, folder, many, folder / f"run-{largest}")),
        ("encode", many, partial(encode, folder, many, model)),
    ]


def augment(folder: Path, rows: int, model: Path) -> dict[str, Any]:
    """Read, check, split, augment; every row must be accounted for."""
    pile, output = pile_of(folder, rows), folder / f"run-{rows}"
    shutil.rmtree(output, ignore_errors=True)
    figures = measured_run(pile, output, model, "--until", "augment")
    seconds = figures["stages"]["prepare"]
    account = accounted(pile, stage(output, "prepare"))
    return {
        **figures,
        "rows_per_second": round(rows / seconds),
        "input_mb": round(pile.bytes / 1e6),
        **account,
    }


def rest(folder: Path, rows: int, model: Path) -> dict[str, Any]:
    """The rest of that run."""
    output = folder / f"run-{rows}"
    figures = measured_run(pile_of(folder, rows), output, model)
    metrics = json.loads((output / "metrics.json").read_text())
    return {**figures, "pool": metrics["rows"]["unlabeled"], "unused": metrics["unused"],
            "test_macro_f1": round(metrics["test"]["macro_f1"], 3)}  # fmt: skip


def encode(folder: Path, rows: int, model: Path) -> dict[str, Any]:
    """Features of all rows of a pile."""
    output = folder / "encode"
    shutil.rmtree(output, ignore_errors=True)
    pile = pile_of(folder, rows)
    figures = measured_run(pile, output, model, "--until", "encode", f"data.pool={rows}")
    encoded = pq.read_metadata(stage(output, "prepare") / "rows.parquet").num_rows
    return {**figures, "encoded": encoded, "rows_per_second": round(encoded / figures["stages"]["encode"])}


def predict(folder: Path, rows: int, trained: Path) -> dict[str, Any]:
    """Labels for a whole pile: rows that can be read, in their order, and the others in a list."""
    pile, output = pile_of(folder, rows), folder / "labelled.parquet"
    given = str(pile.folder / "pile")
    measured = watch([*REACT_RAY, "predict", str(trained), "--input", given, "--output", str(output)], ENV)
    last, labelled, right = "", 0, 0
    with pq.ParquetFile(output) as file:
        for batch in file.iter_batches(columns=["key", "topic", "label"]):
            keys = batch["key"].to_pylist()
            assert [last, *keys] == sorted({last, *keys}), "rows are not in their order"
            last, labelled = keys[-1], labelled + len(keys)
            right += pc.sum(pc.equal(batch["topic"], batch["label"])).as_py()
    broken = sum(counts["broken"] for counts in pile.files.values())
    assert labelled + broken == rows, f"{labelled} labelled, {broken} broken, {rows} made"
    with (folder / "labelled.parquet.refused.jsonl").open() as lines:
        assert sum(1 for _ in lines) == broken
    speed = round(labelled / measured.seconds)
    return {
        **asdict(measured),
        "labelled": labelled,
        "rows_per_second": speed,
        "right": round(right / labelled, 3),
    }


TUNED = "finetune.lr=1e-3"
"""The encoder has random weights: at the rate for pretrained ones it would learn nothing."""
ENV = {"RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": str(OBJECT_STORE), "OMP_NUM_THREADS": "1"}


def pile_of(folder: Path, rows: int) -> Pile:
    return make_pile(folder / f"pile-{rows}", rows)


def measured_run(pile: Pile, output: Path, model: Path, *arguments: str) -> dict[str, Any]:
    """A run, with the seconds of its stages."""
    command = [*REACT_RAY, "run", *pile.flags, "--model", str(model), "--output", str(output)]
    command += [TUNED, *arguments]
    measured = watch(command, ENV)
    records = [json.loads(path.read_text()) for path in (output / "cache").glob("*/stage.json")]
    return {**asdict(measured), "stages": {record["stage"]: record["seconds"] for record in records}}


def stage(output: Path, name: str) -> Path:
    [folder] = (output / "cache").glob(f"{name}-*")
    return folder


def accounted(pile: Pile, prepared: Path) -> dict[str, Any]:
    """What the run counted, which must be what was made."""
    summary = json.loads((prepared / "summary.json").read_text())
    made = pile.files
    found = {Path(f["file"]).name: f for f in summary["files"] if f["input"] == "unlabeled"}
    for name, counts in made.items():
        wrong = sum(count for kind, count in counts.items() if kind != "rows")
        assert found[name]["refused"] == wrong, f"{name}: {found[name]} where {counts} were made"
    assert summary["refused"]["duplicate"] == sum(counts["duplicate"] for counts in made.values())
    refused, used = sum(f["refused"] for f in found.values()), summary["parts"]["unlabeled"]
    assert used + summary["unused"] + refused == pile.rows, summary
    return {"used": used, "unused": summary["unused"], "refused": summary["refused"]}


def table(records: list[dict[str, Any]]) -> str:
    """Seconds and peaks of every step, and whether the driver's memory is flat."""
    lines = [
        f"{'step':16}{'rows':>12}{'seconds':>9}{'rows/s':>9}{'driver MB':>11}{'tree MB':>9}{'store MB':>9}"
    ]
    for r in records:
        speed = r.get("rows_per_second", "")
        lines.append(
            f"{r['step']:16}{r['rows']:>12,}{r['seconds']:>9.0f}{speed:>9}"
            f"{r['driver']:>11.0f}{r['tree']:>9.0f}{r['object_store']:>9.0f}"
        )
    runs = sorted((r for r in records if r["step"] == "augment"), key=lambda r: r["rows"])
    if len(runs) > 1:
        more = runs[-1]["driver"] - runs[0]["driver"]
        rows = runs[-1]["rows"] - runs[0]["rows"]
        lines.append(
            f"driver of augment: {more:+.0f} MB for {rows:,} more rows, {more / rows * 1e6:.1f} bytes a row"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
