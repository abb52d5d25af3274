"""Weak scaling to hundreds of nodes, worked out from what is measured on one machine.

    python -m benchmarks.scaling

Measured, some three minutes on 2 cores:

| | |
|---|---|
| v | rows a second that a core encodes, with the model of --model |
| d | items a second that one driver hands to processes and hears of again, where an item is no work |
| g | rows a second that the driver judges (copies, the pool) and writes in the stage ``prepare`` |
| w | rows a second that the driver writes at the end of ``predict`` |

From these, for N nodes of C cores that get ROWS rows a core each (so the pile grows with the cluster):

    encode:   t(N) = ROWS / v  +  N C ROWS / (P d)                     P: rows of an item
    predict:  t(N) = ROWS / v  +  N C ROWS (1 / (P d) + 1 / w)
    prepare:  t(N) = ROWS / r  +  N C ROWS / g                         r: rows a second a core reads
    efficiency(N) = first term / t(N)

A driver that waits for no item hands out others while these are worked on, so the first term hides the
dispatch as long as the second is smaller; the sum is what is lost at worst. What is left out: nodes that
fail, storage that all of them share. Kept in benchmarks/results/scaling.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.data_ratios import in_a_loop
from benchmarks.synthetic import make_pile, make_texts
from react_ray.cluster.datasets import map_items
from react_ray.cluster.session import Session
from react_ray.config.settings import EMBEDDED, ClusterConfig, DataConfig, EncodeConfig
from react_ray.data.encode import EncodeTask, encode_items
from react_ray.data.originals import original_of
from react_ray.data.prepare import GROUP_ROWS, prepare
from react_ray.data.row import ColumnSelection
from react_ray.data.sources import open_source
from react_ray.data.tables import OutputColumns, open_output
from react_ray.pipeline.predict import PART_ROWS
from react_ray.tasks import DEFAULT_TASK

RESULT = Path(__file__).parent / "results" / "scaling.json"
NODES = (1, 10, 30, 100, 300)
CORES = 16
ROWS = 100_000
"""Rows a core: some minutes of work."""
ENCODED, ITEMS, PREPARED, JOINED = 2_000, 4_000, 500_000, 1_000_000
WARM = 0.25
"""Of the items: what is done before the speed is taken."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=EMBEDDED)
    parser.add_argument("--result", type=Path, default=RESULT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        measured = {
            "encode": encoding(folder / "encode", options.model),
            "dispatch": dispatching(),
            **preparing(folder / "pile"),
            "join": joining(folder / "parts"),
        }
    found = {
        "model": options.model,
        "per_second": measured,
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg()[0]},
    }
    options.result.write_text(json.dumps(found, indent=1) + "\n")
    print_table(measured)


def encoding(folder: Path, model: str) -> float:
    """v: rows/s of one core."""
    folder.mkdir()
    table = pa.table({"text": make_texts(ENCODED, seed=0)})
    pq.write_table(table, folder / "rows.parquet", row_group_size=ENCODED // 16)
    task = EncodeTask([model], EncodeConfig(), DEFAULT_TASK)
    return in_a_loop(task, encode_items(folder / "rows.parquet", folder / "out"))["steady"]


class Nothing:
    """Work that takes no time."""

    def __call__(self) -> Callable[[dict[str, Any]], int]:
        return lambda item: 1


def dispatching() -> float:
    """d: items/s through Ray Data."""
    ends: list[float] = []
    items = [{"source": f"/mnt/data/part-{n:06d}.parquet", "target": f"/{n}"} for n in range(ITEMS)]
    with Session(ClusterConfig(local_rows=0)) as session:
        map_items(
            Nothing(),
            items,
            rows=10**9,
            session=session,
            progress=lambda *_: ends.append(time.perf_counter()),
        )
    warm = int(WARM * ITEMS)
    return (ITEMS - 1 - warm) / (ends[-1] - ends[warm])


def preparing(folder: Path) -> dict[str, float]:
    """r: rows/s that a core reads; g: rows/s of the rest of the stage, which the driver does alone."""
    pile = make_pile(folder, PREPARED)
    spent: list[float] = []

    def read(make: Callable[[], Callable[[dict[str, Any]], int]], items: Sequence[dict[str, Any]]) -> int:
        started = time.perf_counter()
        work = make()
        rows = sum(work(item) for item in items)
        spent.append(time.perf_counter() - started)
        return rows

    started = time.perf_counter()
    config = DataConfig(labeled=str(folder / "labeled.csv"), unlabeled=str(folder / "pile"))
    (folder / "out").mkdir()
    prepare(config, folder / "out", task=DEFAULT_TASK, run=read)
    alone = time.perf_counter() - started - sum(spent)
    return {"read": pile.rows / sum(spent), "judge": pile.rows / alone}


def joining(folder: Path) -> float:
    """w: rows/s of reading the input again and writing it with what was predicted."""
    folder.mkdir()
    path = folder / "pile.parquet"
    pq.write_table(pa.table({"text": make_texts(JOINED, seed=1)}), path)
    started = time.perf_counter()
    original = original_of(open_source(str(path)), ColumnSelection((("text",),)), {})
    target = folder / "labelled.parquet"
    with closing(open_output(target, target, OutputColumns([original]))) as output:
        output.begin(original)
        for _, _, whole in original.rows:
            output.add(whole, "sport", 0.9)
    return JOINED / (time.perf_counter() - started)


def print_table(measured: dict[str, float]) -> None:
    """What was measured, the efficiency at each number of nodes, and where a half is lost."""
    v, d, r, g, w = (measured[name] for name in ("encode", "dispatch", "read", "judge", "join"))
    print(f"v = {v:,.0f}, d = {d:,.0f}, r = {r:,.0f}, g = {g:,.0f}, w = {w:,.0f} a second\n")
    alone = {  # rows/s of a core, seconds of the driver for a row
        "encode": (v, 1 / (GROUP_ROWS * d)),
        "predict": (v, 1 / (PART_ROWS * d) + 1 / w),
        "prepare": (r, 1 / g),
    }
    print(f"| nodes of {CORES} cores | rows | " + " | ".join(alone) + " |\n|---|---|" + "---|" * len(alone))
    for nodes in NODES:
        cores = nodes * CORES
        cells = [spell(cores, speed, serial) for speed, serial in alone.values()]
        print(f"| {nodes} | {cores * ROWS:,} | " + " | ".join(cells) + " |")
    for name, (speed, serial) in alone.items():
        print(f"{name}: the driver is busy half of the time with {1 / (speed * serial):,.0f} cores")


def spell(cores: int, speed: float, serial: float) -> str:
    """The efficiency, and how long it all takes."""
    seconds = ROWS / speed + cores * ROWS * serial
    told = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    return f"{ROWS / speed / seconds:.0%} of {told}"


if __name__ == "__main__":
    main()
