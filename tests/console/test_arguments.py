"""Mistakes on the command line, and what only looks like one."""

from __future__ import annotations

from pathlib import Path

import pytest

from react_ray.cli import main


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([*words]) != 0
    return capsys.readouterr().err


def test_a_value_may_be_called_like_an_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = said(capsys, "run", "--labeled", "arguments", "--output", "preset")
    assert "needs a value" not in text
    assert "needs a value" in said(capsys, "run", "--labeled", "--output", "out")


@pytest.mark.parametrize(
    "name", ["train.csv", "in.d/TRAIN.tsv", "train.jsonl.gz", "s3://bucket/train.parquet"]
)
def test_data_in_place_of_a_configuration_is_named(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "pass data with --labeled" in said(capsys, "run", name)


@pytest.mark.parametrize("name", ["news.csv.yaml", "news.txt.d/run.yml", "for.json/settings"])
def test_a_configuration_may_have_the_name_of_data_in_its_own(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "pass data with" not in said(capsys, "run", name)
