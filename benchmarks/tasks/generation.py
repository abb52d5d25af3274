"""Speed of engines that generate translations: torch and CTranslate2, with one beam and with four.

    OMP_NUM_THREADS=1 python -m benchmarks.tasks.generation --data multi30k_en_de --epochs 8

``--data`` is a folder with train.parquet and validation.parquet, with columns source and target. A small
model is trained from scratch (4 layers each, 128 dimensions), so that its translations have the usual
lengths. The engines then translate validation rows in turn, on one core; figures are medians of the rounds,
in tokens of the translations a second.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow.parquet as pq
import torch

from benchmarks.tasks.translation import RESULTS, SCRATCH, TASK, Clock, _rows
from react_ray.config.settings import FinetuneConfig, GenerationConfig
from react_ray.inference.classifier import load
from react_ray.inference.ctranslate2_export import export
from react_ray.inference.ctranslate2_model import CTranslate2Model
from react_ray.inference.saved import SavedModel
from react_ray.models.scratch import save_scratch_model
from react_ray.training.train import loop

BEAMS = (1, 4)
MAX_NEW_TOKENS = 60
BATCHES = {"a batch": None, "one at a time": 1}
"""Rows of a call."""


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = _train(Path(temporary), arguments)
        texts = _rows(arguments.data / "validation.parquet")["text"].to_pylist()[: arguments.texts]
        result = {
            "data": arguments.data.name,
            "seed": arguments.seed,
            "texts": len(texts),
            "versions": {name: version(name) for name in ("torch", "transformers", "ctranslate2")},
            "engines": [_compare(folder, beams, texts, arguments.rounds) for beams in BEAMS],
            "load": [round(load, 1) for load in os.getloadavg()],
        }
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1)
    (RESULTS / f"engines-{arguments.data.name}.json").write_text(text + "\n", encoding="utf-8")
    print(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=float, default=8)
    parser.add_argument("--rows", type=int, default=5000, help="first rows of train.parquet")
    parser.add_argument("--texts", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _train(folder: Path, arguments: argparse.Namespace) -> Path:
    rows = _rows(arguments.data / "train.parquet").slice(0, arguments.rows)
    texts = [text for cells in rows.to_pydict().values() for text in cells]
    pq.write_table(rows, folder / "train.parquet")
    worker = Clock(folder / "checkpoints")
    loop(
        worker,
        model=str(save_scratch_model(texts, folder / "base", arguments.seed)),
        labels=(),
        train=str(folder / "train.parquet"),
        validation=None,
        config=FinetuneConfig(**TASK.training_defaults(SCRATCH) | {"epochs": arguments.epochs}).model_dump(),
        seed=arguments.seed,
        task=TASK.name,
        settings=TASK.settings(GenerationConfig(max_new_tokens=MAX_NEW_TOKENS)),
    )
    return worker.checkpoint() / "model"


def _compare(folder: Path, beams: int, texts: list[str], rounds: int) -> dict[str, Any]:
    """Set the number of beams of the saved model, export it, and time the engines in turn."""
    for name, key in (("config.json", "beams"), ("generation_config.json", "num_beams")):
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        (content["react_ray"] if name == "config.json" else content)[key] = beams
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    record = export(folder, folder / "ctranslate2", texts)
    engines = {"torch": load(folder, use_gpu=False), "ctranslate2": CTranslate2Model(folder, record)}
    answers = {name: [one.value for one in _run(engine, texts, None)] for name, engine in engines.items()}
    tokens = sum(map(len, engines["torch"].tokenizer.target_ids(answers["torch"])))
    result: dict[str, Any] = {
        "beams": beams,
        "answers_equal_at_export": record.same_text,
        "texts_at_export": record.checked,
        "answers_equal": sum(map(str.__eq__, *answers.values())) / len(texts),
        "tokens": tokens,
    }
    for batch, size in BATCHES.items():
        some = texts if size is None else texts[: len(texts) // 4]
        share = tokens * len(some) / len(texts)
        seconds: dict[str, list[float]] = {name: [] for name in engines}
        for _ in range(rounds):
            for name, engine in engines.items():
                seconds[name].append(_seconds(engine, some, size))
        speeds = {name: share / median(taken) for name, taken in seconds.items()}
        result[batch] = {
            **{f"{name}_tokens_per_second": round(speed) for name, speed in speeds.items()},
            "ratio": round(speeds["ctranslate2"] / speeds["torch"], 2),
            "seconds": {name: [round(one, 2) for one in taken] for name, taken in seconds.items()},
        }
    return result


def _run(model: SavedModel, texts: list[str], size: int | None) -> list[Any]:
    rows = model.rows(texts)
    parts = range(0, len(texts), size or len(texts))
    return [one for start in parts for one in model.answers(rows.slice(start, size or len(texts)))]


def _seconds(model: SavedModel, texts: list[str], size: int | None) -> float:
    started = time.perf_counter()
    _run(model, texts, size)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
