"""The ONNX export of models that answer questions, compared with torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import react_ray
from react_ray.inference.onnx_classifier import OnnxClassifier
from react_ray.inference.onnx_export import export
from react_ray.models.pretrained import load_tokenizer
from react_ray.tasks import get_task

TASK = get_task("question-answering")
WORDS = ["ada", "bob", "met", "in", "rome", "london", "1843", "who", "where", "when", "did", "?", "."]
INPUTS = [
    {"context": "ada met bob in rome .", "question": "who met bob ?"},
    {"context": "ada met bob in london . " * 40 + "the 1843 .", "question": "when ?"},
    {"context": "bob", "question": "where did bob met ada in 1843 ?"},
]


@pytest.fixture(scope="module")
def model(make_tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answers")
    base = make_tiny_model(folder / "base", WORDS)
    torch.manual_seed(0)
    model = TASK.load_model(str(base), [])
    torch.nn.init.normal_(model.qa_outputs.weight)
    model.config.react_ray = {"task": TASK.name, "answers": {"temperature": 2.0, "no_answer": 0.5}}
    model.save_pretrained(folder / "model")
    load_tokenizer(str(base)).save_pretrained(folder / "model")
    return folder / "model"


def test_an_exported_model_gives_the_answers_of_torch_in_long_contexts_too(model, tmp_path):
    record = export(model, tmp_path / "onnx", INPUTS)
    assert record.checked > len(INPUTS), "short, empty and foreign texts too"
    assert record.precisions["fp32"].same_label == 1
    assert record.precisions["fp32"].largest_difference < 1e-4
    served = OnnxClassifier(model, tmp_path / "onnx", record, "fp32")
    expected = react_ray.load(model, use_gpu=False).predict(INPUTS)
    for answers, others in zip(served.predict(INPUTS), expected, strict=True):
        assert [(one.answer, one.start, one.end) for one in answers] == [
            (one.answer, one.start, one.end) for one in others
        ]
        assert [one.score for one in answers] == pytest.approx([one.score for one in others], abs=1e-4)
    assert len({answers[0].answer for answers in expected}) > 1


def test_a_model_without_rows_to_check_on_is_exported_with_made_up_questions(model, tmp_path):
    record = export(model, tmp_path / "onnx", [])
    assert record.checked > 0
