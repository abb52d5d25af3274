"""Inputs that went wrong for users once, one small case each: what is right, and stays so."""

from __future__ import annotations

import io
import json
import os
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    PreTrainedTokenizerFast,
)

from react_ray.classifier import load
from react_ray.cli import main
from react_ray.cluster.local import private_folder
from react_ray.publish import summarise


def save_classifier(tiny_model: Path, folder: Path) -> Path:
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_pretrained(tiny_model, num_labels=3)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    return folder


def change_config(folder: Path, **values: object) -> None:
    content = json.loads((folder / "config.json").read_text()) | values
    (folder / "config.json").write_text(json.dumps(content))


def save_decoder(folder: Path) -> Path:
    """A GPT-2 classifier whose tokenizer adds no token of its own: an empty text has none."""
    tokenizer = Tokenizer(models.BPE({"</s>": 0, "<s>": 1, **{c: 2 + n for n, c in enumerate("abcdeĠ")}}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", model_max_length=32
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    size = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32, "initializer_range": 0.5}
    GPT2ForSequenceClassification(GPT2Config(vocab_size=len(fast), num_labels=3, **size)).save_pretrained(
        folder
    )
    return folder


def predict(folder: Path, tmp_path: Path) -> int:
    (tmp_path / "texts.csv").write_text("text\nthe market rose\na late goal\n")
    return main(
        [
            "predict",
            str(folder),
            "--input",
            str(tmp_path / "texts.csv"),
            "--output",
            str(tmp_path / "out.csv"),
        ]
    )


def test_model_without_tokenizer(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_classifier(tiny_model, tmp_path / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    assert predict(folder, tmp_path) == 2
    assert f"error: {folder}: there is no tokenizer" in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("kind", ["pointer", "cut off"])
def test_weights_not_fetched(
    kind: str, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_classifier(tiny_model, tmp_path / "model")
    weights = folder / "model.safetensors"
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00ff\nsize 99\n"
    weights.write_bytes(pointer if kind == "pointer" else weights.read_bytes()[:10_000])
    assert predict(folder, tmp_path) == 2
    assert f"error: {folder}: model.safetensors " in capsys.readouterr().err


@pytest.mark.parametrize("numbers", [(1, 2, 3), (0, 1, 10)])
def test_id2label_from_1(
    numbers: tuple[int, ...], tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_classifier(tiny_model, tmp_path / "model")
    change_config(folder, id2label=dict(zip(numbers, "abc", strict=True)))
    assert predict(folder, tmp_path) == 2
    assert "id2label in config.json does not name outputs 0 to 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    "values", [{"problem_type": "multi_label_classification"}, {"id2label": {"0": "LABEL_0"}}]
)
def test_multi_label_and_regression_heads(
    values: dict[str, object], tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_classifier(tiny_model, tmp_path / "model")
    change_config(folder, **values)
    assert predict(folder, tmp_path) == 2
    assert "is no classifier that gives each text one of several labels" in capsys.readouterr().err


def test_decoder_empty_text(tmp_path: Path) -> None:
    from react_ray.onnx_export import export
    from react_ray.serve.engine.model import load_engine

    folder = save_decoder(tmp_path / "model")
    texts = ["", " ", "a bad cab", "\u200b", "dd e"]
    classifier = load(folder, use_gpu=False)
    together = classifier.predict_proba(texts)
    assert np.isfinite(together).all()
    for text, row in zip(texts, together, strict=True):
        np.testing.assert_allclose(classifier.predict_proba([text])[0], row, atol=1e-6)
    np.testing.assert_array_equal(together[0], classifier.predict_proba(["", "a" * 40])[0])
    export(folder, folder / "onnx", [])
    engine = load_engine(str(folder), "fp32", threads=1, use_gpu=False)
    assert engine.name == "ONNX Runtime, fp32"
    np.testing.assert_allclose(np.array(engine.classify(engine.encode(texts))), together, atol=1e-5)


def test_output_not_utf8(tiny_chinese_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chinese class names on a terminal that knows ASCII only."""
    monkeypatch.chdir(tmp_path)
    Path("labels.csv").write_text("text,label\n比赛 球队,体育\n股市 银行,财经\n", encoding="utf-8")
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    words = ["--labeled", "labels.csv", "--model", str(tiny_chinese_model), "data.max_unknown=1"]
    assert main(["check", *words]) == 0
    assert rb"\u8d22\u7ecf: 1 labelled" in written.getvalue()


def test_hints_not_quoted() -> None:
    """The folder of a run with spaces and a # in its name."""
    folder = Path("/data/aus gabe #1")
    metrics = {"test": None, "validation": None, "arms": {}, "chosen": "lgan", "why": "", "unused": 0}
    told = summarise(folder, {**metrics, "refused": {}, "warnings": []})
    for name in ("serve", "clean"):
        hint = next(line for line in told.splitlines() if f"react-ray {name}" in line)
        assert shlex.split(hint.partition("(")[2].rstrip(")")) == ["react-ray", name, str(folder)]


@pytest.mark.parametrize("space", ["{finetune.lr: {min: 1e-4, max: 2e-4}}", "{finetune: {lr: [1e-4, 2e-4]}}"])
def test_tune_space_min_max(
    space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A space in the words of other libraries, or nested as the rest of the file is."""
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(f"data: {{labeled: a.csv}}\ntune: {{space: {space}}}\n", encoding="utf-8")
    assert main(["tune", "c.yaml"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "tune.space.finetune" in error
    assert "finetune.lr: {low: 1e-4, high: 2e-4}" in error


@pytest.fixture
def served_model(tiny_model: Path, tmp_path: Path) -> Path:
    """A classifier with two labels."""
    folder = tmp_path / "model"
    folder.mkdir()
    for file in tiny_model.glob("*token*"):
        (folder / file.name).write_bytes(file.read_bytes())
    torch.manual_seed(0)
    config = BertConfig.from_pretrained(tiny_model, num_labels=2)
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def serve(*words: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "react_ray.cli", "serve", *words]
    told = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**told, **environment}
    )


@pytest.mark.ray
def test_serve_ipv6(served_model: Path) -> None:
    from socket import AF_INET6, socket

    with socket(AF_INET6) as probe:
        probe.bind(("::1", 0))
        port = probe.getsockname()[1]
    with serve(str(served_model), "--host", "::1", "--port", str(port), TMPDIR="/tmp/" + 70 * "x") as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(f"Ready: http://[::1]:{port}")
            request = urllib.request.Request(
                f"http://[::1]:{port}/predict", b'{"inputs": "a"}', {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=20) as answer:
                assert len(json.load(answer)) == 2
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_tmpdir_too_long(
    served_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    long = tmp_path / (70 * "x")
    long.mkdir()
    with serve(str(served_model), RAY_TMPDIR=str(long)) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    (line,) = said.splitlines()
    assert line.startswith(f"error: no folder for Ray's sockets (RAY_TMPDIR={long}: too long")
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(long))
    folder = private_folder()  # another one is taken: test_serve_ipv6 serves like this
    assert len(str(folder)) < 40
    folder.rmdir()
