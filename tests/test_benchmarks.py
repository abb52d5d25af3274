"""The benchmark of label efficiency on a made-up data set, with a tiny encoder."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.datasets import NONE, classes_of, draw_rows, read_dataset, write_draw
from benchmarks.label_efficiency import calibration, execution, next_labels, tables
from benchmarks.label_efficiency.__main__ import main
from benchmarks.label_efficiency.cells import Cell, Results
from benchmarks.label_efficiency.comparisons import compare
from benchmarks.label_efficiency.draws import Draw, Part, cut, labeled_rows
from benchmarks.label_efficiency.features import FeatureStore
from benchmarks.label_efficiency.methods import Method, label_gan
from benchmarks.label_efficiency.methods.adamatch import AdaMatch, adamatch
from benchmarks.label_efficiency.methods.gan_bert import GanBert, gan_bert
from benchmarks.label_efficiency.signals import judge
from react_ray.config import LganConfig
from react_ray.labels import LabelMap

WORDS = {
    "sport": "match goal team coach league player score season cup win",
    "money": "bank stock profit market trade share price fund loan tax",
    "weather": "rain cloud storm sunny wind snow cold heat fog frost",
}
FILLER = "the a of to in on with for today was very new"
CHEAP = ("majority", "tfidf", "names", "probe", "self_training", "seeded_self_training", "ceiling")


def make_rows(label: str, count: int, part: str) -> pd.DataFrame:
    draw = random.Random(f"{label} {part}")
    own, filler = [*WORDS[label].split(), label], FILLER.split()
    texts = [" ".join(draw.sample(own, k=4) + draw.sample(filler, k=5)) for _ in range(count)]
    return pd.DataFrame({"text": texts, "label": label})


@pytest.fixture(scope="module")
def encoder(make_tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = " ".join([*WORDS.values(), *WORDS, FILLER]).split()
    return make_tiny_model(tmp_path_factory.mktemp("encoder") / "tiny", words)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name in ("topics", "themes"):
        (folder / name).mkdir()
        for part, count in (("train", 40), ("test", 20)):
            rows = pd.concat(make_rows(label, count, f"{name} {part}") for label in WORDS)
            rows.to_parquet(folder / name / f"{part}.parquet", index=False)
    return folder


@pytest.fixture
def command(data: Path, encoder: Path, tmp_path: Path) -> Callable[..., int]:
    """The benchmark with results and features of its own."""
    own = ["--data", data, "--encoder", encoder, "--results", tmp_path / "results"]
    own += ["--features", tmp_path / "features", "--pool", 60]

    def run(*words: Any) -> int:
        return main([str(word) for word in [*own, *words]])

    return run


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
