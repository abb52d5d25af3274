"""Long texts: macro-F1 of a fine-tuned model that reads the start of a text, 4 windows, or a longer input.

    python -m benchmarks.windows --datasets bbc bbc_mixed --draws 3

A few labelled rows a class are trained on, with the same budget of tokens for every variant. Because a
default is chosen by them, the figures are those of other rows of the training file; the test rows are not
read. bbc_mixed has the sentences of each article in random order, so that the first ones do not sum it up.
One JSON file a draw is kept in benchmarks/results/windows; a variant that is there is not run again. Seconds
are processor time, so that the other work of a machine does not count.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.datasets import DATA, classes_of, draw_rows, read_dataset
from react_ray.config.settings import EMBEDDED, FinetuneConfig
from react_ray.inference.classifier import load
from react_ray.models.pretrained import load_tokenizer
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.tasks import get_task
from react_ray.tasks.cutting import cut_shares
from react_ray.training.train import loop
from react_ray.training.worker import LocalWorker

RESULTS = Path(__file__).parent / "results" / "windows"
MIXED = "_mixed"
VARIANTS = {
    "128": {"max_length": 128},
    "4 x 128": {"max_length": 128, "windows": 4},
    "512": {"max_length": 512},
}
TASK = "text-classification"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", default=["bbc", "bbc_mixed"])
    parser.add_argument("--labels-per-class", type=int, default=5)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--token-budget", type=int, default=20_000)
    parser.add_argument("--model", default=EMBEDDED)
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for seed in range(options.draws):
        for dataset in options.datasets:
            target = RESULTS / f"{dataset}-k{options.labels_per_class}-s{seed}.json"
            measure(dataset, seed, options, target)
    print_table()


def measure(dataset: str, seed: int, options: argparse.Namespace, target: Path) -> None:
    """Train and test the variants on one draw that are not in its file yet."""
    train, test = read_dataset(dataset.removesuffix(MIXED), options.data)
    classes = classes_of(train)
    rows = draw_rows(
        train, test, labels_per_class=options.labels_per_class, pool=options.rows, test_rows=0, seed=seed
    )
    labeled, held_out = rows.labeled, rows.pool
    if dataset.endswith(MIXED):
        labeled, held_out = mixed(labeled), mixed(held_out)
    record: dict[str, Any] = {
        "dataset": dataset,
        "labels_per_class": options.labels_per_class,
        "seed": seed,
        "model": options.model,
        "token_budget": options.token_budget,
        "rows": len(held_out),
        "variants": json.loads(target.read_text())["variants"] if target.exists() else {},
    }
    for name, settings in VARIANTS.items():
        if name in record["variants"]:
            continue
        config = FinetuneConfig(token_budget=options.token_budget, **settings)
        figures = _measured(labeled, held_out, list(classes.names), config, seed, options.model)
        record["variants"][name] = figures
        target.write_text(json.dumps(record, indent=1) + "\n")
        print(dataset, seed, name, figures, flush=True)


def mixed(rows: pd.DataFrame) -> pd.DataFrame:
    """Put the sentences of each text in a random order, which depends on the text alone."""
    return rows.assign(text=[_mixed(text) for text in rows["text"]])


def _mixed(text: str) -> str:
    sentences = re.split(r"(?<=[.!?])\s+|\n+", text)
    random.Random(text).shuffle(sentences)
    return " ".join(sentence for sentence in sentences if sentence)


def _measured(
    labeled: pd.DataFrame,
    test: pd.DataFrame,
    labels: list[str],
    config: FinetuneConfig,
    seed: int,
    model: str,
) -> dict[str, float]:
    task, held_out = get_task(TASK), pa.Table.from_pandas(test[["text", "label"]], preserve_index=False)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = folder / "train.parquet"
        pq.write_table(pa.Table.from_pandas(labeled[["text", "label"]], preserve_index=False), path)
        worker, began = LocalWorker(folder / "checkpoints"), time.process_time()
        loop(
            worker,
            model=model,
            labels=labels,
            train=str(path),
            validation=None,
            config=config.model_dump(),
            seed=seed,
        )
        trained = time.process_time()
        checkpoint = worker.checkpoint()
        assert checkpoint is not None
        classifier = load(checkpoint / "model", use_gpu=False)
        answers = classifier.answers(held_out.select(["text"]))
        predicted = time.process_time()
    figures = task.measure(answers, held_out, labels)
    tokenizer = TransformersTokenizer(load_tokenizer(model), config.max_length, windows=config.windows)
    shares = cut_shares(task, tokenizer, held_out, labels)
    return {
        "macro_f1": round(figures["macro_f1"], 4),
        "accuracy": round(figures["accuracy"], 4),
        "cut_texts": round(shares["texts"], 4),
        "cut_tokens": round(shares["tokens"], 4),
        "train_seconds": round(trained - began, 1),
        "predict_seconds": round(predicted - trained, 1),
    }


def print_table() -> None:
    """Mean and standard deviation over draws, from the files alone."""
    records = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    rows = [
        {"dataset": r["dataset"], "labels": r["labels_per_class"], "variant": name, **figures}
        for r in records
        for name, figures in r["variants"].items()
    ]
    if not rows:
        return
    groups = pd.DataFrame(rows).groupby(["dataset", "labels", "variant"], sort=False)
    table = groups.mean().round(3)
    table.insert(1, "sd", groups["macro_f1"].std(ddof=0).round(3))
    table.insert(0, "draws", groups.size())
    print(table.to_string())


if __name__ == "__main__":
    main()
