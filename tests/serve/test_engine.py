from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.special import softmax
from service_client import LABELS, POISON

from react_ray.config.service import ServeConfig
from react_ray.errors import InputError
from react_ray.folders import model_version
from react_ray.inference.classifier import load
from react_ray.inference.onnx_export import export, export_saved, why_not_int8
from react_ray.inference.onnx_record import Agreement, OnnxRecord
from react_ray.serve.engine.model import Engine, load_engine
from react_ray.serve.models import note_of
from react_ray.tasks.task import Example

TEXTS = ["one", "two", POISON, "four", "five", f"six {POISON}", "股市", "long " * 80, ""]


@pytest.fixture(params=["onnx", "torch"])
def folder(request: pytest.FixtureRequest, classifier_folder: Path, tmp_path: Path) -> Path:
    """The classifier with its ONNX file, and without."""
    if request.param == "onnx":
        return classifier_folder
    return Path(shutil.copytree(classifier_folder, tmp_path / "plain", ignore=shutil.ignore_patterns("onnx")))


def engine_of(folder: Path) -> Engine:
    return load_engine(str(folder), "fp32", threads=1, use_gpu=False)


def encoded(engine: Engine, texts: Sequence[str]) -> list[Example]:
    return engine.encode(pa.table({"text": list(texts)}))


def classify(engine: Engine, texts: Sequence[str]) -> list[Any]:
    """Probabilities, or an exception, of each text."""
    outcomes = engine.run(encoded(engine, texts))
    return [one if isinstance(one, Exception) else softmax(one) for one in outcomes]


def test_only_the_poisoned_texts_fail(folder: Path) -> None:
    engine = engine_of(folder)
    if engine.name.startswith("torch"):
        table = engine.model.model.get_input_embeddings()
        table.weight.data = table.weight.data[:-1]
    outcomes = classify(engine, TEXTS)
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [POISON in text for text in TEXTS]
    good = [text for text in TEXTS if POISON not in text]
    answered = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
    np.testing.assert_allclose(answered, load(folder, use_gpu=False).predict_proba(good), atol=1e-5)
    assert all(outcome.shape == (len(LABELS),) for outcome in answered)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", 0),
        (" ", 0),
        (" goal  late \n", 11),
        ("股市上涨 what?", 10),
        ("a🚀b! \u200b", 4),  # an unknown token, and a character that is none
        ("ab " * 40, 31 * 3 - 1),  # 64 tokens, of which two are the model's own
        ("股市上涨" * 30, 62),
        ("x" * 90, 62),
    ],
)
def test_what_the_model_reads_of_a_text_ends_with_its_last_token(folder: Path, text: str, read: int) -> None:
    engine = engine_of(folder)
    assert engine.reach(text) == read
    assert encoded(engine, [text[:read]]) == encoded(engine, [text])


def test_scores_that_are_not_numbers_are_failures(classifier_folder: Path) -> None:
    classifier = load(classifier_folder)
    with torch.no_grad():
        classifier.model.classifier.bias[0] = float("nan")
    engine = Engine(classifier)
    assert isinstance(classify(engine, ["a"])[0], ArithmeticError)
    with pytest.raises(ArithmeticError):
        engine.warm_up()


def test_onnx_runtime_serves_what_was_exported_and_not_changed_since(
    classifier_folder: Path, tmp_path: Path
) -> None:
    def runs_on(folder: Path) -> str:
        return load_engine(str(folder), "fp32", threads=1, use_gpu=False).name

    assert runs_on(classifier_folder) == "ONNX Runtime, fp32"
    trained_on = Path(shutil.copytree(classifier_folder, tmp_path / "model"))
    model = load(trained_on).model
    with torch.no_grad():
        model.classifier.bias[0] += 1
    model.save_pretrained(trained_on)
    assert runs_on(trained_on) == "torch, fp32"


def reversed_labels(onnx: Path) -> None:
    record = json.loads((onnx / "export.json").read_text())
    record["labels"].reverse()
    (onnx / "export.json").write_text(json.dumps(record))


def longer_texts(onnx: Path) -> None:
    record = json.loads((onnx / "export.json").read_text()) | {"max_length": 2_000_000_000}
    (onnx / "export.json").write_text(json.dumps(record))


def another_weight(onnx: Path) -> None:
    import onnx as library
    from onnx import numpy_helper

    model = library.load(onnx / "model.fp32.onnx")
    weight = max(model.graph.initializer, key=lambda it: len(it.raw_data))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + 1, weight.name))
    library.save(model, onnx / "model.fp32.onnx")


def cut_off(onnx: Path) -> None:
    file = onnx / "model.fp32.onnx"
    file.write_bytes(file.read_bytes()[:5000])


def no_json(onnx: Path) -> None:
    (onnx / "export.json").write_text("{")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (reversed_labels, "export.json .*was changed after the export"),
        (longer_texts, "export.json .*was changed after the export"),
        (no_json, "export.json is damaged"),
        (another_weight, "model.fp32.onnx is not the file that was exported"),
        (cut_off, "model.fp32.onnx is not the file that was exported"),
        (lambda onnx: (onnx / "model.fp32.onnx").unlink(), "has no ONNX file in fp32"),
        (shutil.rmtree, "has no ONNX file"),
    ],
)
def test_onnx_files_that_are_not_those_exported_are_not_served_and_it_is_said(
    change: Callable[[Path], object], said: str, classifier_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(classifier_folder, tmp_path / "model"))
    before = model_version(folder)
    change(folder / "onnx")
    assert model_version(folder) != before
    assert re.search(f"note: .*{said}.*: torch serves it", note_of(folder, ServeConfig()) or "")
    engine = engine_of(folder)
    assert engine.name == "torch, fp32"
    expected = load(folder, use_gpu=False).predict_proba(["goal"])
    np.testing.assert_allclose(np.array(classify(engine, ["goal"])), expected, atol=1e-6)


def test_nothing_is_said_of_a_model_that_onnx_runtime_serves(classifier_folder: Path) -> None:
    assert note_of(classifier_folder, ServeConfig()) is None


def test_exported_models_are_served_without_torch(classifier_folder: Path) -> None:
    code = """
import sys
from react_ray.serve.engine.model import load_engine
engine = load_engine(sys.argv[1], "fp32", 1, False)
engine.warm_up()
assert not {"torch", "transformers"} & set(sys.modules), "seconds of a start"
"""
    subprocess.run([sys.executable, "-c", code, str(classifier_folder)], check=True)


def test_int8_is_served_when_asked_for_and_kept(classifier_folder: Path, tmp_path: Path) -> None:
    engine = load_engine(str(classifier_folder), "int8", threads=3, use_gpu=False)
    assert (engine.name, engine.lanes) == ("ONNX Runtime, int8", 3)
    texts = ["goal in the last minute", "股市上涨", "what?"]
    expected = load(classifier_folder).predict_proba(texts)
    difference = np.abs(np.array(classify(engine, texts)) - expected)
    assert 0 < difference.max() < 0.3
    plain = shutil.copytree(classifier_folder, tmp_path / "plain", ignore=shutil.ignore_patterns("onnx"))
    with pytest.raises(InputError, match="no ONNX file in int8"):
        load_engine(str(plain), "int8", threads=1, use_gpu=False)


def test_int8_that_changes_labels_is_not_kept(
    classifier_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("react_ray.inference.onnx_export.MEAN", 0.0)
    record = export(classifier_folder, tmp_path / "onnx", ["goal", "股市"])
    assert list(record.precisions) == ["fp32"]
    assert sorted(path.name for path in (tmp_path / "onnx").iterdir()) == ["export.json", "model.fp32.onnx"]


def test_int8_that_is_not_faster_is_not_kept(
    classifier_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(classifier_folder, tmp_path / "model"))
    (tmp_path / "texts.csv").write_text("text\ngoal in the last minute\n股市上涨\nwhat?\n")

    def said(speed: float) -> tuple[str, OnnxRecord | None]:
        monkeypatch.setattr("react_ray.inference.onnx_export.speed_ratio", lambda *_: speed)
        text = export_saved(str(folder), str(tmp_path / "texts.csv"))
        return text, OnnxRecord.load(folder / "onnx")

    text, record = said(1.02)
    assert "int8: not kept, it is 1.02 times as fast as fp32" in text
    assert record is not None
    assert (list(record.precisions), record.int8_speed) == (["fp32"], 1.02)
    assert not (folder / "onnx" / "model.int8.onnx").exists()
    text, record = said(1.87)
    assert "int8: 1.87 times as fast as fp32" in text
    assert record is not None
    assert (list(record.precisions), record.int8_speed, record.int8_refused) == (["fp32", "int8"], 1.87, None)


@pytest.mark.parametrize(
    ("same_label", "mean", "speed", "says"),
    [
        (0.98, 0.02, 1.1, None),
        (1.0, 0.0, 2.5, None),
        (0.97, 0.02, 2.5, "changes 3.0% of the answers"),
        (1.0, 0.03, 2.5, "off by 0.03 on average"),
        (1.0, float("nan"), 2.5, "off by nan on average"),
        (1.0, 0.0, 1.09, "1.09 times as fast as fp32"),
        (1.0, 0.0, 0.5, "0.50 times as fast as fp32"),
    ],
)
def test_int8_must_keep_the_labels_and_be_faster(
    same_label: float, mean: float, speed: float, says: str | None
) -> None:
    reason = why_not_int8(Agreement(mean, mean, same_label), speed)
    assert says in reason if says and reason else reason is says


def test_an_export_that_says_something_else_is_an_error_and_leaves_nothing(
    classifier_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("react_ray.inference.onnx_export.LARGEST", 0.0)
    with pytest.raises(InputError, match="off by"):
        export(classifier_folder, tmp_path / "onnx", ["goal"])
    assert list(tmp_path.iterdir()) == []


def test_the_record_says_what_was_compared(classifier_folder: Path) -> None:
    record = json.loads((classifier_folder / "onnx" / "export.json").read_text())
    assert record["labels"] == LABELS
    assert record["checked"] > 3
    assert record["precisions"]["fp32"]["largest_difference"] < 1e-5


def test_torch_uses_the_threads_it_is_given(classifier_folder: Path, tmp_path: Path) -> None:
    plain = shutil.copytree(classifier_folder, tmp_path / "plain", ignore=shutil.ignore_patterns("onnx"))
    before = torch.get_num_threads()
    try:
        load_engine(str(plain), "fp32", threads=3, use_gpu=False)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
