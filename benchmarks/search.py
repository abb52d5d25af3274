"""How soon a search finds good settings, and what a trial costs that has nothing left to do.

    python -m benchmarks.search --seeds 3

Fine-tunes a small model made from a config on made-up texts (no data set is needed) with two
searches in turn: Optuna with ASHA, and random settings without early stopping. A seed's target is
the best score of the one that found less, so that both have a time to it, which counts from the
start of the first trial. A whole trial takes BUDGET tokens, some seconds on one core: real ones take
minutes, and what starts a trial must not be most of it; for the same reason no setting is searched that
changes the cost of a step. Only the scheduler stops trials, not their own patience. Then the random
search again, with its trials forgotten and its stages kept: the seconds between two ends of such
trials are the overhead of a trial.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import tempfile
from pathlib import Path
from statistics import mean, median
from typing import Any

import pandas as pd

from benchmarks.tiny_model import save_tiny_model
from react_ray.config.file import load_config
from react_ray.tune.search import Search, tune

RESULT = Path(__file__).parent / "results" / "search.json"
BUDGET = 600_000
ROUNDS = 10
"""Scores that a trial tells on its way."""
CLASSES, OWN_WORDS, COMMON_WORDS, LENGTH = 6, 40, 300, 16
SPACE = {
    "finetune.lr": {"low": 1e-6, "high": 1e-2, "log": True},
    "finetune.weight_decay": {"low": 1e-4, "high": 1.0, "log": True},
    "finetune.warmup": {"low": 0.0, "high": 0.5},
}
WAYS = {
    "tpe + asha": {"tune.sampler": "tpe", "tune.scheduler": "asha"},
    "random + fifo": {"tune.sampler": "random", "tune.scheduler": "fifo"},
}


def main() -> None:
    """Run what is not kept yet, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--result", type=Path, default=RESULT)
    options = parser.parse_args()
    kept = json.loads(options.result.read_text()) if options.result.exists() else {}
    for seed in range(options.seeds):
        key = f"seed {seed}, {options.trials} trials"
        if key not in kept:
            kept[key] = measure(seed, options.trials)
            options.result.write_text(json.dumps(kept, indent=1) + "\n")
    print_table(kept)


def measure(seed: int, trials: int) -> dict[str, Any]:
    """Both searches of a seed, in an order that changes with it, and the first one repeated."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given = make_files(folder, seed)
        ways = list(WAYS) if seed % 2 == 0 else list(WAYS)[::-1]
        found = {way: search(folder / way.split()[0], given, seed, trials, WAYS[way]) for way in ways}
        target = min(done.best.score or 0.0 for done in found.values())
        figures = {
            "cores": os.cpu_count(),
            "target": target,
            "best": {way: done.best.score for way, done in found.items()},
            "seconds_to_target": {way: seconds_to(target, done) for way, done in found.items()},
            "seconds": {way: span(done) for way, done in found.items()},
            "stopped": {way: [t.status for t in done.trials].count("stopped") for way, done in found.items()},
        }
        (found["random + fifo"].folder / "trials.jsonl").unlink()  # only now: the times are read from there
        again = search(folder / "random", given, seed, trials, WAYS["random + fifo"])
        return {**figures, "overhead": overhead(again)}


def search(output: Path, given: dict[str, str], seed: int, trials: int, way: dict[str, str]) -> Search:
    """One search; its shared stages are done before the clock starts."""
    flags: dict[str, Any] = {
        **given,
        **way,
        "output": str(output),
        "seed": seed,
        "lgan.steps": 20,
        "augment.copies": 0,
        "data.max_unknown": 1.0,
        "finetune.token_budget": BUDGET,
        "finetune.evaluations": ROUNDS,
        "finetune.patience": ROUNDS,
        "finetune.head_start": False,
        "tune.space": SPACE,
        "tune.trials": trials,
    }
    return tune(load_config(flags=flags), quiet=True)


def make_files(folder: Path, seed: int, pool: int = 300) -> dict[str, str]:
    """Texts of words that a class uses more than others do, and a model that knows the words."""
    chance = random.Random(seed)
    common = [f"word{i}" for i in range(COMMON_WORDS)]
    own = {f"class{c}": [f"c{c}w{i}" for i in range(OWN_WORDS)] for c in range(CLASSES)}

    def rows(count: int) -> list[tuple[str, str]]:
        made = []
        for number in range(count):
            label = f"class{number % CLASSES}"
            words = chance.choices(own[label], k=2) + chance.choices(common, k=LENGTH - 2)
            made.append((" ".join(chance.sample(words, k=LENGTH)), label))
        return made

    given = {}
    for name, count in (("labeled", 600), ("validation", 300), ("unlabeled", pool)):
        path = folder / f"{name}.csv"
        pd.DataFrame(rows(count), columns=["text", "label"]).to_csv(path, index=False)
        given[f"data.{name}"] = str(path)
    words = [*common, *(word for words in own.values() for word in words)]
    save_tiny_model(folder / "model", words, seed, hidden=64)
    return {**given, "model": str(folder / "model")}


def seconds_to(target: float, done: Search) -> float:
    """Wall seconds from the first trial's start to the first end of a trial at ``target``."""
    lines = [json.loads(line) for line in (done.folder / "trials.jsonl").read_text().splitlines()]
    start = lines[0]["time"]
    ends = [line["time"] for line in lines if line["status"] == "complete" and line["score"] >= target]
    return float(round(min(ends) - start, 2))


def span(done: Search) -> float:
    """Wall seconds of all trials."""
    lines = [json.loads(line) for line in (done.folder / "trials.jsonl").read_text().splitlines()]
    return float(round(lines[-1]["time"] - lines[0]["time"], 2))


def overhead(again: Search) -> float:
    """Seconds between the ends of trials that found all their work done; the first waits for imports."""
    ends = sorted(trial.time for trial in again.trials)[2:]
    return round(median(b - a for a, b in itertools.pairwise(ends)), 3)


def print_table(kept: dict[str, Any]) -> None:
    """A line a seed, and the ratio of mean times."""
    print(
        "| | "
        + " | ".join(f"{way}: s to target (best score)" for way in WAYS)
        + " | overhead of a trial, s |"
    )
    print("|---|" + "---|" * (len(WAYS) + 1))
    for key, row in kept.items():
        cells = [f"{row['seconds_to_target'][way]} ({row['best'][way]:.3f})" for way in WAYS]
        print(f"| {key} | " + " | ".join(cells) + f" | {row['overhead']} |")
    ours, plain = (mean(row["seconds_to_target"][way] for row in kept.values()) for way in WAYS)
    print(f"\nrandom + fifo takes {plain / ours:.2f} x as long as tpe + asha to the target")


if __name__ == "__main__":
    main()
