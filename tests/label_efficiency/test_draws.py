"""What methods are given: data sets, draws, features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.datasets import NONE, classes_of, draw_rows, read_dataset, write_draw
from benchmarks.label_efficiency.cells import Results
from benchmarks.label_efficiency.draws import cut, labeled_rows
from benchmarks.label_efficiency.features import FeatureStore
from benchmarks.label_efficiency.joint import JointStore
from benchmarks.label_efficiency.methods import label_gan
from react_ray.config.settings import AugmentConfig, EncodeConfig, LganConfig
from react_ray.data.encode import Encoder
from react_ray.data.views import BLOCKS, SENTENCE
from react_ray.tasks.text_changes import augment


def records(folder: Path) -> list[dict[str, Any]]:
    return Results(folder / "results").records()


def test_a_draw_is_the_same_for_all_methods(data: Path, encoder: Path, tmp_path: Path) -> None:
    store = FeatureStore(data, str(encoder), tmp_path)
    stored = store.load("topics")
    stored = store.with_copies(stored, labeled_rows(stored, 2, seed=1))
    draw, truth = cut(stored, 2, seed=1, pool=30, test=None)
    files = write_draw("topics", tmp_path, labels_per_class=2, pool=30, test=1000, seed=1, data=data)
    written = pd.read_parquet(files.labeled)  # as the runs of other benchmarks get it
    assert draw.labeled.texts == written["text"].tolist()
    assert [draw.classes.names[i] for i in draw.labels] == written["label"].tolist()
    pool = pd.read_parquet(files.unlabeled)
    assert draw.pool.texts == pool["text"].tolist()
    assert [draw.classes.names[i] for i in truth.pool] == pool["truth"].tolist()
    assert set(np.unique(draw.copies_of)) == set(range(6))
    assert draw.test.features.shape == (60, 32)
    assert not {"truth", "test_labels"} & set(vars(draw))


def test_every_second_class_may_have_its_name_alone(data: Path, encoder: Path, tmp_path: Path) -> None:
    store = FeatureStore(data, str(encoder), tmp_path)
    stored = store.with_copies(store.load("topics~half"), labeled_rows(store.load("topics"), 2, seed=1))
    whole, truth = cut(stored=store.load("topics"), labels_per_class=2, seed=1, pool=30, test=None)
    draw, same_truth = cut(stored, 2, seed=1, pool=30, test=None)
    assert set(draw.labels) == {0, 2} < set(whole.labels)
    assert set(draw.copies_of) == set(range(4))
    assert draw.pool.texts == whole.pool.texts
    assert np.array_equal(truth.test, same_truth.test)
    assert len(draw.prompted) == 3


def test_features_are_kept_and_belong_to_their_rows(data: Path, encoder: Path, tmp_path: Path) -> None:
    store = FeatureStore(data, str(encoder), tmp_path)
    first = store.load("topics")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.label_efficiency.features.Encoder", None)  # nothing is left to encode
        again = store.load("topics")
        assert np.array_equal(again.train_features, first.train_features)
    few = store.with_copies(first, [3])
    more = store.with_copies(store.load("topics"), [3, 5])
    assert np.array_equal(few.copies.features, more.copies.features[: len(few.copies.of)])
    assert set(more.copies.of) == {3, 5}


def test_rows_from_elsewhere_are_in_the_pool_alone(
    command: Callable[..., int], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = read_dataset("topics+themes", data)
    assert (train["label"] == NONE).sum() == 40
    assert len(classes_of(train)) == 3
    for labels in (2, "all"):
        sizes = {"labels_per_class": labels, "pool": 500, "test_rows": None, "seed": 1}
        with_them = draw_rows(train, test, **sizes)
        without = draw_rows(*read_dataset("topics", data), **sizes)
        assert with_them.labeled["text"].tolist() == without.labeled["text"].tolist()
        assert with_them.test.equals(without.test)
        assert (with_them.pool["label"] == NONE).sum() == 40
    monkeypatch.setattr(label_gan, "LganConfig", lambda **changes: LganConfig(steps=10, batch_size=16))
    grid = ["--datasets", "topics", "topics+themes", "--labels-per-class", 2, "--draws", 1]
    assert command(*grid, "--methods", "ours", "ceiling") == 0
    by_set = {record["dataset"]: record for record in records(tmp_path) if record["method"] == "ours"}
    found = by_set["topics+themes"]["details"]
    assert found["foreign"]["share"] == pytest.approx(40 / 154, abs=0.1)
    assert set(found["foreign"]["kept"]) == {"own", "foreign"}
    assert (
        found["made"]["accuracy"] <= 1 - found["foreign"]["share"]
    )  # whatever label such a row gets is wrong
    assert found["balance"]["uniform"] < 0.2
    table = (tmp_path / "results" / "TABLE.md").read_text()
    scores = [f"{100 * by_set[name]['macro_f1']:.1f}" for name in ("topics", "topics+themes")]
    share = f"{100 * found['foreign']['share']:.0f} %"
    assert f"| topics+themes | 2 | {share} | {scores[0]} | {scores[1]} |" in table
    assert "topics+themes" not in table.split("### Rows of none")[0], "only rows of the classes have scores"


def test_classes_are_thinned_out(data: Path) -> None:
    plain, thin = (read_dataset(name, data) for name in ("topics", "topics@10"))
    assert plain[0]["label"].value_counts().to_dict() == {"money": 40, "sport": 40, "weather": 40}
    assert thin[0]["label"].value_counts().to_dict() == {"money": 40, "sport": 13, "weather": 4}
    assert thin[1]["label"].value_counts().to_dict() == {"money": 20, "sport": 6, "weather": 2}


def test_less_is_a_part_of_more(data: Path) -> None:
    train, test = read_dataset("topics", data)

    def indices(**sizes: Any) -> tuple[list[int], list[int], list[int]]:
        rows = draw_rows(train, test, seed=0, **sizes)
        return rows.labeled.index.tolist(), rows.pool.index.tolist(), rows.test.index.tolist()

    few, some, tested = indices(labels_per_class=1, pool=20, test_rows=10)
    more, other, all_tested = indices(labels_per_class=5, pool=20, test_rows=None)
    assert set(few) < set(more)
    assert tested == all_tested[:10]
    assert not set(more) & set(other)
    assert some == indices(labels_per_class=1, pool=40, test_rows=5)[1][:20]
    assert indices(labels_per_class=0, pool=500, test_rows=1)[:1] == ([],)
    assert len(indices(labels_per_class="all", pool=500, test_rows=1)[0]) == len(train)


def test_the_features_of_encoders_belong_to_the_same_rows_and_copies(
    data: Path, encoder: Path, words: list[str], make_tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    other = make_tiny_model(tmp_path / "other", words, seed=1, hidden=16)
    stranger = make_tiny_model(tmp_path / "stranger", ["x", "y"])
    stores = [FeatureStore(data, str(model), tmp_path) for model in (encoder, other, stranger)]
    first = stores[0].load("topics")
    stores[0].with_copies(first, [5, 2])  # kept in another order than those of the other encoder
    joint = JointStore(tuple(stores))
    asked = labeled_rows(first, 2, seed=1)
    stored = joint.with_copies(joint.load("topics"), asked)
    assert stored.blocks == 2 * BLOCKS, "an encoder that does not read the texts is left out"
    assert set(asked) <= set(stored.copies.asked)
    texts = [
        copy
        for row in sorted(stored.copies.asked)
        for copy in augment(first.train["text"].iloc[row], AugmentConfig())
    ]
    for place, model in enumerate((encoder, other)):
        sentence = replace(SENTENCE, encoder=place)
        alone = SENTENCE.of(Encoder(str(model), EncodeConfig()).encode(texts), BLOCKS)
        seen = sentence.of(stored.copies.features, stored.blocks)
        assert np.allclose(seen @ seen.T, alone @ alone.T, atol=1e-5)
    draw, truth = cut(stored, 2, seed=1, pool=30, test=None)
    answer = label_gan.teacher(draw)
    assert len(answer.details["views"]) == 6
    assert (answer.probabilities.argmax(1) == truth.test).mean() > 0.6
    assert draw.test.features.shape == (60, 64)
