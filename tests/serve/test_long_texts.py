"""A classifier that reads several windows of a text, trained, loaded, exported and served."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_service import talk

from react_ray.config.service import ServeConfig
from react_ray.config.settings import FinetuneConfig
from react_ray.inference.classifier import load
from react_ray.inference.onnx_export import export
from react_ray.serve.engine.model import load_engine
from react_ray.serve.service import Service
from react_ray.training.train import loop
from react_ray.training.worker import LocalWorker

LENGTH, WINDOWS = 16, 3
TOLD = {"alpha": "hij", "zeta": "bcd", "中": "opq"}
LABELS = list(TOLD)


def text_of(label: str, filler: int, pick: random.Random) -> str:
    """A text whose class is told by the words behind the filler."""
    return " ".join(["a"] * filler + [pick.choice(TOLD[label]) for _ in range(8)])


def make_rows(count: int, fillers: tuple[int, int], seed: int) -> pa.Table:
    pick = random.Random(seed)
    labels = [LABELS[number % len(LABELS)] for number in range(count)]
    texts = [text_of(label, pick.randint(*fillers), pick) for label in labels]
    return pa.table({"text": texts, "label": labels})


def train(folder: Path, model: Path, windows: int) -> Path:
    """The folder of a model that reads up to ``windows`` windows."""
    folder.mkdir()
    pq.write_table(make_rows(90, (0, 30), seed=1), folder / "train.parquet")
    config = FinetuneConfig(lr=1e-2, epochs=6, max_length=LENGTH, windows=windows)
    worker, rows = LocalWorker(folder / "checkpoints"), str(folder / "train.parquet")
    loop(worker, model=str(model), labels=LABELS, train=rows, validation=None, config=config.model_dump())
    last = worker.checkpoint()
    assert last is not None
    return last / "model"


LONG = make_rows(30, (20, 30), seed=5)
"""Texts whose first window is filler alone."""


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Models that read one window and several."""
    folder = tmp_path_factory.mktemp("windows")
    return {n: train(folder / str(n), tiny_model, n) for n in (1, WINDOWS)}


@pytest.fixture(scope="module")
def served(trained: dict[int, Path]) -> Path:
    """The model of several windows, with an ONNX file."""
    folder = trained[WINDOWS]
    export(folder, folder / "onnx", LONG["text"].to_pylist())
    return folder


def share_right(folder: Path) -> float:
    found = load(folder, use_gpu=False).predict(LONG["text"].to_pylist())
    pairs = zip(found, LONG["label"].to_pylist(), strict=True)
    return float(np.mean([one.label == label for one, label in pairs]))


def test_words_beyond_the_maximum_length_decide_only_with_windows(trained: dict[int, Path]) -> None:
    assert share_right(trained[1]) < 0.6
    assert share_right(trained[WINDOWS]) > 0.9


def test_the_number_of_windows_is_saved_where_there_are_several(trained: dict[int, Path]) -> None:
    files = {n: folder / "config.json" for n, folder in trained.items()}
    saved = {n: json.loads(file.read_text())["react_ray"] for n, file in files.items()}
    assert saved == {
        1: {"task": "text-classification"},
        WINDOWS: {"task": "text-classification", "windows": WINDOWS},
    }


def test_one_engine_is_like_the_other(served: Path) -> None:
    texts = [*LONG["text"].to_pylist(), "b", "", "中 " * 40, "a b " * 400]
    engine = load_engine(str(served), "fp32", threads=1, use_gpu=False)
    assert engine.name == "ONNX Runtime, fp32"
    expected = load(served, use_gpu=False).predict_proba(texts)
    np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(engine.model.predict_proba(texts), expected, atol=1e-4)


def test_a_service_answers_as_the_model_does_and_explains_words_of_every_window(served: Path) -> None:
    service = Service.load(str(served), ServeConfig(access_log=False, max_explain_words=200), threads=1)
    model, text = load(served, use_gpu=False), LONG["text"][0].as_py()
    texts = [text, "b", "a b " * 400]
    expected = model.predict(texts)
    beyond = text + " a" * 60
    predicted, about, explained, clipped = talk(
        service,
        ("/predict", {"inputs": texts}),
        ("/model", None),
        ("/explain", {"input": text}),
        ("/explain", {"input": beyond}),
    )
    best = [answer[0] for answer in predicted.json()]
    assert [one["label"] for one in best] == [one.label for one in expected]
    assert [one["score"] for one in best] == pytest.approx([one.score for one in expected], abs=1e-4)
    assert about.json()["max_length"] == WINDOWS * LENGTH
    words = explained.json()["words"]
    assert explained.json()["score"] == pytest.approx(expected[0].score, abs=1e-4)
    assert "".join(text[word["start"] : word["end"]] for word in words) == text.replace(" ", "")
    first, read = 2 * (LENGTH - 2), 2 * WINDOWS * (LENGTH - 2)
    assert any(abs(word["weight"]) > 1e-4 for word in words if word["start"] >= first)
    last = clipped.json()["words"][-1]
    assert (last["start"], last["weight"]) == (read, 0)
