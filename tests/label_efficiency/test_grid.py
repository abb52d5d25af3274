"""The grid of the benchmark of label efficiency: what is run, kept, told and tabled."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from benchmarks.label_efficiency import execution, tables
from benchmarks.label_efficiency.cells import Cell, Results
from benchmarks.label_efficiency.methods import Method, label_gan
from react_ray.config.settings import LganConfig

CHEAP = ("majority", "tfidf", "names", "probe", "self_training", "seeded_self_training", "ceiling")


def records(folder: Path) -> list[dict[str, Any]]:
    return Results(folder / "results").records()


def test_the_grid_is_run_and_tabled(command: Callable[..., int], tmp_path: Path) -> None:
    grid = ["--labels-per-class", 0, 2, "--draws", 2, "--methods", *CHEAP]
    assert command("--datasets", "topics", "themes", *grid) == 0
    found = records(tmp_path)
    counted = Counter((r["dataset"], r["labels_per_class"], r["method"]) for r in found)
    few = dict.fromkeys([(2, name) for name in CHEAP if name != "ceiling"], 2)
    none = {(0, "names"): 2, (0, "seeded_self_training"): 2}
    for dataset in ("topics", "themes"):
        own = {key[1:]: count for key, count in counted.items() if key[0] == dataset}
        assert own == few | none | {("all", "ceiling"): 1}
    assert {r["rows"]["test"] for r in found} == {60}
    assert {r["rows"]["labeled"] for r in found if r["labels_per_class"] == 2} == {6}
    assert {r["encoder"] for r in found} == {"tiny"}  # no place of this machine
    assert all(0 <= r["macro_f1"] <= 1 and r["version"] for r in found)


def test_what_is_kept_is_not_run_again(
    command: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = ["--datasets", "topics", "--labels-per-class", 1, "--draws", 1, "--methods"]
    assert command(*grid, "majority", "probe") == 0
    file = tmp_path / "results" / "topics.jsonl"
    before = file.read_text()
    assert command(*grid, "majority", "probe") == 0
    assert file.read_text() == before
    assert "2 cells, 2 of them kept" in capsys.readouterr().out
    file.write_text(before + '{"dataset": "topics", "labels')  # killed while writing
    assert command(*grid, "majority", "probe", "names") == 0
    assert file.read_text().startswith(before)
    assert [r["method"] for r in records(tmp_path)] == ["majority", "probe", "names"]


def test_a_cell_that_fails_is_told_and_the_others_go_on(
    command: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(draw: Any) -> Any:
        raise ArithmeticError(f"nothing for {draw.dataset}")

    monkeypatch.setitem(execution.run_cell.__globals__["METHODS"], "probe", Method(broken))
    grid = ["--datasets", "topics", "nowhere", "--labels-per-class", 1, "--draws", 1]
    assert command(*grid, "--methods", "probe", "majority") == 1
    assert [r["method"] for r in records(tmp_path)] == ["majority"]
    told = capsys.readouterr()
    assert "skipped: nowhere" in told.out
    assert "ArithmeticError: nothing for topics" in told.err
    assert "topics, 1 a class, draw 0, probe" in told.err


def test_the_table_has_the_numbers_of_the_records(command: Callable[..., int], tmp_path: Path) -> None:
    grid = ["--labels-per-class", 1, "--draws", 3, "--methods", "probe", "tfidf", "ceiling"]
    assert command("--datasets", "topics", "themes", *grid) == 0
    table = (tmp_path / "results" / "TABLE.md").read_text()
    [line] = [line for line in table.splitlines() if line.startswith("| probe | 3 |")]
    shown = [float(number) for number in re.findall(r"\d+\.\d", line)]
    expected = []
    for dataset in ("themes", "topics"):
        own = [r["macro_f1"] for r in records(tmp_path) if (r["dataset"], r["method"]) == (dataset, "probe")]
        expected += [100 * fmean(own), 100 * float(np.std(own))]
    expected.append((expected[0] + expected[2]) / 2)
    assert shown == pytest.approx(expected, abs=0.051)
    [picture] = re.findall(r"\((curves-.*\.svg)\)", table)
    assert (tmp_path / "results" / picture).read_text().count("<path") > 4
    (tmp_path / "results" / "TABLE.md").unlink()
    assert command("--table-only") == 0
    assert (tmp_path / "results" / "TABLE.md").read_text() == table


def test_ours_is_compared_with_itself_without_a_part(
    command: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = {"pretrain_steps": 5, "steps": 10, "batch_size": 16}
    monkeypatch.setattr(label_gan, "LganConfig", lambda **changes: LganConfig(**{**quick, **changes}))
    methods = ["--methods", "probe", "ours", "ours-no_names", "ours-no_copies"]
    grid = ["--datasets", "topics", "--labels-per-class", 0, 2, "--draws", 1, *methods]
    assert command(*grid) == 0
    found = {(r["method"], r["labels_per_class"]): r for r in records(tmp_path)}
    assert ("ours-no_names", 0) not in found
    details = found["ours", 2]["details"]
    assert details["used"] == "label_generator"
    assert set(details["made"]) >= {"accuracy", "auroc_weight", "auroc_score", "ece_weight"}
    assert set(details["signals"]["auroc"]) == {"confidence", "margin", "neighbours", "D", "weight"}
    assert found["ours-no_names", 2]["details"]["views"]["sentence"]["names_weight"] == 0
    table = (tmp_path / "results" / "TABLE.md").read_text()
    lead = 100 * (found["ours", 2]["macro_f1"] - found["ours-no_copies", 2]["macro_f1"])
    assert f"| 2 | no_copies | 1 | {lead:+.1f} |" in table
    assert "### The labels made for the pool" in table


def test_setups_are_not_mixed(tmp_path: Path) -> None:
    cell = Cell("topics", 5, 0, "ours", "tiny", 60, None)
    rest = {"macro_f1": 0.5, "accuracy": 0.5, "seconds": 1.0, "rows": {}, "details": {}, "version": "0"}
    small, large = (replace(cell, method="probe", pool=pool) for pool in (30, 60))
    lines = [vars(one) | rest | {"macro_f1": f1} for one, f1 in ((cell, 0.5), (small, 0.9), (large, 0.4))]
    text = tables.write_tables(json.loads(json.dumps(lines)), tmp_path)
    assert text is not None
    assert re.findall(r"^\| 5 \| probe \|.*$", text.read_text(), re.M) == [
        "| 5 | probe | 1 | +10.0 | +10.0 to +10.0 | 1 | too few pairs |"
    ]


def test_encoders_are_tabled_beside_each_other(
    command: Callable[..., int],
    encoder: Path,
    words: list[str],
    make_tiny_model: Callable[..., Path],
    tmp_path: Path,
) -> None:
    other = make_tiny_model(tmp_path / "other", words, seed=1)
    grid = ["--datasets", "topics", "--labels-per-class", 5, "--draws", 1, "--methods", "probe", "teacher"]
    assert command(*grid, "--encoder", encoder, other) == 0
    table = (tmp_path / "results" / "TABLE.md").read_text(encoding="utf-8")
    section = table.split("## Encoders")[1].split("\n## ")[0]
    for method in ("probe", "teacher"):
        for name in (encoder.name, other.name):
            assert re.search(rf"\| {method} \| {name} \| \d+\.\d \|", section)
