"""Files with the entities of each row: JSON in a cell of csv, lists of their own in jsonl and parquet."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_tagger import save_tagger

from react_ray.pipeline.answering import Answering
from react_ray.pipeline.predict import PredictOptions, predict_file

TEXTS = ["Ada lives in Paris.", "", "nothing", "Rome and ada"]
NAMED = [["Ada", "Paris"], None, [], ["Rome", "ada"]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tagger(tmp_path_factory.mktemp("run") / "model")


def labelled(model: Path, source: Path, target: Path, **options: Any) -> Path:
    predict_file(str(model), str(source), target, PredictOptions(**options), quiet=True)
    return target


def words(entities: list[dict[str, Any]] | None) -> list[str] | None:
    return None if entities is None else [entity["word"] for entity in entities]


def test_rows_come_back_with_their_entities_in_every_format(model: Path, tmp_path: Path) -> None:
    source = tmp_path / "texts.csv"
    with source.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["body", "entities"], *([text, f"own {i}"] for i, text in enumerate(TEXTS))]
        )
    columns = {"text": "body"}
    with labelled(model, source, tmp_path / "out.csv", columns=columns).open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["body", "entities_given", "entities"]
    assert [row[:2] for row in rows] == [[text, f"own {i}"] for i, text in enumerate(TEXTS)]
    assert [words(json.loads(row[2])) if row[2] else None for row in rows] == NAMED
    lines = labelled(model, source, tmp_path / "out.jsonl", columns=columns).read_text().splitlines()
    assert [words(json.loads(line)["entities"]) for line in lines] == NAMED
    table = pq.read_table(labelled(model, source, tmp_path / "out.parquet", columns=columns))
    assert [words(found) for found in table["entities"].to_pylist()] == NAMED
    assert pa.types.is_struct(table.schema.field("entities").type.value_type)


def test_entities_of_a_few_long_texts_are_in_memory_at_a_time(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, sizes = tmp_path / "texts.jsonl", list[int]()
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS * 3))
    load = Answering.load

    def counted(models: Answering, use_gpu: bool) -> Any:
        answers = load(models, use_gpu)
        return lambda rows: (sizes.append(len(rows)), answers(rows))[1]

    monkeypatch.setattr(Answering, "load", counted)
    monkeypatch.setattr("react_ray.inference.inputs.CHARS_A_PART", 30)
    lines = labelled(model, source, tmp_path / "out.jsonl").read_text().splitlines()
    assert [words(json.loads(line)["entities"]) for line in lines] == NAMED * 3
    assert max(sizes) == 2
    assert sum(sizes) == 9


def test_words_that_were_split_already(model: Path, tmp_path: Path) -> None:
    rows = [{"tokens": ["Rome", "and", "ada"], "id": 1}, {"tokens": [], "id": 2}, {"tokens": ["x"], "id": 3}]
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = labelled(model, source, tmp_path / "out.jsonl").read_text().splitlines()
    found = {row["id"]: words(row["entities"]) for row in map(json.loads, lines)}
    assert found[1] == ["Rome", "ada"]
    assert found[3] == []
