"""Choose the fixed settings of AdaMatch and GAN-BERT, on training rows only.

    python -m benchmarks.label_efficiency.tune --methods adamatch gan_bert

Draws of seeds that the benchmark does not use; a setting is judged by macro-F1 on the hidden
labels of the pool, which are training rows, averaged over data sets, labels per class and
draws. One setting after the other is moved to its best value, from what stands in the code.
Every trial is kept in benchmarks/results/label_efficiency_tuning.jsonl.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from sklearn.metrics import f1_score

from benchmarks.datasets import DATA
from benchmarks.label_efficiency.draws import Draw, Truth, cut
from benchmarks.label_efficiency.features import CACHE, FeatureStore
from benchmarks.label_efficiency.methods.adamatch import AdaMatch, adamatch
from benchmarks.label_efficiency.methods.gan_bert import GanBert, gan_bert
from react_ray.lgan.inputs import Probabilities

RESULTS = Path(__file__).parents[1] / "results" / "label_efficiency_tuning.jsonl"
DATASETS = ("agnews", "trec", "sst2", "banking77")
SIZES = (1, 5)
SEEDS = (100,)
POOL = 1500
METHODS: dict[str, tuple[Callable[..., Probabilities], Any, dict[str, tuple[float, ...]]]] = {
    "adamatch": (
        adamatch,
        AdaMatch(),
        {
            "hidden": (0, 256),
            "lr": (3e-4, 1e-3, 3e-3),
            "strong": (0.1, 0.25, 0.5, 1.0),
            "drop": (0.0, 0.3, 0.5),
            "steps": (250, 500, 1000),
        },
    ),
    "gan_bert": (
        gan_bert,
        GanBert(),
        {
            "lr": (1e-4, 3e-4, 1e-3),
            "lr_generator": (3e-4, 1e-3, 3e-3),
            "dropout": (0.0, 0.2, 0.5),
            "hidden": (64, 128, 256, 512),
            "steps": (125, 250, 500, 1000),
        },
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--features", type=Path, default=CACHE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    store = FeatureStore(options.data.absolute(), cache=options.features)
    stored = [store.load(name) for name in DATASETS]
    draws = [cut(each, size, seed, POOL, 0) for each in stored for size in SIZES for seed in SEEDS]
    RESULTS.parent.mkdir(exist_ok=True)
    for method in options.methods:
        print(f"{method}: {search(method, draws)}", flush=True)
    return 0


def search(method: str, draws: list[tuple[Draw, Truth]]) -> Any:
    """The settings after one round of moving each to its best value."""
    answer, best, values = METHODS[method]
    top = trial(method, answer, best, draws)
    for name, tried in values.items():
        for value in tried:
            settings = replace(best, **{name: value})
            if settings != best and (score := trial(method, answer, settings, draws)) > top:
                best, top = settings, score
    return best


def trial(
    method: str, answer: Callable[..., Probabilities], settings: Any, draws: list[tuple[Draw, Truth]]
) -> float:
    """Mean macro-F1 on the pools; printed and kept, and taken from there the next time."""
    on = {"datasets": list(DATASETS), "labels_per_class": list(SIZES), "seeds": list(SEEDS), "pool": POOL}
    key = {"method": method, "settings": asdict(settings), "on": on}
    lines = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []
    kept = [record["macro_f1"] for record in map(json.loads, lines) if record.items() >= key.items()]
    if kept:
        return float(kept[0])
    scores = [_score(answer(replace(draw, test=draw.pool), settings), truth) for draw, truth in draws]
    found = round(fmean(scores), 4)
    print(method, key["settings"], found, flush=True)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**key, "macro_f1": found}) + "\n")
    return found


def _score(found: Probabilities, truth: Truth) -> float:
    return float(f1_score(truth.pool, found.argmax(1), average="macro", zero_division=0))


if __name__ == "__main__":
    sys.exit(main())
