"""A classifier of two words and a stream that it labels without an error."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.tiny_model import save_tiny_model

__all__ = ["make_items", "run_and_kill", "save_classifier", "write_jsonl"]


def save_classifier(folder: Path, labels: Mapping[str, str]) -> Path:
    """Save a model that gives the label of the word that a text begins with."""
    save_tiny_model(folder, [*labels, *"abcdefghijklmnopqrstuvwxyz0123456789"])
    names = dict(enumerate(labels.values()))
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, id2label=names, label2id={name: number for number, name in names.items()}
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = torch.tensor([tokenizer.encode(word) for word in labels])
    with torch.no_grad():
        hidden = model.bert(ids).pooler_output
        hidden = hidden - hidden.mean(0)
        model.classifier.weight.copy_(torch.linalg.pinv(hidden).T * 20)
        model.classifier.bias.zero_()
        model.classifier.bias -= model.classifier.weight @ model.bert(ids).pooler_output.mean(0)
    model.save_pretrained(folder)
    return folder


def make_items(days: int, per_day: int = 4, seed: int = 0, start: str = "2024-01-01") -> list[dict[str, Any]]:
    """Items of many days, a third of them bad, of two sources; text 'good' or 'bad'."""
    draw = np.random.default_rng(seed)
    first = np.datetime64(start)
    return [
        {
            "id": f"{day}-{number}",
            "text": "bad" if draw.random() < 1 / 3 else "good",
            "time": f"{first + day}T{number % 24:02d}:00:00Z",
            "source": "forum" if number % 2 else "shop",
        }
        for day in range(days)
        for number in range(per_day)
    ]


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]], mode: str = "w") -> Path:
    with path.open(mode, encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return path


def run_and_kill(model: Path, input: str | Path, store: Path, rows: int, kills: int = 6) -> None:
    """Run a monitor over an input of so many rows; it is killed several times on its way."""
    script = Path(__file__).with_name("killed_runs.py")
    words = [sys.executable, script, model, input, store, kills, rows]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    counts = [int(count) for count in re.findall(r"killed at (\d+)", done.stdout)]
    assert sum(0 < count < rows for count in counts) >= kills // 2 + 1, "killed on its way"
