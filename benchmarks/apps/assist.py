"""The customer-service assistant against simple methods, on public data sets.

    python -m benchmarks.apps.assist                          # all sets, 3 seeds
    python -m benchmarks.apps.assist --sets bank_faq --seeds 0
    python -m benchmarks.apps.assist --table-only

Builds and evaluates an assistant and keeps ``metrics.json`` of each seed, with the figures of BM25 alone,
embeddings alone, and n-grams with logistic regression (the classifier that Rasa's pipeline amounts to) on the
same rows. The seed draws what is held out:

bank_faq   a fifth of the questions: their answers are in the history without a question. One of the seven
           sections is out of scope: none of its rows is in the history, a fifth of them is asked.
           ``DEVELOPMENT`` rows, which were looked at while the method was made, are never asked.
stack_faq  a fifth of the threads is out of scope; asked are 600 of the paraphrases in the test file.
clinc150   20 training rows of each intent; asked are 1,000 test rows and 500 of the out-of-scope test rows.
banking77  20 training rows of each intent, of three quarters of the intents; asked are 1,000 test rows, and
           those of the other intents are out of scope.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.datasets import DATA

RESULTS = Path(__file__).parents[1] / "results" / "apps" / "assist"
Frames = tuple[pd.DataFrame, pd.DataFrame]
COLUMNS = ["question", "answer", "intent"]
DEVELOPMENT, DEVELOPMENT_SEED = 400, 5
PER_INTENT = 20
METRICS = (
    "mrr_at_10",
    "recall_at_1",
    "recall_at_5",
    "intent_macro_f1",
    "out_of_scope_auroc",
    "out_of_scope_accuracy_at_95_recall",
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--table-only", action="store_true")
    options = parser.parse_args()
    for name in [] if options.table_only else options.sets:
        if not (options.data / name).is_dir():
            print(f"skipped: {options.data / name} is not there")
            continue
        for seed in options.seeds:
            measure(name, seed, options.data)
    print("\n".join(table()))
    return 0


def measure(name: str, seed: int, data: Path) -> None:
    """Build and evaluate, unless the result is kept already."""
    target = RESULTS / f"{name}-{seed}.json"
    if target.exists():
        return
    started = time.monotonic()
    history, test = SETS[name](data / name, np.random.default_rng(seed))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        history.to_parquet(folder / "history.parquet")
        test.to_parquet(folder / "test.parquet")
        words = ["build", "--history", folder / "history.parquet", "--output", folder / "out"]
        call([*words, "--seed", seed, "--quiet"])
        call(["evaluate", folder / "out", "--input", folder / "test.parquet", "--quiet"])
        found = json.loads((folder / "out" / "metrics.json").read_text(encoding="utf-8"))
        built = json.loads((folder / "out" / "build.json").read_text(encoding="utf-8"))
    kept = {"set": name, "seconds": round(time.monotonic() - started, 1), "build": built, **found}
    RESULTS.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(f"{target.name}: {kept['seconds']} s", flush=True)


def bank_faq(folder: Path, generator: np.random.Generator) -> Frames:
    rows = pd.read_parquet(folder / "train.parquet")[COLUMNS]
    seen = rows.sample(DEVELOPMENT, random_state=DEVELOPMENT_SEED).index
    outside = generator.choice(sorted(rows["intent"].unique()))
    order = pd.Index(generator.permutation(rows.index.difference(seen)))
    asked = order[: len(rows) // 5]
    is_outside = rows["intent"] == outside
    history = rows[~is_outside].copy()
    history.loc[history.index.intersection(asked), "question"] = ""
    return history, rows.loc[asked]


def stack_faq(folder: Path, generator: np.random.Generator) -> Frames:
    threads, queries = (pd.read_parquet(folder / f"{part}.parquet")[COLUMNS] for part in ("train", "test"))
    intents = generator.permutation(sorted(threads["intent"].unique()))
    history = threads[~threads["intent"].isin(intents[: len(intents) // 5])]
    return history, queries.loc[generator.permutation(queries.index)[:600]]


def clinc150(folder: Path, generator: np.random.Generator) -> Frames:
    train, test, outside = (intents_of(folder / f"{part}.parquet") for part in ("train", "test", "oos"))
    outside = outside[pd.read_parquet(folder / "oos.parquet")["split"] == "test"]
    asked = pd.concat([draw(test, 1000, generator), draw(outside, 500, generator)], ignore_index=True)
    return few(train, generator), asked


def banking77(folder: Path, generator: np.random.Generator) -> Frames:
    train, test = (intents_of(folder / f"{part}.parquet") for part in ("train", "test"))
    intents = generator.permutation(sorted(train["intent"].unique()))
    known = train[~train["intent"].isin(intents[: len(intents) // 4])]
    return few(known, generator), draw(test, 1000, generator)


def intents_of(path: Path) -> pd.DataFrame:
    rows = pd.read_parquet(path)[["text", "label"]]
    return rows.rename(columns={"text": "question", "label": "intent"}).drop_duplicates("question")


def draw(rows: pd.DataFrame, count: int, generator: np.random.Generator) -> pd.DataFrame:
    return rows.loc[generator.permutation(rows.index)[:count]]


def few(rows: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    return draw(rows, len(rows), generator).groupby("intent").head(PER_INTENT)


SETS: dict[str, Callable[[Path, np.random.Generator], Frames]] = {
    "bank_faq": bank_faq,
    "stack_faq": stack_faq,
    "clinc150": clinc150,
    "banking77": banking77,
}


def call(words: list[Any]) -> None:
    command = [sys.executable, "-m", "react_ray.cli", "assist", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=dict(os.environ))


def table() -> Iterator[str]:
    """Mean and standard deviation over seeds, a line for each set and method."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for path in sorted(RESULTS.glob("*.json")):
        kept = json.loads(path.read_text(encoding="utf-8"))
        for one, figures in kept["compared"].items():
            found.setdefault((kept["set"], one), []).append(figures)
    yield f"| set | method | {' | '.join(METRICS)} | seeds |"
    yield "|---|---|" + "---|" * (len(METRICS) + 1)
    for key, runs in found.items():
        cells = [_cell([run[name] for run in runs if run.get(name) is not None]) for name in METRICS]
        yield f"| {' | '.join([*key, *cells, str(len(runs))])} |"


def _cell(values: list[float]) -> str:
    if not values:
        return "-"
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


if __name__ == "__main__":
    sys.exit(main())
