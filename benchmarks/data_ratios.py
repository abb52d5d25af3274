"""How well encoding and augmentation use the cores they get, as ratios of runs in turn.

    python -m benchmarks.data_ratios                                         # some 8 minutes on 2 cores
    python -m benchmarks.data_ratios --nlpaug-python ../nlpaug/bin/python    # against nlpaug, too

| ratio | goal |
|---|---|
| rows/s and core: encoding on Ray Data, of a plain loop with the same batches | 0.9 |
| copies/s: augmentation on two processes, of one | 1.6 |
| copies/s of a text with swapped or deleted words: ours, of nlpaug's | 15 |

Every ratio is the median of rounds in which both sides run one after the other, with one thread a process.
Speeds on Ray are those from a quarter of the work on: starting Ray and its processes takes seconds once,
however long the work is; ``whole`` has it all. nlpaug needs an environment of its own:

    python3 -m venv ../nlpaug && ../nlpaug/bin/pip install nlpaug==1.1.11
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.synthetic import make_texts
from react_ray.cluster.datasets import map_items
from react_ray.cluster.session import Session
from react_ray.config.settings import EMBEDDED, AugmentConfig, ClusterConfig, EncodeConfig
from react_ray.data.augment import AugmentTask, augment_items
from react_ray.data.encode import EncodeTask, encode_items
from react_ray.tasks import DEFAULT_TASK
from react_ray.tasks.text_changes import augment

RESULTS = Path(__file__).parent / "results" / "data_ratios.json"
STRENGTH = 0.1
WARM = 0.25
"""Of the parts: what is done before the speed is taken."""
COPIES = AugmentConfig().copies
"""Of each text, as a run makes them."""
NLPAUG = f"""
COPIES = {COPIES}
import json, sys, time
from nlpaug.augmenter.word import RandomWordAug
texts = json.load(open(sys.argv[1]))
augmenter = RandomWordAug(action=sys.argv[2], aug_p=float(sys.argv[3]))
started = time.perf_counter()
for text in texts:
    augmenter.augment(text, n=COPIES)
print(COPIES * len(texts) / (time.perf_counter() - started))
"""

Make = Callable[[], Callable[[dict[str, Any]], int]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encode-rows", type=int, default=4000)
    parser.add_argument("--augment-rows", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--model", default=EMBEDDED)
    parser.add_argument("--nlpaug-python", type=Path, help="interpreter of the environment with nlpaug")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as temporary,
        Session(ClusterConfig(local_rows=0)) as session,
    ):
        session.start()
        folder = Path(temporary)
        found = {
            "encode": encoding(folder / "encode", options, session),
            "augment": augmentation(folder / "augment", options, session),
            "nlpaug": against_nlpaug(folder, options),
        }
    found["machine"] = {"cpus": os.cpu_count(), "load": os.getloadavg()[0]}
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def encoding(folder: Path, options: argparse.Namespace, session: Session) -> dict[str, Any]:
    """Rows/s of a plain loop, and of one and two processes of Ray Data."""
    folder.mkdir()
    table = pa.table({"text": make_texts(options.encode_rows, seed=0)})
    pq.write_table(table, folder / "rows.parquet", row_group_size=max(1, options.encode_rows // 32))
    task = EncodeTask([options.model], EncodeConfig(), DEFAULT_TASK)

    def items(name: str) -> list[dict[str, Any]]:
        return encode_items(folder / "rows.parquet", folder / name)

    rounds = [
        {
            "loop": in_a_loop(task, items(f"loop-{number}")),
            "ray_1": on_ray(task, items(f"one-{number}"), 1, session),
            "ray_2": on_ray(task, items(f"two-{number}"), 2, session),
        }
        for number in range(options.rounds)
    ]
    return {
        "rows": options.encode_rows,
        "model": options.model,
        "rounds": rounds,
        "ratio_1_process": ratio([r["ray_1"]["steady"] / r["loop"]["steady"] for r in rounds]),
        "ratio_per_core_2_processes": ratio([r["ray_2"]["steady"] / 2 / r["loop"]["steady"] for r in rounds]),
    }


def augmentation(folder: Path, options: argparse.Namespace, session: Session) -> dict[str, Any]:
    """Copies/s of one and two processes of Ray Data."""
    folder.mkdir()
    texts = make_texts(options.augment_rows, seed=1)
    ids = pa.array([f"{number:032x}" for number in range(len(texts))])
    table = pa.table({"id": ids, "text": texts, "label": pa.repeat("a", len(texts))})
    task = AugmentTask(AugmentConfig(), 0, DEFAULT_TASK)
    rounds = [
        {
            name: on_ray(task, augment_items(table, folder / f"{name}-{number}", 2048), actors, session)
            for name, actors in (("ray_1", 1), ("ray_2", 2))
        }
        for number in range(options.rounds)
    ]
    speedup = ratio([r["ray_2"]["steady"] / r["ray_1"]["steady"] for r in rounds])
    return {"rows": options.augment_rows, "rounds": rounds, "speedup_1_to_2": speedup}


def against_nlpaug(folder: Path, options: argparse.Namespace) -> dict[str, Any] | str:
    """Copies/s of one process for the same change to the same texts."""
    python = options.nlpaug_python
    if python is None:
        return "skipped: give --nlpaug-python (python -m benchmarks.data_ratios --help says how to make one)"
    texts = make_texts(2000, seed=2).to_pylist()
    (folder / "texts.json").write_text(json.dumps(texts))
    found: dict[str, Any] = {}
    for operation in ("swap", "delete"):
        rounds = []
        for _ in range(options.rounds):
            command = [str(python), "-c", NLPAUG, str(folder / "texts.json"), operation, str(STRENGTH)]
            said = subprocess.run(command, check=True, capture_output=True, text=True)
            rounds.append({"ours": our_speed(texts, operation), "nlpaug": round(float(said.stdout), 1)})
        found[operation] = {"rounds": rounds, "ratio": ratio([r["ours"] / r["nlpaug"] for r in rounds])}
    return found


def our_speed(texts: Sequence[str], operation: Any) -> float:
    """Copies/s."""
    config = AugmentConfig(copies=COPIES, strength=STRENGTH, operations=(operation,))
    started = time.perf_counter()
    for text in texts:
        augment(text, config)
    return round(COPIES * len(texts) / (time.perf_counter() - started), 1)


def in_a_loop(make: Make, items: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Rows/s of one thread of this process."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    started = time.time()
    work = make()
    done = sum(work(item) for item in items)
    torch.set_num_threads(threads)
    return speeds(items, done, started)


def on_ray(make: Make, items: Sequence[dict[str, Any]], actors: int, session: Session) -> dict[str, float]:
    """Rows/s of some processes of Ray Data."""
    started = time.time()
    done = map_items(make, items, rows=10**9, session=session, actors=actors)
    return speeds(items, done, started)


def speeds(items: Sequence[dict[str, Any]], rows: int, started: float) -> dict[str, float]:
    """Of the whole, and without the first parts, by the times at which the parts were written."""
    times = sorted(Path(item["target"]).stat().st_mtime for item in items)
    warm = int(WARM * len(times))
    steady = rows * (len(times) - 1 - warm) / len(times) / (times[-1] - times[warm])
    return {"whole": round(rows / (times[-1] - started), 1), "steady": round(steady, 1)}


def ratio(values: Sequence[float]) -> float:
    return round(statistics.median(values), 3)


if __name__ == "__main__":
    main()
