"""Metrics of summed statistics, against scikit-learn and cases worked out by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, label_ranking_average_precision_score

from react_ray.tasks.closed_metrics import class_scores, class_statistics
from react_ray.tasks.entity_metrics import entity_credit, entity_scores, entity_statistics, error_kinds
from react_ray.tasks.relation_metrics import relation_scores, relation_statistics, relation_types
from react_ray.tasks.set_metrics import set_credit, set_scores, set_statistics
from react_ray.tasks.tagging import Span

seeds = st.integers(0, 10_000)


def summed(statistics):
    return np.asarray(statistics.sum(0))


@given(seeds)
def test_classes_as_in_scikit_learn(seed):
    random = np.random.default_rng(seed)
    truth, predicted = random.integers(0, 4, (2, 12))
    found = class_scores(summed(class_statistics(truth, predicted, 5)))
    assert found["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro", zero_division=0))
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, predicted))


@given(seeds)
def test_sets_as_in_scikit_learn(seed):
    random = np.random.default_rng(seed)
    scores = random.integers(0, 5, (9, 4)) / 4  # with ties
    truth, predicted = random.random((9, 4)) < 0.3, scores > 0.5
    found = set_scores(summed(set_statistics(truth, predicted, scores)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no label is true or predicted at all
        macro = f1_score(truth, predicted, average="macro", zero_division=np.nan)
    assert found["macro_f1"] == pytest.approx(np.nan_to_num(macro))
    assert found["micro_f1"] == pytest.approx(f1_score(truth, predicted, average="micro", zero_division=0))
    assert found["subset_accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    ranking = label_ranking_average_precision_score(truth, scores)
    assert found["label_ranking_average_precision"] == pytest.approx(ranking)
    samples = [f1_score(t, p, zero_division=1.0) for t, p in zip(truth, predicted, strict=True)]
    assert set_credit(truth, predicted) == pytest.approx(samples)


def test_statistics_can_be_summed_in_parts_and_in_many_samples_at_once():
    random = np.random.default_rng(0)
    truth, predicted = random.integers(0, 3, (2, 20))
    statistics = class_statistics(truth, predicted, 3)
    parts = summed(class_statistics(truth[:7], predicted[:7], 3))
    parts = parts + summed(class_statistics(truth[7:], predicted[7:], 3))
    assert class_scores(parts) == class_scores(summed(statistics))
    both = class_scores(np.stack([parts, summed(statistics[:7])]))
    assert both["macro_f1"].shape == (2,)
    assert both["macro_f1"][1] == class_scores(summed(statistics[:7]))["macro_f1"]


TRUE = [[Span(0, 2, "PER"), Span(3, 4, "LOC")], [], [Span(1, 2, "LOC")]]
MADE = [[Span(0, 2, "PER"), Span(3, 5, "LOC")], [Span(0, 1, "PER")], [Span(1, 2, "PER")]]


def test_an_entity_is_right_if_its_span_and_type_are():
    found = entity_scores(summed(entity_statistics(TRUE, MADE, ["LOC", "PER"])))
    assert found["entity_precision"] == pytest.approx(1 / 4)
    assert found["entity_recall"] == pytest.approx(1 / 3)
    assert found["entity_f1"] == pytest.approx(2 * 1 / (3 + 4))
    assert entity_credit(TRUE, MADE).tolist() == [0.5, 0, 0]
    assert entity_credit([[]], [[]]).tolist() == [1]


def test_no_entity_at_all_is_no_division_by_zero():
    found = entity_scores(summed(entity_statistics([[], []], [[], []], ["LOC"])))
    assert found == {"entity_f1": 0, "entity_precision": 0, "entity_recall": 0}


def test_kinds_of_errors_are_told_apart():
    assert error_kinds(TRUE, MADE) == {"type": 1, "boundary": 1, "both": 0, "spurious": 1, "missed": 0}
    far = [[Span(7, 9, "PER")], [], [Span(0, 2, "PER")]]
    assert error_kinds(TRUE, far) == {"type": 0, "boundary": 0, "both": 1, "spurious": 1, "missed": 2}


RELATIONS = ["Cause(e1,e2)", "Cause(e2,e1)", "Part(e1,e2)", "Part(e2,e1)", "Other"]


def relation_f1(truth, predicted):
    rows = (np.array([RELATIONS.index(label) for label in labels]) for labels in (truth, predicted))
    return relation_scores(summed(relation_statistics(*rows, RELATIONS)))["macro_f1"]


@pytest.mark.parametrize(
    ("truth", "predicted", "f1"),
    [
        (["Cause(e1,e2)", "Part(e1,e2)"], ["Cause(e1,e2)", "Part(e1,e2)"], 1),
        # the wrong direction is wrong for precision and for recall, of one type and not of two
        (["Cause(e1,e2)", "Cause(e1,e2)"], ["Cause(e1,e2)", "Cause(e2,e1)"], 1 / 2),
        # Other earns nothing, and what is taken for it lowers recall only
        (["Cause(e1,e2)", "Cause(e1,e2)", "Other"], ["Cause(e1,e2)", "Other", "Other"], 2 / 3),
        # Other taken for a relation lowers precision only
        (["Cause(e1,e2)", "Other"], ["Cause(e1,e2)", "Cause(e2,e1)"], 2 / 3),
        # both directions of a type are counted together: 2 of 3 and 2 of 2, then 0
        (
            ["Cause(e1,e2)", "Cause(e2,e1)", "Part(e1,e2)"],
            ["Cause(e1,e2)", "Cause(e2,e1)", "Cause(e1,e2)"],
            (2 * 2 / (2 + 3) + 0) / 2,
        ),
    ],
)
def test_the_official_figure_of_semeval_2010_task_8(truth, predicted, f1):
    assert relation_f1(truth, predicted) == pytest.approx(f1)


def test_types_and_directions_of_relations():
    assert relation_types(["A-B (e2, e1)", "no_relation", "works for", "无"]) == [
        "A-B",
        None,
        "works for",
        None,
    ]
