"""Which task a run has: the one that is named, or pairs of texts where a second text is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from react_ray.config.file import load_config
from react_ray.config.settings import Config, DataConfig
from react_ray.data.prepare import prepare
from react_ray.errors import ConfigError
from react_ray.pipeline.run import located, with_task
from react_ray.tasks import DEFAULT_TASK

ROWS = [("a", "b", "same"), ("a", "c", "other"), ("d", "e", "same"), ("f", "g", "other")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    lines = ["text,text_pair,second,label", *(f"{a},{b},{b},{label}" for a, b, label in ROWS)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("task", ["question-answering", "text-classification"])
def test_passages_without_cloze_questions_are_an_error(file: Path, task: str) -> None:
    flags = {"data.labeled": str(file), "data.passages": True, "task": task}
    with pytest.raises(ConfigError, match=r"data\.passages = true: .* set proposals\.cloze=true"):
        located(load_config(flags=flags))
    cloze = load_config(flags={**flags, "task": "question-answering", "proposals.cloze": True})
    assert located(cloze).data.passages


def task_of(file: Path, **flags: Any) -> str:
    return located(load_config(flags={"data.labeled": str(file), **flags})).task


@pytest.mark.parametrize("name", ["second", "text_pair"])
def test_a_second_text_that_is_named_makes_pairs(file: Path, name: str) -> None:
    pairs = "text-pair-classification"
    assert task_of(file, **{"data.columns.text_pair": name}) == pairs
    assert task_of(file, **{"data.columns.text_pair": name, "task": DEFAULT_TASK}) == pairs
    assert task_of(file, **{"data.columns.text_pair": name, "task": pairs}) == pairs


def test_a_file_that_merely_has_such_a_column_stays_what_it_was(file: Path) -> None:
    assert task_of(file) == DEFAULT_TASK
    assert task_of(file, **{"data.columns.text": "text_pair"}) == DEFAULT_TASK


def test_other_tasks_and_other_columns_do_not_change(file: Path) -> None:
    for flags in (
        {"data.columns.text_pair": "second", "task": "token-classification"},
        {"data.columns.other": "second"},
    ):
        with pytest.raises(ConfigError, match="has no column"):
            task_of(file, **flags)


def test_a_configuration_that_was_located_stays_as_it_is(file: Path) -> None:
    once = located(load_config(flags={"data.labeled": str(file), "data.columns.text_pair": "second"}))
    assert located(once) == once
    assert once.data.columns.of("text_pair") == "second"
    assert located(Config(data=DataConfig(labeled=str(file)))).task == DEFAULT_TASK


def test_an_operation_that_the_task_lacks_is_rejected(file: Path) -> None:
    flags = {"augment.operations": ["delete", "mentions"]}
    with pytest.raises(ConfigError, match="not an operation of text classification; expected delete, swap"):
        task_of(file, **flags)
    assert task_of(file, task="token-classification", **flags) == "token-classification"


def test_the_run_reads_pairs(file: Path, tmp_path: Path) -> None:
    config = located(load_config(flags={"data.labeled": str(file), "data.columns.text_pair": "second"}))
    prepare(config.data, tmp_path / "prepared", task=config.task)
    rows = pq.read_table(tmp_path / "prepared" / "rows.parquet").to_pylist()
    assert {(row["text"], row["text_pair"], row["label"]) for row in rows} == set(ROWS)


@pytest.mark.parametrize(("model", "rate"), [("embedded", 2e-4), ("some/large-model", 5e-5)])
def test_a_task_has_defaults_of_its_own_that_settings_override(model: str, rate: float) -> None:
    flags = {"data.labeled": "rows.jsonl", "task": "token-classification", "model": model}
    assert with_task(load_config(flags=flags)).finetune.lr == rate
    assert with_task(load_config(flags={**flags, "finetune.lr": 1e-5})).finetune.lr == 1e-5
