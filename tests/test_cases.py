"""Small inputs with the traits of what once failed, walked as a user would."""

from __future__ import annotations

import io
import shlex
import sys
from pathlib import Path

import pytest

from react_ray.cli import main
from react_ray.publish import summarise


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
