"""Figures of test files with and without intents, out of scope and in scope."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from shop import write_files

from react_ray.apps.assist.build import build, load_config
from react_ray.apps.assist.evaluate import evaluate
from react_ray.apps.assist.metrics import accuracy_at_recall, out_of_scope_auroc

KEYS = {"mrr_at_10", "recall_at_1", "recall_at_5", "intent_macro_f1", "out_of_scope_auroc"}


def measured(folder: Path, rows: pd.DataFrame, file: Path) -> dict[str, Any]:
    rows.to_csv(file, index=False)
    return dict(evaluate(folder, str(file), quiet=True).metrics)


def test_a_test_file_without_intents_has_no_figures_of_intents(shop: Path, tmp_path: Path) -> None:
    rows = pd.read_csv(shop / "test.csv")
    before = measured(shop / "out", rows, tmp_path / "all.csv")["test"]
    without = measured(shop / "out", rows.drop(columns="intent"), tmp_path / "none.csv")["test"]
    for name in ("intent_macro_f1", "accuracy_at_scope_threshold"):
        assert without[name] is None
    for name in ("mrr_at_10", "out_of_scope_auroc", "in_scope_recall", "out_of_scope_recall"):
        assert without[name] == before[name]


def test_questions_without_an_intent_are_not_counted_as_wrong_intents(shop: Path, tmp_path: Path) -> None:
    rows = pd.read_csv(shop / "test.csv")
    named = rows[(rows.index % 2 == 0) | (rows["intent"] == "other")]
    some = rows.assign(intent=rows["intent"].where(rows.index.isin(named.index)))
    expected = measured(shop / "out", named, tmp_path / "named.csv")["test"]
    actual = measured(shop / "out", some, tmp_path / "some.csv")["test"]
    for name in ("intent_macro_f1", "accuracy_at_scope_threshold"):
        assert actual[name] == pytest.approx(expected[name])
        assert actual[name] > 0.5


def test_a_history_without_intents_is_measured_by_its_answers(tmp_path: Path, tiny_model: Path) -> None:
    write_files(tmp_path)
    history = pd.read_csv(tmp_path / "history.csv").drop(columns="intent")
    history.to_csv(tmp_path / "history.csv", index=False)
    flags = {"history": str(tmp_path / "history.csv"), "output": str(tmp_path / "out")}
    build(load_config([], flags | {"encoder": str(tiny_model)}), quiet=True)
    metrics = measured(tmp_path / "out", pd.read_csv(tmp_path / "test.csv"), tmp_path / "named.csv")
    assert metrics["questions"] == {"all": 32, "in_scope": 20, "with_answer": 20}
    for figures in metrics["compared"].values():
        assert figures.keys() >= KEYS
        assert figures["intent_macro_f1"] is None
    assert metrics["test"]["mrr_at_10"] > 0.8
    assert metrics["test"]["out_of_scope_auroc"] > 0.6


def test_every_method_with_scope_scores_is_compared_at_the_same_recall(shop: Path, tmp_path: Path) -> None:
    compared = measured(shop / "out", pd.read_csv(shop / "test.csv"), tmp_path / "test.csv")["compared"]
    shares = [figures["out_of_scope_accuracy_at_95_recall"] for figures in compared.values()]
    assert len(shares) == 4
    assert all(share >= 0.95 * 20 / 32 for share in shares)


def test_the_threshold_accepts_the_recall_that_is_asked_for() -> None:
    generator = np.random.default_rng(0)
    in_scope = np.repeat([True, False], 100)
    scores = np.concatenate([generator.normal(1, 1, 100), generator.normal(0, 1, 100)])
    accepted = scores >= np.sort(scores[:100])[4]
    assert accepted[:100].mean() == 0.96
    assert accuracy_at_recall(in_scope, scores) == np.mean(accepted == in_scope)
    assert accuracy_at_recall(np.ones(3, bool), np.arange(3.0)) is None
    assert out_of_scope_auroc(np.zeros(3, bool), np.arange(3.0)) is None
