"""The scripts of tasks in examples/, on small files in the format of their data and with a tiny model."""

from __future__ import annotations

import importlib
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import react_ray

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = ("entities_and_triples", "questions", "summaries", "translate_from_scratch")
RELATIONS = ("The <e1>fire</e1> made <e2>smoke</e2>.", "A <e1>cup</e1> of <e2>tea</e2> stood.")
FACTS = [(f"Ada lives in house {number}.", f"house {number}") for number in range(12)]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    """Files as the scripts expect them; runs are written below the same folder, with a tiny model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setattr(react_ray, "Config", partial(react_ray.Config, model=str(tiny_model)))
    texts = [
        {"text": f"{RELATIONS[number % 2]} No {number}", "label": ("Cause(e1,e2)", "Other")[number % 2]}
        for number in range(24)
    ]
    questions = [
        {
            "id": number,
            "context": context,
            "question": f"Where does she live, {number}?",
            "answer_text": answer,
            "answer_start": context.index(answer),
        }
        for number, (context, answer) in enumerate(FACTS)
    ]
    documents = [{"document": f"{context} It rained. Bob sang.", "summary": context} for context, _ in FACTS]
    pairs = [{"source": f"house {number}", "target": f"Haus {number}"} for number in range(24)]
    write(tmp_path / "semeval2010_task8" / "train.parquet", texts)
    write(tmp_path / "squad2" / "train.parquet", questions)
    write(tmp_path / "dialogsum" / "train.parquet", documents)
    write(tmp_path / "multi30k_en_de" / "train.parquet", pairs[:16])
    write(tmp_path / "multi30k_en_de" / "validation.parquet", pairs[16:])
    return tmp_path


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_parquet(path)


@pytest.mark.parametrize(
    ("script", "options", "words"),
    [
        ("entities_and_triples", {"rows": 16}, "No 23"),
        ("questions", {"rows": 10}, "Who painted the tower?"),
        ("summaries", {"rows": 10}, "reference: Ada lives in house 11."),
        ("translate_from_scratch", {"rows": 16, "tokens": 200}, "Two dogs run on the beach."),
    ],
)
def test_an_example_trains_and_answers(
    data: Path, capsys: pytest.CaptureFixture[str], script: str, options: dict[str, int], words: str
) -> None:
    importlib.import_module(script).main(data, **options)
    assert words in capsys.readouterr().out


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_example_without_its_data_says_which_file_is_missing(tmp_path: Path, script: str) -> None:
    command = [sys.executable, str(EXAMPLES / f"{script}.py"), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "train.parquet is not in this folder" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_marks_of_relations_become_places_of_entities(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    row = importlib.import_module("entities_and_triples").with_spans(RELATIONS[0])
    assert row["text"] == "The fire made smoke."
    assert [row["text"][span["start"] : span["end"]] for span in row["spans"]] == ["fire", "smoke"]
