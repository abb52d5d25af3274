"""Figures of predictions, against scikit-learn and cases worked out by hand."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import accuracy_score, classification_report, f1_score

from react_ray.answer import Answer
from react_ray.evaluate.intervals import probability_worse
from react_ray.evaluate.metrics import lead, measure, reliability
from react_ray.tasks import get_task
from react_ray.tasks.closed import ranked
from react_ray.tasks.closed_metrics import class_scores, class_statistics

NAMES = ("b", "a", "中文")
TASK = get_task("text-classification")


def table(truth: Any, names: Sequence[str]) -> pa.Table:
    """Rows with these labels: names, or indices of ``names``."""
    labels = [label if isinstance(label, str) else names[label] for label in truth]
    return pa.table({"label": pa.array(labels, pa.string())})


def score(truth: Any, given: np.ndarray, names: Sequence[str], details: bool = True) -> Any:
    return measure(TASK, ranked(given, names), table(truth, names), names, details)


def random_case(n: int = 300, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, n)
    given = random.dirichlet(np.ones(classes), n)
    given[np.arange(n), truth] += 0.4
    return truth, given / given.sum(axis=1, keepdims=True)


def certain(predicted: list[int], classes: int) -> np.ndarray:
    return np.eye(classes)[predicted]


def test_the_figures_are_those_of_scikit_learn() -> None:
    truth, given = random_case()
    found, predicted = score(truth, given, NAMES), given.argmax(axis=1)
    assert found["n"] == 300
    assert found["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    report = classification_report(truth, predicted, target_names=NAMES, output_dict=True)
    for name in NAMES:
        row = found["per_class"][name]
        assert row["f1"] == pytest.approx(report[name]["f1-score"])
        assert row["precision"] == pytest.approx(report[name]["precision"])
        assert row["recall"] == pytest.approx(report[name]["recall"])
        assert row["support"] == report[name]["support"]


def test_names_and_indices_as_truth_give_the_same_and_json_keeps_all() -> None:
    truth, given = random_case(50)
    by_name = score([NAMES[i] for i in truth], given, NAMES)
    assert json.loads(json.dumps(by_name)) == score(truth, given, NAMES)


def test_a_class_that_does_not_occur_does_not_count() -> None:
    found = score(["a", "a", "b"], certain([1, 1, 0], 3), NAMES)
    assert found["macro_f1"] == 1
    assert set(found["per_class"]) == {"a", "b"}
    mean = np.mean([row["f1"] for row in found["per_class"].values()])
    assert found["macro_f1"] == pytest.approx(mean)


def test_a_class_that_is_only_predicted_counts_as_wrong() -> None:
    found = score(["a", "a"], certain([1, 2], 3), NAMES)
    assert found["per_class"]["中文"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)


def test_rows_of_the_confusion_matrix_are_the_truth() -> None:
    found = score(["b", "b", "a"], certain([0, 1, 1], 3), NAMES)
    assert found["confusion"] == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_of_many_classes_the_pairs_that_occur_are_kept() -> None:
    names = [f"class {i}" for i in range(201)]
    found = score(np.array([7, 7, 200, 3]), certain([7, 0, 200, 0], 201), names)
    assert found["confusion"] is None
    assert found["cells"] == [[3, 0, 1], [7, 0, 1], [7, 7, 1], [200, 200, 1]]


def test_calibration_error_of_a_hand_made_case() -> None:
    given = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    found = score(np.array([0, 0, 0, 1]), given, ("x", "y"))
    assert found["ece"] == pytest.approx(0.5 * abs(0.9 - 1) + 0.5 * abs(0.6 - 0.5))
    assert [(b["n"], b["accuracy"]) for b in found["reliability"]] == [(2, 0.5), (2, 1.0)]


def test_scores_of_sets_and_entities_are_compared_with_answers_that_are_right_in_whole() -> None:
    sets = pa.table({"text": ["a", "b"], "labels": [["x"], ["x", "y"]]})
    half = [Answer(["x"], 0.5, (("x", 0.9), ("y", 0.4)))] * 2
    found = measure(get_task("multi-label-classification"), half, sets, ["x", "y"])
    assert found["ece"] == 0, "one of two sets is right; the mean F1 is 5/6"
    texts = {"text": ["a b"] * 2, "starts": [[0, 2]] * 2, "ends": [[1, 3]] * 2}
    entities = pa.table({**texts, "tags": [["B-T", "O"], ["B-T", "B-T"]]})
    half = [Answer([[0, 1, "T"]], 0.5, (("T", 0.9),))] * 2
    assert measure(get_task("token-classification"), half, entities, ["T"])["ece"] == 0


def test_scores_of_answers_are_compared_with_the_event_they_are_fitted_to() -> None:
    task, credit = get_task("question-answering"), np.array([1.0, 0.8, 0.5, 0.0])
    assert task.correct(credit).tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("name", ["translation", "summarization", "extractive-summarization"])
def test_scores_of_written_texts_are_compared_with_their_credit(name: str) -> None:
    task = get_task(name)
    assert task.correct(np.array([0.25, 1.0])).tolist() == [0.25, 1.0]
    assert not task.nouns.correct, "reports say that the score is no probability of a correct text"


def test_bins_hold_every_row_once_at_the_edges_too() -> None:
    confidence = np.array([0.0, 1 / 15, 0.2, 1.0])
    bins = reliability(confidence, np.array([True, True, False, True]))
    assert sum(b["n"] for b in bins) == 4
    for b in bins:
        assert b["low"] - 1e-9 <= b["confidence"] <= b["high"] + 1e-9


def test_intervals_are_those_of_resampled_rows() -> None:
    truth, given = random_case(200)
    found, predicted = score(truth, given, NAMES), given.argmax(axis=1)
    random = np.random.default_rng(3)
    samples = [random.integers(0, 200, 200) for _ in range(400)]
    macro = [f1_score(truth[s], predicted[s], average="macro") for s in samples]
    accuracy = [(truth[s] == predicted[s]).mean() for s in samples]
    assert found["macro_f1_interval"] == pytest.approx(np.quantile(macro, [0.025, 0.975]), abs=0.02)
    assert found["accuracy_interval"] == pytest.approx(np.quantile(accuracy, [0.025, 0.975]), abs=0.02)
    assert score(truth, given, NAMES) == found, "the same rows give the same interval"


def test_few_rows_that_are_all_right_are_no_certainty() -> None:
    found = score(np.array([0, 1] * 5), certain([0, 1] * 5, 2), ("x", "y"))
    assert found["accuracy_interval"] == pytest.approx([0.692, 1], abs=0.001), "Clopper and Pearson, 10 of 10"
    assert found["macro_f1_interval"][0] < 0.7
    wrong = score(np.array([0, 1] * 5), certain([1, 0] * 5, 2), ("x", "y"))
    assert wrong["accuracy_interval"] == pytest.approx([0, 0.308], abs=0.001)


def test_many_classes_and_rows_take_no_time() -> None:
    truth, given = random_case(5000, classes=150)
    started = time.monotonic()
    score(truth, given, [f"c{i}" for i in range(150)])
    assert time.monotonic() - started < 5


def lead_of(truth: Any, ours: np.ndarray, theirs: np.ndarray) -> Any:
    return lead(TASK, ranked(ours, NAMES), ranked(theirs, NAMES), table(truth, NAMES), NAMES)


def test_the_lead_is_paired() -> None:
    truth, given = random_case(400)
    worse = given.copy()
    worse[:20] = np.roll(worse[:20], 1, axis=1)
    found = lead_of(truth, given, worse)
    ours, theirs = (score(truth, p, NAMES)["macro_f1"] for p in (given, worse))
    assert found["macro_f1"] == pytest.approx(ours - theirs)
    low, high = found["interval"]
    assert 0 < low < found["macro_f1"] < high
    alone = score(truth, given, NAMES)["macro_f1_interval"]
    assert high - low < alone[1] - alone[0], "rows both get right do not blur the difference"
    assert lead_of(truth, given, given) == {"macro_f1": 0, "interval": [0, 0]}


def test_brief_figures_leave_out_the_details() -> None:
    truth, given = random_case(30)
    full, brief = score(truth, given, NAMES), score(truth, given, NAMES, details=False)
    assert set(full) - set(brief) == {"per_class", "confusion", "reliability"}
    assert brief == {name: full[name] for name in brief}


def test_rows_without_answers_are_an_error() -> None:
    for truth, answers in (([], []), (["a"], ranked(np.ones((2, 3)) / 3, NAMES))):
        with pytest.raises(ValueError, match="answers"):
            measure(TASK, answers, table(truth, NAMES), NAMES)


def counts(hits: int, rows: int = 40) -> Any:
    """Statistics of rows of one class, of which the first ``hits`` are right."""
    return class_statistics(np.zeros(rows, int), (np.arange(rows) >= hits).astype(int), 2)


def worse(plain: int, other: int) -> float:
    return probability_worse(counts(plain), counts(other), class_scores, "accuracy", 0)


def test_the_probability_of_being_worse() -> None:
    assert worse(20, 20) == pytest.approx(0.5, abs=0.03)
    assert worse(30, 10) > 0.99
    assert worse(10, 30) < 0.01
    assert 0.5 < worse(21, 20) < 0.9, "one row decides nothing"


def test_on_skewed_classes_the_metric_decides_and_not_the_share_that_is_right() -> None:
    truth = np.repeat([0, 1], [180, 20])
    majority, balanced = np.zeros(200, int), truth.copy()
    balanced[:30] = 1  # all of the rare class, at the price of 30 rows of the common one
    plain, other = (class_statistics(truth, made, 2) for made in (majority, balanced))
    assert probability_worse(plain, other, class_scores, "accuracy", 0) > 0.9
    assert probability_worse(plain, other, class_scores, "macro_f1", 0) < 0.1


def test_a_label_that_is_no_class_is_named() -> None:
    with pytest.raises(KeyError, match="nonsense"):
        score(["nonsense"], certain([0], 3), NAMES)
