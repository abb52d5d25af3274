"""What commands say of, and do with, a pile that is more than is used or than fits into memory."""

from __future__ import annotations

import json
import shlex
import tracemalloc
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from react_ray.cli import main
from react_ray.config.settings import Config
from react_ray.pipeline.predict import CutTask, LabelTask
from react_ray.pipeline.publish import summarise


@pytest.fixture(scope="module")
def classifier(word_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(word_model, num_labels=2)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(word_model).save_pretrained(folder)
    return folder


def write_pile(folder: Path, rows: int) -> list[str]:
    """Three files of ``rows`` rows each; the keys of all rows in order."""
    folder.mkdir()
    keys = [[f"{file}-{n}" for n in range(rows)] for file in range(3)]
    for file, ending in enumerate(("csv", "jsonl", "parquet")):
        table = pd.DataFrame({"key": keys[file], "text": [f"goal {n}" for n in range(rows)]})
        path = folder / f"{file}.{ending}"
        if ending == "csv":
            table.to_csv(path, index=False)
        elif ending == "jsonl":
            table.to_json(path, orient="records", lines=True)
        else:
            table.to_parquet(path, index=False)
    return [key for some in keys for key in some]


def predict(model: Path, pile: Path, output: Path) -> int:
    return main(["predict", str(model), "--input", str(pile), "--output", str(output), "--quiet"])


def test_files_of_all_kinds_come_out_in_order(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("react_ray.pipeline.predict.PART_ROWS", 7)
    monkeypatch.setattr("react_ray.data.tables.GROUP_BYTES", 500)
    keys = write_pile(tmp_path / "pile", 40)
    assert predict(classifier, tmp_path / "pile", tmp_path / "out.parquet") == 0
    made = pd.read_parquet(tmp_path / "out.parquet")
    assert made["key"].tolist() == keys
    assert made["label"].notna().all()


def test_a_killed_call_goes_on_with_what_is_missing(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("react_ray.pipeline.predict.PART_ROWS", 10)
    keys = write_pile(tmp_path / "pile", 20)
    done: list[str] = []
    limit = {"steps": 0}

    def watched(task: type, name: str) -> None:
        make = task.__call__

        def called(self: Any) -> Any:
            work = make(self)

            def watched_work(item: dict[str, Any]) -> int:
                if len(done) == limit["steps"]:
                    raise KeyboardInterrupt
                done.append(name)
                return work(item)

            return watched_work

        monkeypatch.setattr(task, "__call__", called)

    watched(CutTask, "cut")
    watched(LabelTask, "label")
    for steps in (1, 5, 100):  # killed in the second of three files, then in the third of six parts
        limit["steps"] = steps
        try:
            predict(classifier, tmp_path / "pile", tmp_path / "out.csv")
        except KeyboardInterrupt:
            continue
    assert done == ["cut"] * 3 + ["label"] * 6, "nothing is done twice"
    assert pd.read_csv(tmp_path / "out.csv")["key"].tolist() == keys
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "pile"]


def traced_peak(classifier: Path, pile: Path) -> int:
    tracemalloc.start()
    predict(classifier, pile, pile.parent / "out.jsonl")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_of_predict_does_not_grow_with_the_pile(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's and numpy's; the least of two calls, because threads of other tests allocate too."""
    monkeypatch.setattr("react_ray.pipeline.predict.PART_ROWS", 50)
    monkeypatch.setattr("react_ray.data.lines.CHUNK_BYTES", 1000)
    monkeypatch.setattr("react_ray.data.parquet_rows.BATCH_ROWS", 50)
    monkeypatch.setattr("react_ray.data.read.BATCH_ROWS", 50)
    peaks = {}
    for rows in (100, 800):
        write_pile(tmp_path / f"{rows}", rows)
        predict(classifier, tmp_path / f"{rows}", tmp_path / "warm.jsonl")
        peaks[rows] = min(traced_peak(classifier, tmp_path / f"{rows}") for _ in range(2))
    assert peaks[800] - peaks[100] < 60 * 3 * 700, peaks


def test_the_end_of_a_run_gives_the_command_that_labels_the_rest(classifier: Path, tmp_path: Path) -> None:
    write_pile(tmp_path / "my pile", 5)
    output = tmp_path / "out"
    output.mkdir()
    data = {"labeled": "l.csv", "unlabeled": str(tmp_path / "my pile/*.csv"), "columns": {"text": "key"}}
    Config(data=data, output=str(output)).save(output / "config.yaml")
    (output / "model").symlink_to(classifier)
    metrics: dict[str, Any] = dict.fromkeys(("test", "validation", "refused"))
    metrics |= {
        "headline": "macro_f1",
        "warnings": [],
        "arms": {},
        "chosen": "generated_labels",
        "why": "It is better.",
        "unused": 1234,
        "cut": {"texts": 0.0},
    }
    told = summarise(output, metrics)
    assert "not used: 1,234 unlabelled rows" in told
    [command] = [line for line in told.splitlines() if line.strip().startswith("react-ray predict")]
    assert main(shlex.split(command)[1:]) == 0
    assert pd.read_csv(output / "labelled.csv")["key"].tolist() == [f"0-{n}" for n in range(5)]
    assert "not used" not in summarise(output, {**metrics, "unused": 0})


def test_check_tells_what_becomes_of_each_file_and_what_the_rest_costs(
    files: dict[str, Path], word_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["check", "--quiet", "--model", str(word_model), "--output", str(tmp_path / "out")]
    for name, path in files.items():
        arguments += [f"--{name}", str(path)]
    assert main([*arguments, "data.pool=50"]) == 0
    told = capsys.readouterr().out
    assert f"{files['unlabeled']}: 120 read = 50 used + 70 not used + 0 rejected" in told
    assert f"{files['labeled']}: 15 read = 12 used + 0 not used + 3 rejected" in told
    assert "a second (measured here, one process)" in told
    assert "labelling the unused rows with react-ray predict:" in told
    summary = json.loads(next((tmp_path / "out" / "cache").glob("prepare-*/summary.json")).read_text())
    assert summary["unused"] == 70
