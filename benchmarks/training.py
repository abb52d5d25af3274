"""What Ray Train costs, and what a second worker gives, for the same steps of fine-tuning.

    python -m benchmarks.training

Runs in turn, round after round, each in processes of its own: a plain PyTorch loop, the project's loop
on one Ray Train worker (both one thread), on two workers of one thread, and on one worker of two threads.
All take the same steps: same model, rows, batches, optimiser. What is timed is the steps after the first
few, on rank 0, so neither starting nor loading counts. The table's ratios are medians over the rounds;
all times are kept in benchmarks/results/training.json. Takes under ten minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from react_ray.cluster.session import Session
from react_ray.cluster.trainer import fit
from react_ray.config.settings import ClusterConfig, FinetuneConfig
from react_ray.console.reporter import Progress
from react_ray.models.pretrained import load_tokenizer
from react_ray.pipeline.demo import read_bbc_news
from react_ray.tasks import get_task
from react_ray.training.batches import epoch_batches
from react_ray.training.train import loop
from react_ray.training.worker import Worker

RESULTS = Path(__file__).parent / "results" / "training.json"
WARM_UP = 3
"""Steps that are not timed: memory is allocated, buffers are sized."""
BATCH, RATE, LENGTH, SEED = 16, 5e-5, 64, 0
RUNS = {  # workers (0: the plain loop), threads of each
    "plain PyTorch": (0, 1),
    "Ray Train, 1 worker, 1 thread": (1, 1),
    "Ray Train, 2 workers, 1 thread each": (2, 1),
    "Ray Train, 1 worker, 2 threads": (1, 2),
}
PLAIN, ONE, TWO, THREADS = RUNS


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        given = write_work(Path(temporary), options.steps)
        rounds = [
            {name: run(name, number, given) for name in RUNS}  # in turn: a busy minute hits all of them
            for number in range(options.rounds)
        ]
    record = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "platform": platform.platform(), "torch": torch.__version__},
        "steps": options.steps - WARM_UP,
        "rows": BATCH,
        "tokens": LENGTH,
        "minutes": round((time.monotonic() - started) / 60, 1),
        **judge(rounds),
        "rounds": rounds,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=1) + "\n")
    print_table(record)


def write_work(folder: Path, steps: int) -> dict[str, Any]:
    """The model and rows of all runs, as settings of the project's loop."""
    articles = read_bbc_news().sample(steps * BATCH, random_state=SEED)
    labels = sorted(articles["label"].unique())
    rows = pa.table({name: articles[name].tolist() for name in ("text", "label")})
    pq.write_table(rows, folder / "rows.parquet")
    torch.manual_seed(SEED)
    get_task("text-classification").load_model("embedded", labels, 0.0).save_pretrained(folder / "model")
    load_tokenizer("embedded").save_pretrained(folder / "model")
    config = FinetuneConfig(
        lr=RATE,
        batch_size=BATCH,
        max_length=LENGTH,
        epochs=1,
        weight_decay=0,
        head_start=False,
        evaluations=1,
    )
    return {
        "model": str(folder / "model"),
        "labels": labels,
        "train": str(folder / "rows.parquet"),
        "validation": None,
        "config": config.model_dump(),
        "seed": SEED,
    }


def run(name: str, number: int, given: dict[str, Any]) -> dict[str, float]:
    """Seconds a step of one run, and its last loss."""
    workers, threads = RUNS[name]
    folder = Path(given["train"]).parent / f"{number}-{workers}-{threads}"
    folder.mkdir()
    if workers:
        on_ray(workers, threads, folder, given)
    else:
        process = multiprocessing.get_context("spawn").Process(
            target=plain_loop, args=(threads, folder, given)
        )
        process.start()
        process.join()
        assert process.exitcode == 0, "the plain loop failed"
    found = json.loads((folder / "steps.json").read_text())
    timed = found["times"][WARM_UP - 1 :]
    seconds = (timed[-1] - timed[0]) / (len(timed) - 1)
    print(f"round {number + 1}: {name}: {seconds:.3f} s a step", flush=True)
    return {"seconds": seconds, "loss": found["loss"]}


def on_ray(workers: int, threads: int, folder: Path, given: dict[str, Any]) -> None:
    cluster = ClusterConfig(workers=workers, cpus_per_worker=threads, use_gpu=False, max_failures=0)
    with Session(cluster) as session:
        settings = {**given, "steps": str(folder / "steps.json")}
        last = fit(timed_loop, settings, name="run", folder=folder, session=session)
    history = (last / "history.jsonl").read_text().splitlines()
    found = {"times": json.loads((folder / "steps.json").read_text())}
    (folder / "steps.json").write_text(json.dumps({**found, "loss": json.loads(history[-1])["loss"]}))


def timed_loop(worker: Worker, *, steps: str, **settings: Any) -> None:
    """The project's loop, which notes when each step ends."""
    told: Progress = worker.progress
    times: list[float] = []

    def progress(done: int, total: int, note: str = "") -> None:
        times.append(time.perf_counter())
        told(done, total, note)

    worker.progress = progress  # type: ignore[method-assign]
    loop(worker, **settings)
    if worker.rank == 0:
        Path(steps).write_text(json.dumps(times))


def plain_loop(threads: int, folder: Path, given: dict[str, Any]) -> None:
    """The same steps, written as one writes them without this project."""
    torch.set_num_threads(threads)
    tokenizer = AutoTokenizer.from_pretrained(given["model"])
    model = AutoModelForSequenceClassification.from_pretrained(given["model"], use_safetensors=True).train()
    rows = pq.read_table(given["train"])
    ids = tokenizer(rows["text"].to_pylist(), truncation=True, max_length=LENGTH)["input_ids"]
    labels = torch.tensor([given["labels"].index(label) for label in rows["label"].to_pylist()])
    batches = epoch_batches([len(row) for row in ids], BATCH, SEED, 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0, fused=True)
    total, rise = len(batches), math.ceil(FinetuneConfig().warmup * len(batches))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / rise, (total - step) / (total - rise))
    )
    times, loss = [], torch.zeros(())
    for batch in batches:
        inputs = tokenizer.pad({"input_ids": [ids[i] for i in batch]}, return_tensors="pt")
        loss = torch.nn.functional.cross_entropy(model(**inputs).logits, labels[np.asarray(batch)])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        times.append(time.perf_counter())
    (folder / "steps.json").write_text(json.dumps({"times": times, "loss": loss.item()}))


def judge(rounds: Sequence[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """The two ratios with their goals, and how far the losses of the runs lie apart."""

    def ratio(over: Callable[[dict[str, dict[str, float]]], float]) -> float:
        return round(statistics.median(map(over, rounds)), 3)

    losses = [run["loss"] for runs in rounds for run in runs.values()]
    return {
        "ray_over_plain": ratio(lambda runs: runs[ONE]["seconds"] / runs[PLAIN]["seconds"]),
        "ray_over_plain_goal": "<= 1.15",
        "two_workers_over_two_threads": ratio(lambda runs: runs[THREADS]["seconds"] / runs[TWO]["seconds"]),
        "two_workers_over_two_threads_goal": ">= 0.85",
        "last_losses_apart": round(max(losses) - min(losses), 4),
    }


def print_table(record: dict[str, Any]) -> None:
    print(f"\n| run | seconds a step (median of {len(record['rounds'])}) | rows a second |\n|---|---|---|")
    for name in RUNS:
        seconds = statistics.median(runs[name]["seconds"] for runs in record["rounds"])
        print(f"| {name} | {seconds:.3f} | {BATCH / seconds:.1f} |")
    print("\n| ratio | measured | goal |\n|---|---|---|")
    print(
        f"| time of Ray Train / plain loop | {record['ray_over_plain']} | {record['ray_over_plain_goal']} |"
    )
    print(
        "| throughput of 2 workers / 1 worker with 2 threads | "
        f"{record['two_workers_over_two_threads']} | {record['two_workers_over_two_threads_goal']} |"
    )
    print(f"\nlast losses lie within {record['last_losses_apart']} of each other")


if __name__ == "__main__":
    main()
