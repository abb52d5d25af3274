"""Saved models for pairs of texts and for several labels, beside plain transformers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_tagger import WORDS
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast, pipeline

import react_ray
from react_ray.errors import InputError
from react_ray.inference.folder import check_saved
from react_ray.inference.inputs import few_rows, parse_input
from react_ray.inference.onnx_classifier import OnnxClassifier
from react_ray.inference.onnx_export import export
from react_ray.inference.prediction import Prediction
from react_ray.pipeline.predict import predict_file
from react_ray.serve.engine.model import Engine, load_engine
from react_ray.tasks import get_task
from react_ray.tasks.task import Example, Padding

LABELS = ["art", "business", "sport"]
TEXTS = ["ada likes paris", "x", "rome and paris and rome", "b " * 90]
PAIRS = [("ada likes paris", "rome"), ("x", "x x"), ("b " * 50, "paris " * 50)]


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    def save(task: str | None, **options: Any) -> Path:
        vocabulary = {
            word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])
        }
        config = BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=64,
            initializer_range=0.7,
            id2label=dict(enumerate(LABELS)),
            label2id={label: i for i, label in enumerate(LABELS)},
            **options,
        )
        torch.manual_seed(2)
        folder = tmp_path / "model"
        BertForSequenceClassification(config).save_pretrained(folder)
        BertTokenizerFast(vocab=vocabulary, model_max_length=64).save_pretrained(folder)
        if task:
            content = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps(content | {"react_ray": {"task": task}}))
        return folder

    return save


def test_several_labels_are_the_sets_of_transformers(make: Callable[..., Path], tmp_path: Path) -> None:
    folder = make(None, problem_type="multi_label_classification")
    assert check_saved(folder).name == "multi-label-classification"
    model = react_ray.load(folder)
    plain = pipeline("text-classification", str(folder), top_k=None, function_to_apply="sigmoid")
    found = model.predict(TEXTS)
    for predictions, expected in zip(found, plain(TEXTS, truncation=True), strict=True):
        kept = [entry for entry in expected if entry["score"] >= 0.5]
        assert [one.label for one in predictions] == [entry["label"] for entry in kept]
        assert [one.score for one in predictions] == pytest.approx([e["score"] for e in kept], abs=1e-5)
        assert all(isinstance(one, Prediction) for one in predictions)
    assert len({len(predictions) for predictions in found}) > 1
    record = export(folder, tmp_path / "onnx", TEXTS)
    served = OnnxClassifier(folder, tmp_path / "onnx", record, "fp32")
    assert [[one.label for one in row] for row in served.predict(TEXTS)] == [
        [one.label for one in row] for row in found
    ]


def test_pairs_are_read_with_their_token_types(make: Callable[..., Path], tmp_path: Path) -> None:
    folder = make("text-pair-classification")
    model = react_ray.load(folder)
    inputs = [{"text": one, "text_pair": other} for one, other in PAIRS]
    plain = pipeline("text-classification", str(folder))
    expected = [plain(pair, truncation="longest_first") for pair in inputs]
    assert [found.label for found in model.predict(inputs)] == [entry["label"] for entry in expected]
    assert [found.score for found in model.predict(inputs)] == pytest.approx(
        [entry["score"] for entry in expected], abs=1e-5
    )
    record = export(folder, tmp_path / "onnx", inputs)
    assert sorted(record.inputs) == ["attention_mask", "input_ids", "token_type_ids"]
    served = OnnxClassifier(folder, tmp_path / "onnx", record, "fp32")
    np.testing.assert_allclose(served.predict_proba(inputs), model.predict_proba(inputs), atol=1e-4)


def test_files_get_the_labels_of_each_text(make: Callable[..., Path], tmp_path: Path) -> None:
    folder = make(None, problem_type="multi_label_classification")
    (tmp_path / "in.csv").write_text("text,labels\n" + "".join(f"{text},own\n" for text in TEXTS))
    predict_file(str(folder), str(tmp_path / "in.csv"), tmp_path / "out.jsonl", quiet=True)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    found = react_ray.load(folder).predict(TEXTS)
    assert [row["labels"] for row in rows] == [[one.label for one in predictions] for predictions in found]
    assert {row["labels_given"] for row in rows} == {"own"}


def test_a_service_of_pairs_gets_warm_and_its_probes_leave_answers_as_they_are(
    make: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make("text-pair-classification")
    inputs = [{"text": one, "text_pair": other} for one, other in PAIRS]
    export(folder, folder / "onnx", inputs)
    for engine in (load_engine(str(folder), "fp32", 1, False), Engine(react_ray.load(folder))):
        engine.warm_up()
        (probe,) = engine.sample("ready")
        rows = few_rows(engine.task, [parse_input(engine.task, pair) for pair in inputs])
        alone = engine.run(engine.encode(rows))
        together = engine.run([probe, *engine.encode(rows)])[1:]
        np.testing.assert_allclose(np.stack(together), np.stack(alone), atol=1e-5)


def test_rows_without_types_beside_rows_with_them_are_of_the_first_type() -> None:
    task = get_task("text-pair-classification")
    inputs = task.collate([Example([1, 2]), Example([1, 2, 3], types=[0, 1, 1])], Padding(0, "right"))
    assert inputs["token_type_ids"].tolist() == [[0, 0, 0], [0, 1, 1]]


def test_an_input_alone_is_no_list_of_inputs(make: Callable[..., Path]) -> None:
    model = react_ray.load(make(None, problem_type="multi_label_classification"))
    for wrong in ("ada", {"text": "ada"}):
        with pytest.raises(InputError, match="a list"):
            model.predict(wrong)


def test_relations_get_an_onnx_file_that_agrees_beyond_the_length(make: Callable[..., Path], tmp_path: Path):
    folder = make("relation-extraction")
    inputs = ["<e1>ada</e1> likes <e2>paris</e2>", "<e1>rome</e1> and <e2>paris</e2>" + " and rome" * 60]
    record = export(folder, tmp_path / "onnx", inputs)
    model, exported = react_ray.load(folder), OnnxClassifier(folder, tmp_path / "onnx", record, "fp32")
    assert np.allclose(exported.predict_proba(inputs), model.predict_proba(inputs), atol=1e-5)


def test_top_k_and_threshold_choose_from_sets_of_labels(make: Callable[..., Path]) -> None:
    model = react_ray.load(make(None, problem_type="multi_label_classification"))
    every = model.predict(TEXTS, top_k=3)
    assert [len(row) for row in every] == [3] * len(TEXTS), "labels outside of the set too"
    assert all(
        [one.score for one in row] == sorted((one.score for one in row), reverse=True) for row in every
    )
    limit = every[0][1].score
    kept = [[one for one in row if one.score >= limit] for row in every]
    assert model.predict(TEXTS, top_k=3, threshold=limit) == kept
    assert model.predict(TEXTS, threshold=1.0) == [[]] * len(TEXTS)


def test_top_k_and_threshold_choose_from_the_labels_of_a_text(make: Callable[..., Path]) -> None:
    model = react_ray.load(make("text-classification"))
    assert model.predict(TEXTS, top_k=2) == model.rank(TEXTS, 2)
    assert [row[:1] for row in model.predict(TEXTS, threshold=0.0)] == [[one] for one in model.predict(TEXTS)]
    assert model.predict(TEXTS, threshold=1.0) == [[]] * len(TEXTS), "abstentions"
    for wrong in ({"top_k": 0}, {"threshold": 1.5}):
        with pytest.raises(InputError, match="expected a"):
            model.predict(TEXTS, **wrong)
