"""Chinese: refused by a model that cannot read it, done by one that can."""

from __future__ import annotations

import json
import random
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
