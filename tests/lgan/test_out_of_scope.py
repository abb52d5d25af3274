"""Unlabelled rows of none of the classes are found, and hardly any other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from feature_blobs import WIDTH, make_blobs, prepared, run_phases, unit

from react_ray.labelers.label_gan import generate
from react_ray.lgan import augmented_table, left_out_table
from react_ray.lgan.inputs import LganInputs
from react_ray.lgan.out_of_scope import RATE, find_out_of_scope


def tables(*columns: list[str]) -> list[pa.Table]:
    return [pa.table({"text": pa.array(texts, pa.string())}) for texts in columns]


def elsewhere(inputs: LganInputs, count: int) -> np.ndarray:
    """Rows in a place of their own, away from all classes."""
    away = -inputs.labeled.mean(0) / np.linalg.norm(inputs.labeled.mean(0))
    return unit(away + 0.5 * np.random.default_rng(7).normal(size=(count, WIDTH)) / np.sqrt(WIDTH))


@pytest.mark.parametrize("seed", range(3))
def test_rows_from_elsewhere_are_found(seed: int) -> None:
    own = make_blobs(per_class=8, pool=300, spread=1.0, seed=seed).inputs
    mixed = replace(own, unlabeled=np.vstack([own.unlabeled, elsewhere(own, 100)]))
    found = find_out_of_scope(mixed)
    assert found[300:].mean() > 0.8
    assert found[:300].sum() <= 2 * RATE * found.sum()


def test_where_all_rows_are_of_the_classes_few_are_taken() -> None:
    taken = [
        find_out_of_scope(make_blobs(per_class=8, pool=300, spread=1.0, seed=seed).inputs).mean()
        for seed in range(10)
    ]
    assert np.mean(taken) < 0.05


def test_labels_that_are_no_fair_sample_cost_no_rows() -> None:
    for seed in range(5):
        pool = make_blobs(classes=3, per_class=7, pool=1000, spread=1.0, seed=seed).inputs
        tidy = make_blobs(classes=3, per_class=7, pool=1, spread=0.4, seed=seed).inputs
        assert not find_out_of_scope(replace(pool, labeled=tidy.labeled)).any()


def test_what_cannot_be_told_is_left_alone() -> None:
    own = make_blobs(per_class=2, pool=50).inputs
    few = replace(own, unlabeled=np.vstack([own.unlabeled, elsewhere(own, 10)]))
    assert not find_out_of_scope(few).any(), "eight labelled rows say little of what is usual"
    many = make_blobs(per_class=8, pool=50).inputs
    seen = many.labels != 3
    without = replace(
        many,
        labeled=many.labeled[seen],
        labels=many.labels[seen],
        unlabeled=np.vstack([many.unlabeled, elsewhere(many, 20)]),
    )
    assert not find_out_of_scope(without).any(), "rows of a class without a label would be taken"
    assert find_out_of_scope(replace(many, unlabeled=many.unlabeled[:0])).shape == (0,)


def test_foreign_rows_are_left_out_with_the_reason(tmp_path: Path) -> None:
    own = make_blobs(per_class=8, pool=200, spread=1.0).inputs
    inputs: LganInputs = replace(own, unlabeled=np.vstack([own.unlabeled, elsewhere(own, 80)]))
    trained = run_phases(tmp_path, inputs, adversarial=0, sampled=0)
    settings = prepared(tmp_path / "again", inputs)["settings"]
    made, _ = generate(tmp_path / "inputs", trained, tmp_path / "out", settings, seed=0)
    texts = [f"text {i}" for i in range(280)]
    used = augmented_table(inputs, made, *tables(["labelled"] * 32, texts, [])).to_pandas()
    left = left_out_table(made, list("abcd"), [f"id {i}" for i in range(280)], texts).to_pandas()
    assert sorted([*left["text"], *used.loc[used["origin"] == "generated", "text"]]) == sorted(texts)
    from_elsewhere = left[left["text"].isin(texts[200:])]
    assert len(from_elsewhere) > 60
    assert set(from_elsewhere["reason"]) == {"out of scope: like none of the labelled rows"}
    assert set(left["label"]) <= set("abcd")
    assert left["id"].str[3:].tolist() == left["text"].str[5:].tolist()
