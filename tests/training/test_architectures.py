"""Encoders of many architectures, and a decoder: trained, saved, loaded, exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tiny_architectures import KINDS, save_encoder
from tiny_training import LABELS, make_rows, train
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from react_ray import Entity, load
from react_ray.config.settings import FinetuneConfig
from react_ray.inference.inputs import table_of
from react_ray.inference.onnx_export import LARGEST, export
from react_ray.serve.engine.model import load_engine
from react_ray.tasks import get_task
from react_ray.tasks.columns import NO_OPTIONS
from react_ray.training.train import loop
from react_ray.training.worker import LocalWorker

PEOPLE = [("ada", "rome"), ("bob", "oslo"), ("eve", "lima"), ("gus", "cairo")]
TAGS = ["B-PER", "O", "B-LOC", "O", "O", "O"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_classifier_is_trained_and_exported(kind: str, tmp_path: Path, tiny_model: Path) -> None:
    base = save_encoder(tmp_path / "base", kind, tiny_model)
    folder = train(tmp_path / "run", base, make_rows(60), epochs=1) / "model"
    texts = make_rows(20, seed=3)["text"].to_pylist()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        alone = [model(**tokenizer(text, return_tensors="pt")).logits for text in texts]
    expected = torch.cat(alone).softmax(-1).numpy()
    loaded = load(folder, use_gpu=False)
    assert loaded.labels == LABELS
    assert np.allclose(loaded.predict_proba(texts), expected, atol=1e-5)
    assert len(np.unique(expected.round(4), axis=0)) > 10, "the model does not read the texts"
    record = export(folder, folder / "onnx", texts)
    assert record.precisions["fp32"].same_label == 1
    assert record.precisions["fp32"].largest_difference < LARGEST
    engine = load_engine(str(folder), "fp32", threads=1, use_gpu=False)
    assert engine.name == "ONNX Runtime, fp32"
    assert np.allclose(engine.model.predict_proba(texts), expected, atol=LARGEST)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tagger_is_trained_saved_and_loaded(kind: str, tmp_path: Path, tiny_model: Path) -> None:
    base = save_encoder(tmp_path / "base", kind, tiny_model)
    task = get_task("token-classification")
    texts = [f"{name} saw {place} on day {number}" for number in range(8) for name, place in PEOPLE]
    parsed = [task.parse({"tokens": text.split(), "tags": TAGS}, NO_OPTIONS) for text in texts]
    rows = table_of(task, parsed).append_column(
        task.target, pa.array([row[task.target.name] for row in parsed], task.target.type)
    )
    pq.write_table(rows, tmp_path / "train.parquet")
    worker = LocalWorker(tmp_path / "checkpoints")
    loop(
        worker,
        model=str(base),
        labels=["LOC", "PER"],
        train=str(tmp_path / "train.parquet"),
        validation=None,
        config=FinetuneConfig(lr=1e-2, epochs=6).model_dump(),
        task=task.name,
    )
    last = worker.checkpoint()
    assert last is not None
    found = load(last / "model", use_gpu=False).predict([{"text": text} for text in texts[:4]])
    assert [
        [(one.entity_group, text[one.start : one.end]) for one in entities]
        for text, entities in zip(texts, found, strict=False)
    ] == [[("PER", name), ("LOC", place)] for name, place in PEOPLE][:4]
    assert all(isinstance(one, Entity) for entities in found for one in entities)
