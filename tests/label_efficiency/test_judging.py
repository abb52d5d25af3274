"""Peers that learn from the pool, and how methods and made labels are judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.label_efficiency import calibration, next_labels
from benchmarks.label_efficiency.comparisons import compare
from benchmarks.label_efficiency.draws import Draw, Part, cut
from benchmarks.label_efficiency.features import FeatureStore
from benchmarks.label_efficiency.methods import label_gan
from benchmarks.label_efficiency.methods.adamatch import AdaMatch, adamatch
from benchmarks.label_efficiency.methods.gan_bert import GanBert, gan_bert
from benchmarks.label_efficiency.signals import judge
from react_ray.config.settings import LganConfig
from react_ray.tasks.labels import LabelMap


@pytest.mark.parametrize("method", [adamatch, gan_bert])
def test_methods_with_a_pool_learn_from_it(method: Any) -> None:
    draw = np.random.default_rng(0)
    centres, truth = draw.normal(size=(3, 16)), draw.integers(3, size=500)
    labels = np.repeat(np.arange(3), 2)

    def part(classes: Any, spread: float) -> Part:
        rows = centres[classes] + spread * draw.normal(size=(len(classes), 16))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        views = np.hstack([rows, 0 * rows, 0 * rows])  # methods with a pool look at sentences alone
        return Part([""] * len(classes), views.astype(np.float32))

    nothing = np.zeros(0, np.int64)
    given = {"dataset": "blobs", "seed": 0, "encoder": "none", "classes": LabelMap(("a", "b", "c"))}
    given |= {"names": centres.astype(np.float32), "prompted": centres.astype(np.float32)}
    given |= {"labels": labels, "copies": centres[:0]}
    given |= {"labeled": part(labels, 0.5), "pool": part(truth, 0.8), "test": part(truth, 0.8)}
    blobs = Draw(copies_of=nothing, **given)
    settings = replace(AdaMatch() if method is adamatch else GanBert(), steps=150)
    found = method(blobs, settings)
    assert found.shape == (500, 3)
    assert found.sum(1) == pytest.approx(1, abs=1e-4)
    assert (found.argmax(1) == truth).mean() > 0.8
    assert np.array_equal(method(blobs, settings), found)
    alone = method(replace(blobs, pool=part(truth[:0], 0.8)), settings)
    assert not np.array_equal(alone, found)


def test_the_next_labels_are_chosen_and_used(
    data: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_gan, "LganConfig", lambda **changes: LganConfig(steps=10, batch_size=16))
    stored = FeatureStore(data, str(encoder), tmp_path).load("topics")
    draw, truth = cut(stored, 1, seed=0, pool=60, test=None)
    first = label_gan.ours(draw, next_labels.NO_COPIES)
    for way in next_labels.WAYS:
        rows = next_labels.chosen(way, draw, first, 12)
        assert len(set(rows.tolist())) == 12
        more, rest = next_labels.with_labels(draw, truth, rows)
        assert (len(more.labeled), len(more.pool), len(rest.pool)) == (15, 48, 48)
        assert not set(more.labeled.texts) & set(more.pool.texts)
        known = dict(
            zip(stored.train["text"], stored.classes.indices(stored.train["label"].tolist()), strict=True)
        )
        assert [known[text] for text in more.labeled.texts] == more.labels.tolist()
    scores = next_labels.measure(draw, truth)
    assert set(scores) == {"before", "suggested", "random"}


def test_a_signal_is_judged_by_the_errors_among_the_surest() -> None:
    right = np.arange(100) >= 20
    perfect = np.arange(100, dtype=np.float32)
    found = judge({"good": perfect, "bad": -perfect}, right)
    assert found["auroc"] == {"good": 1.0, "bad": 0.0}
    assert found["risk"]["good"][7:] == pytest.approx([0, 0.1111, 0.2], abs=1e-3)
    assert found["risk"]["bad"][:3] == pytest.approx([1, 1, 2 / 3], abs=1e-3)
    assert judge({"good": perfect}, np.ones(100, bool)) == {}


def test_the_guess_of_accuracy_is_fitted_to_other_sets_than_it_is_judged_on() -> None:
    draw = np.random.default_rng(0)
    seen = draw.random((60, 2))
    records = [
        {
            "dataset": f"set {number % 6}",
            "method": "ours",
            "labels_per_class": 5,
            "details": {
                "confidence": confidence,
                "homophily": alike,
                "made": {"accuracy": 0.1 + 0.5 * confidence + 0.3 * alike},
            },
        }
        for number, (confidence, alike) in enumerate(seen)
    ]
    rows = calibration.collect(
        [*records, {**records[0], "method": "ours-game"}, {**records[0], "dataset": "trec_fine"}]
    )
    assert len(rows) == 60
    assert calibration.fit(rows) == pytest.approx([0.1, 0.5, 0.3])
    rows.loc[rows["dataset"] == "set 0", "accuracy"] += 0.5
    errors = calibration.leave_one_out(rows)["guess"]
    assert errors["set 0"] == pytest.approx(0.5, abs=0.01)
    assert errors["set 1"] > 0.01


def test_comparisons_pair_data_set_and_draw() -> None:
    index = pd.MultiIndex.from_product([["a", "b"], range(10)], names=["dataset", "seed"])
    draw = np.random.default_rng(0)
    base = pd.Series(draw.normal(50, 10, 20), index)
    better = (base + draw.normal(2, 0.5, 20)).sample(frac=1, random_state=0)
    found = compare(better, base)
    assert found is not None
    assert found.cells == 20
    assert found.verdict == "gain"
    assert found.low < found.difference < found.high
    assert found.p < 0.001
    reverse = compare(base, better)
    assert reverse is not None
    assert (reverse.verdict, reverse.difference) == ("loss", pytest.approx(-found.difference))
    same = compare(base, base)
    assert same is not None
    assert (same.verdict, same.p) == ("not shown", 1.0)
    assert compare(base, base.iloc[:0]) is None
