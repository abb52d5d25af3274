from __future__ import annotations

import numpy as np
import pytest

from react_ray.data.views import BLOCKS
from react_ray.labelers.candidates import fold_of_rows
from react_ray.labelers.label_steps import HeldOut, label_steps, try_verifier

WIDTH = 8


def features_of(vectors):
    """Blocks of which each has the vectors."""
    return np.tile(vectors, BLOCKS).astype(np.float32)


def a_pool(exclusive: bool):
    """30 labelled rows, 300 of the pool with noisy proposals, the features of the names, and the truth."""
    random = np.random.default_rng(0)
    directions = np.eye(3, WIDTH)
    classes = random.choice(3, 330, p=[0.7, 0.2, 0.1])
    truth = np.eye(3)[classes] if exclusive else (random.random((330, 3)) < [0.5, 0.2, 0.1]).astype(float)
    vectors = truth @ directions + random.normal(0, 0.3, (330, WIDTH))
    noisy = truth * 2 + random.normal(0, 1, (330, 3)) - [0, 4, 4]
    given = np.exp(noisy) / np.exp(noisy).sum(1, keepdims=True) if exclusive else 1 / (1 + np.exp(-noisy))
    known = {"features": features_of(vectors[:30])}
    pool = {"features": features_of(vectors[30:]), "given": given[30:].astype(np.float32)}
    return known, truth[:30].astype(np.float32), pool, features_of(directions), truth[30:]


def test_sets_keep_the_shares_of_the_labelled_rows_and_names_put_right_rows_first():
    known, truth, pool, names, in_truth = a_pool(exclusive=False)
    steps, weight = label_steps(known, truth, pool, False, None, names, 0)
    assert list(steps) == ["proposed", "by names", "joined with names", "aligned", "sharpened"]
    assert weight > 0
    shares = truth.mean(0)
    for name in ("aligned", "sharpened"):
        assert steps[name].mean(0)[shares > 0] == pytest.approx(shares[shares > 0], abs=1e-3)

    def in_order(found):
        rare = in_truth[:, 2] == 1
        return (found[rare, 2][:, None] > found[~rare, 2]).mean()

    assert in_order(steps["aligned"]) > in_order(steps["proposed"])


def test_tags_are_judged_by_d_and_have_no_names():
    known, truth, pool, _, in_truth = a_pool(exclusive=True)
    steps, weight = label_steps(known, truth, pool, True, fold_of_rows(300, 0), None, 0)
    assert list(steps) == ["proposed", "by D", "joined", "aligned", "sharpened"]
    assert weight == 0
    for found in steps.values():
        assert found.sum(1) == pytest.approx(np.ones(300), abs=1e-4)
    assert steps["proposed"][:, 0].mean() > truth[:, 0].mean(), "it had to be aligned"
    assert steps["aligned"][:, 0].mean() <= truth[:, 0].mean() + 1e-3

    def right(found):
        return (found.argmax(1) == in_truth.argmax(1)).mean()

    assert right(steps["aligned"]) > right(steps["proposed"])


def test_an_empty_pool_has_no_labels():
    known, truth, pool, names, _ = a_pool(exclusive=False)
    empty = {name: values[:0] for name, values in pool.items()}
    steps, weight = label_steps(known, truth, empty, False, None, names, 0)
    assert {len(found) for found in steps.values()} == {0}
    assert weight == 0


def choose(known, truth, pool, in_truth, held_out: int):
    """Label the pool, whose last rows are held out, and return the labels, the verdict, and those alone."""

    def label(with_d: bool):
        return label_steps(known, truth, pool, True, fold_of_rows(300, 0) if with_d else None, None, 0)

    def score(labels):
        return float((labels.argmax(1) == in_truth.argmax(1))[-held_out:].mean())

    evidence = HeldOut(held_out, "entity_f1", score) if held_out else None
    steps, _, verifier = try_verifier(label, evidence)
    return steps, verifier, score(label(True)[0]["aligned"]), score(label(False)[0]["aligned"])


def test_d_is_joined_where_held_out_rows_are_labelled_better_with_it():
    known, truth, pool, _, in_truth = a_pool(exclusive=True)
    steps, verifier, with_d, without_d = choose(known, truth, pool, in_truth, held_out=100)
    assert with_d > without_d
    assert verifier.used
    assert "joined" in steps
    assert verifier.figures == {"rows": 100, "with_d": with_d, "without_d": without_d}
    assert verifier.why == (
        f"On 100 held-out rows the proposals have an entity F1 of {with_d:.3f} joined with D and "
        f"{without_d:.3f} alone, so D is joined."
    )


def test_d_is_left_out_where_held_out_rows_are_labelled_worse_with_it():
    known, truth, pool, _, in_truth = a_pool(exclusive=True)
    random = np.random.default_rng(0)
    known["features"], pool["features"] = (
        random.normal(size=units["features"].shape).astype(np.float32) for units in (known, pool)
    )
    steps, verifier, with_d, without_d = choose(known, truth, pool, in_truth, held_out=100)
    assert with_d < without_d
    assert not verifier.used
    assert list(steps) == ["proposed", "aligned", "sharpened"]
    assert "so D is not used" in verifier.why


def test_without_held_out_rows_d_is_joined():
    known, truth, pool, _, in_truth = a_pool(exclusive=True)
    steps, verifier, *_ = choose(known, truth, pool, in_truth, held_out=0)
    assert "joined" in steps
    assert (verifier.used, verifier.figures) == (True, {})
    assert "too few held-out rows" in verifier.why
