"""The summary of ``check``: classes and estimated cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from react_ray.config.file import load_config
from react_ray.pipeline.preflight import Check, check, gigabytes
from react_ray.tasks import get_task

COST = dict.fromkeys(
    ("encode_tokens", "tokens_per_second", "tokens_per_row", "encode_minutes", "training_steps"), 1.0
) | {"cut": 0.0, "label_minutes": 3.0, "minutes": 5.0, "memory_gb": 2.0}

POSITIONS = 64
"""Tokens that the tiny model reads at most."""


def checked(classes: int, task: str = "text-classification") -> str:
    rows: dict[str, Any] = {
        "parts": {"labeled": classes, "unlabeled": 100},
        "unused": 0,
        "classes": {f"class {i}": 1 + (i == classes - 1) for i in range(classes)},
        "refused": {},
        "warnings": [],
        "files": [],
    }
    return Check(rows, COST, Path("refused.jsonl"), get_task(task).nouns).summary()


@pytest.mark.parametrize(("classes", "listed"), [(2, 2), (100, 100), (101, 100), (3000, 100)])
def test_the_classes_with_most_rows_are_listed_and_the_others_counted(classes: int, listed: int) -> None:
    said = checked(classes)
    assert said.count(" labelled\n") == listed
    assert f"class {classes - 1}: 2 labelled" in said
    assert (f"and {classes - 100:,} more classes" in said) == (classes > 100)


def test_thousands_of_classes_come_with_a_warning_that_says_what_to_set() -> None:
    assert "warning: 3,000 classes" in checked(3000)
    assert "augment.copies" in checked(3000)
    assert "warning" not in checked(1000)
    assert "3.0 minutes to generate labels" in checked(2)


@pytest.mark.parametrize(
    ("task", "noun"),
    [
        ("text-classification", "classes"),
        ("token-classification", "types of entity"),
        ("relation-extraction", "relations"),
        ("multi-label-classification", "labels"),
    ],
)
def test_classes_are_called_what_the_task_calls_them(task: str, noun: str) -> None:
    lines = checked(101, task).splitlines()
    assert f"{noun}: 101" in lines
    assert f"  and 1 more {noun}" in lines
    assert "rejected: 0" in lines


def test_memory_grows_with_rows_times_classes() -> None:
    width = 384
    few, many = (gigabytes(10**8, k * 5 * k, k * width) for k in (1000, 3000))
    assert few < many < 9 * few


def test_lengths_are_in_characters_of_any_script(tiny_chinese_model: Path, tmp_path: Path) -> None:
    lines = [f"{'股市上涨' * n},{'财经' if n % 2 else '体育'}" for n in range(1, 41)]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    given = {"data.labeled": str(tmp_path / "rows.csv"), "model": str(tiny_chinese_model)}
    found = check(load_config(flags={**given, "output": str(tmp_path / "out")}), quiet=True)
    assert found.lengths == (84, 156, 160)
    assert "characters of a text: median 84, 95 % have at most 156, longest 160" in found.summary()
    over = [4 * n + 2 - POSITIONS for n in range(1, 41) if 4 * n + 2 > POSITIONS]
    tokens = sum(4 * n + 2 for n in range(1, 41))
    assert (found.cost["cut"], found.cost["cut_tokens"]) == (len(over) / 40, sum(over) / tokens)
    assert f"{len(over) / 40:.0%} of the texts" in found.summary()
    assert f"{sum(over) / tokens:.0%} of all tokens (counted in 40 rows" in found.summary()
    windows = {"finetune.windows": 3, "output": str(tmp_path / "windows")}
    whole = check(load_config(flags={**given, **windows}), quiet=True)
    assert (whole.cost["cut"], whole.cost["cut_tokens"]) == (0, 0)
    assert "will be cut" not in whole.summary()
    assert whole.cost["cut_read"] > found.cost["cut_read"]


def test_both_texts_of_a_pair_are_counted(tiny_model: Path, tmp_path: Path) -> None:
    rows = [(f"ball {n}", f"{n} money" * 20, "ab"[n % 2]) for n in range(6)]
    lines = ["text,second,label", *(",".join(row) for row in rows)]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    given = {"data.labeled": str(tmp_path / "rows.csv"), "model": str(tiny_model)}

    def tokens(**columns: str) -> float:
        flags = {**given, **columns, "output": str(tmp_path / "-".join(["out", *columns.values()]))}
        return check(load_config(flags=flags), quiet=True).cost["tokens_per_row"]

    first, second = tokens(), tokens(**{"data.columns.text": "second"})
    assert second > 5 * first
    assert tokens(**{"data.columns.text_pair": "second"}) == pytest.approx(first + second)


def test_few_rows_are_not_trained_on_for_more_epochs_than_a_run_would(
    tiny_model: Path, tmp_path: Path
) -> None:
    rows = [f"one text about {n % 2},{n % 2}" for n in range(40)]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    given = {"data.labeled": str(tmp_path / "rows.csv"), "model": str(tiny_model), "augment.copies": 0}
    flags = {**given, "output": str(tmp_path / "out"), "finetune.token_budget": 10**9}
    assert check(load_config(flags=flags), quiet=True).cost["training_steps"] <= 2 * 40


def test_a_task_that_encodes_nothing_is_estimated_with_the_trained_model_alone(
    tiny_model: Path, make_tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    other = make_tiny_model(tmp_path / "other", ["ball"], seed=1, hidden=16)
    rows = [{"context": f"ball {n} money", "question": "what?", "answer_text": "ball"} for n in range(8)]
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    given = {"data.labeled": str(tmp_path / "rows.jsonl"), "data.max_unknown": 1, "model": str(other)}
    given |= {"task": "question-answering"}

    def found(*encoders: Path) -> Check:
        output = str(tmp_path / f"out{len(encoders)}")
        return check(
            load_config(flags={**given, "encoder": [*map(str, encoders)], "output": output}), quiet=True
        )

    one, two = found(other), found(tiny_model, other)
    assert two.cost["tokens_per_row"] == one.cost["tokens_per_row"] > 0
    assert "0 tokens to encode" in two.summary()
    assert "every text by" not in two.summary()
