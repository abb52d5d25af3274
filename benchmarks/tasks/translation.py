"""Translation from scratch on a few thousand pairs of sentences: BLEU over the time of training.

    OMP_NUM_THREADS=2 python -m benchmarks.tasks.translation --data multi30k_en_de --minutes 20

``--data`` is a folder with train.parquet, validation.parquet and test.parquet, with columns source and
target. The curve is on 200 validation rows, without beam search; the test rows are read once, with the final
model. The length of the training is set from the speed that a short training has first, which is not part of
the curve.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from transformers import AutoModelForSeq2SeqLM

from react_ray.config.settings import SCRATCH, FinetuneConfig, GenerationConfig
from react_ray.models.pretrained import load_tokenizer
from react_ray.models.scratch import save_scratch_model
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.tasks import get_task
from react_ray.tasks.running import predict
from react_ray.training.train import loop
from react_ray.training.worker import LocalWorker

TASK = get_task("translation")
RESULTS = Path(__file__).parents[1] / "results" / "translation"
TIMED_EPOCHS = 0.3


class Clock(LocalWorker):
    """Worker that records when each metric was logged."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.started = time.monotonic()
        self.curve: list[dict[str, float]] = []

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if "bleu" in values or step % 100 == 0:
            self.curve.append({"seconds": round(self.seconds, 1), "step": step, **values})
            print(self.curve[-1], flush=True)


def main() -> None:
    arguments = _arguments()
    rows = {part: _rows(arguments.data / f"{part}.parquet") for part in ("train", "validation", "test")}
    rows["train"] = rows["train"].slice(0, arguments.rows)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        texts = [text for cells in rows["train"].to_pydict().values() for text in cells]
        base = save_scratch_model(texts, folder / "base", arguments.seed)
        for part in ("train", "validation"):
            pq.write_table(rows[part], folder / f"{part}.parquet")
        timed = _train(folder, base, TIMED_EPOCHS, arguments.seed, validation=False)
        epochs = max(1.0, arguments.minutes * 60 / (timed.seconds / TIMED_EPOCHS))
        worker = _train(folder, base, epochs, arguments.seed, validation=True)
        seconds = worker.seconds
        saved = worker.checkpoint() / "model"
        result = {
            "data": arguments.data.name,
            "model": SCRATCH,
            "rows": len(rows["train"]),
            "seed": arguments.seed,
            "epochs": round(epochs, 1),
            "seconds": round(seconds),
            "curve": worker.curve,
            **_test(saved, rows["test"]),
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "cores": os.cpu_count(),
            "load": [round(load, 1) for load in os.getloadavg()],
        }
    RESULTS.mkdir(parents=True, exist_ok=True)
    target = RESULTS / f"{arguments.data.name}-{result['rows']}-{arguments.seed}.json"
    target.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps({name: value for name, value in result.items() if name != "curve"}, ensure_ascii=False))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rows", type=int, default=None, help="first rows of train.parquet; all if left out")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _rows(path: Path) -> pa.Table:
    table = pq.read_table(path, columns=["source", "target"])
    return table.rename_columns(["text", "target"])


def _train(folder: Path, base: Path, epochs: float, seed: int, validation: bool) -> Clock:
    worker = Clock(folder / f"checkpoints-{validation}")
    settings: dict[str, Any] = TASK.training_defaults(SCRATCH) | {"epochs": epochs, "metric": "bleu"}
    loop(
        worker,
        model=str(base),
        labels=(),
        train=str(folder / "train.parquet"),
        validation=str(folder / "validation.parquet") if validation else None,
        config=FinetuneConfig(**settings).model_dump(),
        seed=seed,
        task=TASK.name,
        settings=TASK.settings(GenerationConfig(beams=1, max_new_tokens=40)),
    )
    return worker


def _test(folder: Path, rows: pa.Table) -> dict[str, Any]:
    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    tokens = load_tokenizer(str(folder))
    TASK.configure(model, tokens, TASK.settings(GenerationConfig()))
    tokenizer = TransformersTokenizer(tokens, 128)
    started = time.monotonic()
    answers = predict(TASK, model, tokenizer, rows)
    seconds = time.monotonic() - started
    return {
        "test": TASK.measure(answers, rows, ()),
        **TASK.details(answers, rows, ()),
        "translations_per_second": round(len(rows) / seconds, 1),
        "examples": [
            {"source": text, "target": truth, "translation": answer.value}
            for text, truth, answer in zip(
                rows["text"].to_pylist()[:5], rows["target"].to_pylist()[:5], answers[:5], strict=True
            )
        ],
    }


if __name__ == "__main__":
    main()
