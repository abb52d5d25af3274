"""Small files with the traits of those that once went wrong, through the commands that people give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from react_ray.cli import main
from react_ray.config import Columns
from react_ray.data.read import read_file
from react_ray.data.sources import find_files

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


def predict(model: Path, given: Path, output: str) -> Path:
    target = given.parent / output
    assert main(["predict", str(model), "--input", str(given), "--output", str(target), "--quiet"]) == 0
    left = {path.name for path in given.parent.iterdir()} - {given.name, output, f"{output}.refused.jsonl"}
    assert left == set(), "nothing else is left"
    return target


def read(path: Path) -> tuple[list[tuple[str, str | None]], list[dict[str, Any]]]:
    batches = list(read_file(find_files(str(path))[0], Columns()))
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
        target = predict(model, tmp_path / "trail.csv", output)
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
        target = predict(model, tmp_path / "in.jsonl", output)
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
    made = predict(model, tmp_path / "in.jsonl", "out.jsonl").read_text().splitlines()
    assert [line.rpartition(', "label": ')[0] + "}" for line in made] == lines
    assert sum(map(len, made)) < 2 * sum(map(len, lines))
