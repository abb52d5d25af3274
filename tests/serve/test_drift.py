"""Drift: silent while nothing has changed, loud when something has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from react_ray.inference.reference import (
    FILE,
    Histogram,
    Reference,
    load_reference,
    measure,
    spread,
    write_reference,
)
from react_ray.serve.watch.drift import FEWEST, WINDOW, Drift, compare

LABELS = ["a", "b", "c", "rare"]
SHARES = [0.5, 0.3, 0.19, 0.01]


def traffic(size: int, seed: int, shares: list[float] = SHARES, sharp: float = 8, words: float = 20):  # type: ignore[no-untyped-def]
    """Probabilities and lengths of made-up texts."""
    draw = np.random.default_rng(seed)
    best = draw.choice(len(shares), size, p=shares)
    top = draw.beta(sharp, 2, size) * 0.7 + 0.3
    probabilities = np.repeat(((1 - top) / (len(shares) - 1))[:, None], len(shares), 1)
    probabilities[np.arange(size), best] = top + 1e-6
    return probabilities.astype(np.float32), draw.poisson(words, size).tolist()


def reference_of(probabilities, lengths) -> Reference:  # type: ignore[no-untyped-def]
    names = [[LABELS[best]] for best in probabilities.argmax(1)]
    return measure(names, probabilities.max(1), lengths, LABELS)


def drift_of(window: int, seed: int, reference_size: int = 2000, **changed):  # type: ignore[no-untyped-def]
    drift = Drift(reference_of(*traffic(reference_size, seed=10_000 + seed)))
    for row, length in zip(*traffic(window, seed, **changed), strict=True):
        drift.add([LABELS[row.argmax()]], float(row.max()), length)
    return drift.differences()


def alarms(difference) -> bool:  # type: ignore[no-untyped-def]
    return difference.index > 0.1 and difference.p_value < 0.001


@pytest.mark.parametrize(("window", "reference_size"), [(FEWEST, 2000), (WINDOW, 2000), (WINDOW, 200)])
def test_the_same_texts_raise_no_alarm(window: int, reference_size: int) -> None:
    trials = [drift_of(window, seed, reference_size) for seed in range(200)]
    found = sum(alarms(difference) for trial in trials for difference in trial.values())
    assert found <= 1  # of 600, at a level of 0.001
    for of in ("labels", "scores", "lengths"):
        # bins made from the reference itself fit it a little better than chance would have it
        assert np.mean([trial[of].p_value < 0.01 for trial in trials]) <= 0.05
    plain = np.mean([trial["lengths"].index for trial in trials])
    assert plain < 0.03  # uncorrected it would be near 9/100 in the smallest window


@pytest.mark.parametrize(
    ("of", "changed"),
    [
        ("labels", {"shares": [0.25, 0.3, 0.35, 0.1]}),
        ("scores", {"sharp": 3.5}),
        ("lengths", {"words": 24}),
    ],
)
def test_a_shift_is_found_and_named(of: str, changed: dict) -> None:
    trials = [drift_of(300, seed, **changed) for seed in range(50)]
    assert np.mean([alarms(trial[of]) for trial in trials]) > 0.95
    others = {"labels", "scores", "lengths"} - {of}
    assert sum(alarms(trial[other]) for trial in trials for other in others) == 0


def test_the_index_is_the_population_stability_index() -> None:
    p, counts = np.array([0.5, 0.3, 0.2]), np.array([20_000, 30_000, 50_000])
    q = counts / counts.sum()
    assert compare(p, 100_000, counts).index == pytest.approx(((q - p) * np.log(q / p)).sum(), abs=1e-3)


def test_the_p_value_is_that_of_the_chi_square_test() -> None:
    counts = np.array([90, 60, 50])
    expected = chi2_contingency([[1000, 600, 400], counts], correction=False).pvalue
    assert compare(np.array([0.5, 0.3, 0.2]), 2000, counts).p_value == pytest.approx(expected)


def test_little_to_go_by_gives_no_figure() -> None:
    assert drift_of(FEWEST - 1, seed=0) == {}
    assert compare(np.array([1.0]), 2000, np.array([500])).p_value == 1.0
    names = {family.name for family in Drift(None).collect()}
    assert names == {"react_ray_drift_reference"}


def test_a_new_label_share_of_nothing_is_no_division_by_zero() -> None:
    difference = compare(np.array([1.0, 0.0]), 2000, np.array([400, 100]))
    assert difference.index > 0.25
    assert difference.p_value < 1e-6


def test_old_texts_leave_the_window() -> None:
    now = [0.0]
    drift = Drift(reference_of(*traffic(2000, seed=1)), clock=lambda: now[0])
    for row, length in zip(*traffic(WINDOW, seed=2, words=40), strict=True):
        drift.add([LABELS[row.argmax()]], float(row.max()), length)
    assert alarms(drift.differences()["lengths"])
    now[0] = 60.0
    for row, length in zip(*traffic(WINDOW, seed=3), strict=True):
        drift.add([LABELS[row.argmax()]], float(row.max()), length)
    assert not alarms(drift.differences()["lengths"])
    now[0] = 90.0
    values = {family.name: [sample.value for sample in family.samples] for family in drift.collect()}
    assert values["react_ray_drift_texts"] == [WINDOW]
    assert values["react_ray_drift_window_seconds"] == [30.0]


def test_equal_values_share_a_bin() -> None:
    assert Histogram.of([7] * 50).shares == [0.0, 1.0, 0.0]
    lengths = Histogram.of([1] * 50 + list(range(2, 52)))
    assert sum(lengths.shares) == pytest.approx(1)
    assert len(lengths.shares) == len(lengths.edges) + 1
    assert lengths.shares[0] == lengths.shares[-1] == 0


def test_texts_longer_than_any_before_are_a_shift_where_most_had_one_length() -> None:
    probabilities = np.full((500, len(LABELS)), 0.25, np.float32)
    drift = Drift(reference_of(probabilities, [8] * 100 + [9] * 400))
    for _ in range(200):
        drift.add(["a"], 0.25, 30)
    assert alarms(drift.differences()["lengths"])
    assert not alarms(drift.differences()["scores"])


def test_a_reference_is_written_and_read(classifier_folder: Path, tmp_path: Path) -> None:
    texts = [f"text number {i}" * (1 + i % 5) for i in range(600)]
    write_reference(tmp_path, classifier_folder, texts, use_gpu=False)
    found = load_reference(tmp_path)
    assert isinstance(found, Reference)
    assert found.texts == len(texts)
    assert sum(found.labels.values()) == pytest.approx(1)
    write_reference(tmp_path / "none", classifier_folder, [], use_gpu=False)
    assert load_reference(tmp_path / "none") is None


def test_a_sample_is_taken_from_all_over_a_sorted_file() -> None:
    texts = [str(number) for number in range(5000)]
    taken = [int(text) for text in spread(texts)]
    assert taken == sorted(set(taken))
    assert (len(taken), taken[0], taken[-1]) == (500, 0, 4999)
    assert spread(texts[:7]) == texts[:7]


@pytest.mark.parametrize("content", ["", "{}", '{"texts": 3}', '{"texts": "many", "labels": 7}'])
def test_a_reference_that_is_none_is_left_out(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    assert load_reference(tmp_path) is None


def test_answers_without_any_class_are_a_shift_where_there_were_none() -> None:
    names = [["a"] if n % 2 else ["b"] for n in range(500)]
    drift = Drift(measure(names, [0.9] * 500, [10] * 500, ["a", "b"]))
    for n in range(FEWEST):
        drift.add([] if n % 5 else ["a"], 0.9, 10)
    found = drift.differences()["labels"]
    assert found.index > 0.25
    assert found.p_value < 0.001
