"""Inputs that went wrong for users once, one small case each: what is right, and stays so."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
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

from react_ray.cli import main
from react_ray.cluster.local import private_folder
from react_ray.config.settings import Columns
from react_ray.data.read import read_file
from react_ray.data.sources import find_files
from react_ray.inference.classifier import load
from react_ray.pipeline.publish import summarise
from react_ray.tasks import get_task


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


@pytest.mark.parametrize("values", [{"problem_type": "regression"}, {"id2label": {"0": "LABEL_0"}}])
def test_regression_heads(
    values: dict[str, object], tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_classifier(tiny_model, tmp_path / "model")
    change_config(folder, **values)
    assert predict(folder, tmp_path) == 2
    assert "this is not a text classifier: " in capsys.readouterr().err


def test_decoder_empty_text(tmp_path: Path) -> None:
    from react_ray.inference.onnx_export import export
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
    np.testing.assert_allclose(engine.model.predict_proba(texts), together, atol=1e-5)


TOPICS = {"Sports": "goal team win", "Business": "shares bank fell", "Science": "fires rocket study"}


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that was not trained: which label it gives does not matter here."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tmp_path_factory.mktemp("model")
    classifier = AutoModelForSequenceClassification.from_pretrained(
        tiny_model, num_labels=2, id2label={0: "x", 1: "y"}, label2id={"x": 0, "y": 1}
    )
    classifier.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    return folder


def predict_reading(model: Path, given: Path, output: str) -> Path:
    target = given.parent / output
    assert main(["predict", str(model), "--input", str(given), "--output", str(target), "--quiet"]) == 0
    left = {path.name for path in given.parent.iterdir()} - {given.name, output, f"{output}.refused.jsonl"}
    assert left == set(), "nothing else is left"
    return target


def read(path: Path) -> tuple[list[tuple[str, str | None]], list[dict[str, Any]]]:
    batches = list(read_file(find_files(str(path))[0], Columns(), task=get_task("text-classification")))
    rows = [(row["text"], row["label"]) for batch in batches for row in batch.rows.to_pylist()]
    return rows, [row for batch in batches for row in batch.refused]


def test_tsv_stray_quotes(tmp_path: Path) -> None:
    rows = [(f'{"" if n else chr(34)}{words} {n}{"" if n < 3 else chr(34)}', label)
            for label, words in TOPICS.items() for n in range(4)]  # fmt: skip
    for name, separator in (("a.tsv", "\t"), ("a.csv", ",")):
        lines = [separator.join(row) for row in [("text", "label"), *rows]]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
        found, refused = read(tmp_path / name)
        assert len(found) + len(refused) == 12
        assert {label for _, label in found} == set(TOPICS)
        assert len(refused) == (0 if name == "a.tsv" else 3)


def test_csv_semicolon(tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_model: Path) -> None:
    rows = [(f"{words} {n}, more", label) for label, words in TOPICS.items() for n in range(3)]
    lines = [";".join(row) for row in [("text", "label"), *rows]]
    (tmp_path / "semi.csv").write_text("\r\n".join(["sep=;", *lines]))
    command = ["check", "--labeled", str(tmp_path / "semi.csv"), "--output", str(tmp_path / "out"), "--quiet"]
    assert main([*command, "--model", str(tiny_model), "data.max_unknown=1"]) == 0
    told = capsys.readouterr().out
    assert "9 labeled" in told
    assert "separated by semicolons" in told


def test_predict_unnamed_columns(model: Path, tmp_path: Path) -> None:
    (tmp_path / "trail.csv").write_text(",text,label,,\n0,goal,a,,\n1,rain,b,,\n2,tax,c\n")
    for output in ("out.csv", "out.jsonl", "out.parquet"):
        target = predict_reading(model, tmp_path / "trail.csv", output)
        read = {".csv": pd.read_csv, ".parquet": pd.read_parquet}.get(target.suffix)
        made = read(target) if read else pd.read_json(target, lines=True)
        assert made["text"].tolist() == ["goal", "rain", "tax"]
        assert made["label_given"].tolist() == ["a", "b", "c"]
        assert set(made["label"]) <= {"x", "y"}
        target.unlink()


def test_predict_jsonl_empty_object(model: Path, tmp_path: Path) -> None:
    metas = [{}, {}, {"a": 2}, [{}], {"spans": [], "meta": {}}, None]
    lines = [json.dumps({"text": "goal", "meta": meta}) for meta in metas]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    for output in ("out.jsonl", "out.csv", "out.parquet"):
        target = predict_reading(model, tmp_path / "in.jsonl", output)
        if output == "out.jsonl":
            assert [json.loads(line)["meta"] for line in target.open()] == metas
        elif output == "out.csv":
            made = pd.read_csv(target, keep_default_na=False)["meta"].tolist()
            assert made == ["" if meta is None else json.dumps(meta) for meta in metas]
        else:
            assert pd.read_parquet(target)["meta"].tolist()[:3] == ["{}", "{}", '{"a": 2}']
        target.unlink()


def test_predict_jsonl_own_keys(model: Path, tmp_path: Path) -> None:
    lines = [f'{{"text": "goal", "n": {n}, "meta": {{"user_{n}":{n}.0}}}}' for n in range(200)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    made = predict_reading(model, tmp_path / "in.jsonl", "out.jsonl").read_text().splitlines()
    assert [line.rpartition(', "label": ')[0] + "}" for line in made] == lines
    assert sum(map(len, made)) < 2 * sum(map(len, lines))


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
    metrics = {"test": None, "validation": None, "headline": "macro_f1", "arms": {}, "chosen": "", "why": ""}
    told = summarise(folder, {**metrics, "unused": 0, "refused": {}, "warnings": [], "cut": {"texts": 0.0}})
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


def _ask(method: str, path: str, body: Any = None) -> Any:
    """The answer of the service of a model that computes nothing."""
    import httpx2
    import numpy as np

    from react_ray.config.service import ServeConfig
    from react_ray.inference.saved import SavedModel
    from react_ray.models.tokenizer import TextTokenizer
    from react_ray.serve.engine.about import About
    from react_ray.serve.engine.model import Engine
    from react_ray.serve.service import Service
    from react_ray.serve.web import build_app
    from react_ray.tasks import get_task
    from react_ray.tasks.task import Padding

    class Texts(TextTokenizer):
        def ids(self, texts: Any) -> list[list[int]]:
            return [[1]] * len(texts)

        def _backend(self) -> Any:
            raise AssertionError("the ids are all a classifier needs")

    class Model(SavedModel):
        def run(self, examples: Any) -> Any:
            return [np.zeros(2, np.float32)] * len(examples)

    async def scrape() -> bytes:
        return b""

    async def asked() -> Any:
        model = Model(get_task("text-classification"), ("a", "b"), {}, Texts(8, "right"), Padding(0, "right"))
        engine = Engine(model)
        app = build_app(Service(engine, ServeConfig(), About("1", None, "none")), scrape)
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1:8000"
        ) as http:
            return await http.request(method, path, json=body)

    return asyncio.run(asked())


TENSOR = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a text"]}


def test_head_on_probes() -> None:
    for path in ("/healthz", "/readyz", "/"):
        answer = _ask("HEAD", path)
        assert (answer.status_code, answer.content) == (200, b"")


def test_v2_kserve_client_body() -> None:
    body = {"id": "7", "model_name": "classifier", "inputs": [TENSOR]}
    assert _ask("POST", "/v2/models/classifier/infer", body).status_code == 200
    other = _ask("POST", "/v2/models/classifier/infer", {**body, "model_name": "bert"})
    assert (other.status_code, "is not here" in other.json()["error"]) == (404, True)


def test_v2_version_in_path() -> None:
    for version, status in (("1", 200), ("2", 404)):
        path = f"/v2/models/classifier/versions/{version}"
        answers = [_ask("GET", path), _ask("GET", f"{path}/ready")]
        answers.append(_ask("POST", f"{path}/infer", {"inputs": [TENSOR]}))
        assert [answer.status_code for answer in answers] == [status] * 3
        assert status == 200 or all(
            json.loads(one.text)["error"].startswith("version '2'") for one in answers
        )


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
