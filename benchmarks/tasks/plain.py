"""Fine-tuning with every label, against a plain loop over transformers with as many steps.

    python -m benchmarks.tasks.plain --sets wnut17 semeval2010_task8 goemotions

Both train the same model on the training file and are judged on the same at most 2,000 test rows. The plain
loop is what tutorials show: the first piece of a word has its tag, relations have their marks as plain text;
AdamW, batch size and warm-up of this project. It is trained with three learning rates, because a new head may
need a high one, and several labels a text are decided at one of 19 thresholds, because 0.5 finds no rare
label. The best test score counts, in its favour. Figures of each set and seed are kept in
``benchmarks/results/tasks_plain`` and not computed again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from scipy.special import expit
from seqeval.metrics import f1_score as entity_f1
from sklearn.metrics import f1_score
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    get_linear_schedule_with_warmup,
)

from benchmarks.datasets import DATA
from benchmarks.tasks.draws import SETS, DataSet, draw
from react_ray.answer import Answer
from react_ray.config.settings import FinetuneConfig
from react_ray.models.pretrained import load_tokenizer
from react_ray.tasks import get_task
from react_ray.tasks.columns import Options

RESULTS = Path(__file__).parents[1] / "results" / "tasks_plain"
EVALUATION_ROWS = 64
LEARNING_RATES = (5e-5, 2e-4, 3e-4)
THRESHOLDS = tuple(np.linspace(0.05, 0.95, 19))
Encoded = tuple[dict[str, torch.Tensor], torch.Tensor]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=["wnut17", "semeval2010_task8", "goemotions"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    print("| set | seed | steps | metric | react-ray | plain transformers |\n|---|---|---|---|---|---|")
    for name in options.sets:
        for seed in range(options.seeds):
            target = RESULTS / f"{name}-{seed}.json"
            if not target.exists():
                target.write_text(json.dumps(compare(SETS[name], seed, options.data)) + "\n")
            found = json.loads(target.read_text())
            print(f"| {name} | {seed} | {found['steps']} | {found['metric']} |", end="")
            print(f" {found['react_ray']:.3f} | {found['plain']:.3f} |", flush=True)
    return 0


def compare(data_set: DataSet, seed: int, data: Path) -> dict[str, Any]:
    """Figures of both, on the same rows."""
    with tempfile.TemporaryDirectory() as temporary:
        files = draw(data_set, 0.01, seed, Path(temporary) / "data", data)
        output = Path(temporary) / "out"
        words = ["--task", data_set.task, "--labeled", files.whole, "--test", files.test, "--seed", seed]
        words += ["--output", output, "--quiet", "onnx=false", "encoder=embedded"]
        command = [sys.executable, "-m", "react_ray.cli", "run", *map(str, words)]
        started = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - started
        metrics = json.loads((output / "metrics.json").read_text())
        (history,) = output.glob("cache/labels_only-*/history.jsonl")
        steps = max(json.loads(line)["step"] for line in history.read_text().splitlines())
        train, test = (pd.read_parquet(path) for path in (files.whole, files.test))
    headline = metrics["headline"]
    plain = {lr: TASKS[data_set.task](train, test, steps, seed, lr) for lr in LEARNING_RATES}
    ours = metrics["arms"]["labels_only"]["test"][headline]
    return {
        "steps": steps,
        "metric": headline,
        "react_ray": ours,
        "plain": max(plain.values()),
        "rates": plain,
        "seconds": round(seconds),
        "seed": seed,
    }


def tags(train: pd.DataFrame, test: pd.DataFrame, steps: int, seed: int, lr: float) -> float:
    """Entity F1 of a plain tagger."""
    names = sorted({tag for tags in train["tags"] for tag in tags})
    model, tokenizer = _load(AutoModelForTokenClassification, len(names))

    def encode(rows: pd.DataFrame) -> Encoded:
        words = [list(tokens) for tokens in rows["tokens"]]
        batch = _tokenize(tokenizer, words, is_split_into_words=True)
        wanted = torch.full(batch["input_ids"].shape, -100)
        for row, given in enumerate(rows["tags"]):
            for place, word in _first_pieces(batch.word_ids(row)):
                wanted[row, place] = names.index(given[word]) if given[word] in names else -100
        return dict(batch), wanted

    _train(model, encode, train, steps, seed, lr)
    truth, predicted = [], []
    for part in _parts(test):
        batch = _tokenize(tokenizer, [list(tokens) for tokens in part["tokens"]], is_split_into_words=True)
        chosen = _logits(model, dict(batch)).argmax(-1)
        for row, given in enumerate(part["tags"]):
            found = {word: names[chosen[row, place]] for place, word in _first_pieces(batch.word_ids(row))}
            truth.append(list(given))
            predicted.append([found.get(word, "O") for word in range(len(given))])  # what is cut off has none
    return float(entity_f1(truth, predicted))


def relations(train: pd.DataFrame, test: pd.DataFrame, steps: int, seed: int, lr: float) -> float:
    """The task's own figure, which leaves Other out, of a plain classifier."""
    names = sorted(set(train["label"]))
    model, tokenizer = _load(AutoModelForSequenceClassification, len(names))

    def encode(rows: pd.DataFrame) -> Encoded:
        wanted = torch.tensor([names.index(label) for label in rows["label"]])
        return dict(_tokenize(tokenizer, rows["text"].tolist())), wanted

    _train(model, encode, train, steps, seed, lr)
    chosen = np.concatenate(
        [
            _logits(model, dict(_tokenize(tokenizer, part["text"].tolist()))).argmax(-1)
            for part in _parts(test)
        ]
    )
    task = get_task("relation-extraction")
    rows = [task.parse({**row}, Options()) for _, row in test.iterrows()]
    answers = [Answer(names[k], 1.0, ()) for k in chosen]
    return task.measure(answers, pa.Table.from_pylist(rows), names)["macro_f1"]


def sets(train: pd.DataFrame, test: pd.DataFrame, steps: int, seed: int, lr: float) -> float:
    """Macro-F1 of a plain classifier of several labels, at the threshold that is best for these rows."""
    names = sorted({label for labels in (*train["labels"], *test["labels"]) for label in labels})
    model, tokenizer = _load(
        AutoModelForSequenceClassification, len(names), problem_type="multi_label_classification"
    )

    def wanted(rows: pd.DataFrame) -> torch.Tensor:
        return torch.tensor([[float(name in set(labels)) for name in names] for labels in rows["labels"]])

    def encode(rows: pd.DataFrame) -> Encoded:
        return dict(_tokenize(tokenizer, rows["text"].tolist())), wanted(rows)

    _train(model, encode, train, steps, seed, lr)
    logits = [_logits(model, dict(_tokenize(tokenizer, part["text"].tolist()))) for part in _parts(test)]
    scores = expit(np.concatenate(logits))
    return max(
        float(f1_score(wanted(test), scores > threshold, average="macro", zero_division=0))
        for threshold in THRESHOLDS
    )


TASKS: dict[str, Callable[[pd.DataFrame, pd.DataFrame, int, int, float], float]] = {
    "token-classification": tags,
    "relation-extraction": relations,
    "multi-label-classification": sets,
}


def _load(kind: Any, classes: int, **more: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    path = load_tokenizer("embedded").name_or_path
    tokenizer = AutoTokenizer.from_pretrained(path)
    return kind.from_pretrained(path, num_labels=classes, **more), tokenizer


def _tokenize(tokenizer: Any, texts: Sequence[Any], **more: Any) -> Any:
    longest = FinetuneConfig().max_length
    return tokenizer(texts, truncation=True, max_length=longest, padding=True, return_tensors="pt", **more)


def _train(
    model: Any,
    encode: Callable[[pd.DataFrame], Encoded],
    train: pd.DataFrame,
    steps: int,
    seed: int,
    lr: float,
) -> None:
    config, random = FinetuneConfig(), np.random.default_rng(seed)
    order = np.concatenate(
        [random.permutation(len(train)) for _ in range(1 + steps * config.batch_size // len(train))]
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=config.weight_decay)
    schedule = get_linear_schedule_with_warmup(optimizer, int(config.warmup * steps), steps)
    model.train()
    for step in range(steps):
        rows = order[step * config.batch_size : (step + 1) * config.batch_size]
        inputs, wanted = encode(train.iloc[rows])
        model(**inputs, labels=wanted).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.eval()


def _parts(rows: pd.DataFrame) -> list[pd.DataFrame]:
    return [rows.iloc[start : start + EVALUATION_ROWS] for start in range(0, len(rows), EVALUATION_ROWS)]


@torch.no_grad()
def _logits(model: Any, inputs: dict[str, torch.Tensor]) -> Any:
    return model(**inputs).logits.numpy()


def _first_pieces(words: Sequence[int | None]) -> list[tuple[int, int]]:
    """Place and word of the first piece of each word."""
    return [
        (place, word)
        for place, word in enumerate(words)
        if word is not None and (place == 0 or words[place - 1] != word)
    ]


if __name__ == "__main__":
    sys.exit(main())
