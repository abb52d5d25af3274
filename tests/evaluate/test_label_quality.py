"""Generated labels judged where the truth is known, and the tables of the report."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from react_ray.evaluate.metrics import label_quality
from react_ray.evaluate.tables import class_counts, rejected_by_reason, worst_mistakes
from react_ray.tasks import get_task
from react_ray.tasks.closed import ranked

NAMES = ("体育", "财经")
GIVEN = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.45, 0.55]])
WEIGHT = np.array([0.9, 0.8, 0.7, 0.0])
VERDICT = np.array([0.1, 0.4, 0.2, 0.3])


def test_labels_of_known_truth_are_judged() -> None:
    found = label_quality(GIVEN, WEIGHT, VERDICT, NAMES, ["体育", "财经", "财经", None], [0.4, 0.6])
    assert found is not None
    assert (found["generated"], found["kept"], found["known"]) == (4, 3, 3)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["auroc_weight"] == roc_auc_score([1, 0, 1], WEIGHT[:3])
    assert found["auroc_score"] == roc_auc_score([1, 0, 1], VERDICT[:3]) == 0
    assert found["ece_weight"] == pytest.approx((0.1 + 0.8 + 0.3) / 3)
    assert found["per_class"]["财经"] == {"generated": 2, "kept": 1, "accuracy": 1}
    assert found["balance"] == {"体育": 0.4, "财经": 0.6}
    json.dumps(found)


def test_rejected_labels_do_not_count_among_the_kept() -> None:
    found = label_quality(GIVEN, WEIGHT, VERDICT, NAMES, ["体育", "体育", "财经", "体育"])
    assert found is not None
    assert (found["accuracy"], found["kept_accuracy"]) == (0.75, 1)


def test_a_truth_that_is_no_class_makes_the_label_wrong() -> None:
    found = label_quality(GIVEN, WEIGHT, VERDICT, NAMES, ["体育", "体育", "天气", "天气"])
    assert found is not None
    assert found["accuracy"] == 0.5


@pytest.mark.parametrize("truth", [None, [None] * 4])
def test_without_truth_nothing_is_claimed(truth: list[None] | None) -> None:
    found = label_quality(GIVEN, WEIGHT, VERDICT, NAMES, truth)
    assert found is not None
    assert found["kept"] == 3
    for key in ("accuracy", "kept_accuracy", "auroc_weight", "auroc_score", "ece_weight"):
        assert found[key] is None, key  # type: ignore[literal-required]


def test_what_cannot_be_ranked_is_not_ranked() -> None:
    all_right = label_quality(GIVEN[:2], WEIGHT[:2], VERDICT[:2], NAMES, ["体育", "体育"])
    assert all_right is not None
    assert all_right["auroc_weight"] is None
    no_verdict = label_quality(GIVEN[:2], WEIGHT[:2], np.array([np.nan, 1]), NAMES, ["体育", "财经"])
    assert no_verdict is not None
    assert no_verdict["auroc_score"] is None
    assert no_verdict["auroc_weight"] == 1


def test_no_pool_no_quality() -> None:
    assert label_quality(np.zeros((0, 2)), np.zeros(0), np.zeros(0), NAMES) is None


def test_mistakes_are_the_confident_mistakes_rows() -> None:
    texts = ["right", "sure and wrong", "less sure", "字" * 1000]
    answers = ranked(np.array([[0.9, 0.1], [0.95, 0.05], [0.6, 0.4], [0.2, 0.8]]), NAMES)
    rows = pa.table({"text": texts, "label": ["体育", "财经", "财经", "体育"]})
    task = get_task("text-classification")
    found = worst_mistakes(task, rows, answers)
    assert [row["probability"] for row in found] == [0.95, 0.8, 0.6]
    assert found[0]["text"] == "sure and wrong"
    assert (found[0]["truth"], found[0]["predicted"], found[0]["truth_probability"]) == ("财经", "体育", 0.05)
    assert len(found[1]["text"]) < 400
    assert found[1]["text"].endswith("…")
    assert len(worst_mistakes(task, rows, answers, max_rows=1)) == 1
    assert worst_mistakes(task, rows.slice(0, 0), []) == []


def test_refused_rows_by_reason() -> None:
    rows = [
        {"file": "a.csv", "row": i, "reason": "empty" if i else "duplicate", "text": None} for i in range(9)
    ]
    found = rejected_by_reason(rows)
    assert [(entry["reason"], entry["n"]) for entry in found] == [("empty", 8), ("duplicate", 1)]
    assert [example["row"] for example in found[0]["examples"]] == [1, 2, 3]


def test_reasons_of_one_kind_are_one_line_whatever_their_details() -> None:
    reasons = [
        "empty text",
        *(f"duplicate: the same text is a.csv, row {i}" for i in range(5)),
        "not JSON: x: y",
    ]
    rows = [{"file": "a.csv", "row": i, "reason": reason, "text": "x"} for i, reason in enumerate(reasons)]
    found = rejected_by_reason(rows)
    assert [(entry["reason"], entry["n"]) for entry in found] == [
        ("duplicate", 5),
        ("empty text", 1),
        ("not JSON", 1),
    ]
    assert found[0]["examples"][0]["reason"] == reasons[1]


def test_rows_of_each_class() -> None:
    counts = class_counts(["labeled", "unlabeled", "labeled", "test"], ["体育", None, "体育", "财经"], NAMES)
    assert counts == {"labeled": {"体育": 2, "财经": 0}, "test": {"体育": 0, "财经": 1}}
