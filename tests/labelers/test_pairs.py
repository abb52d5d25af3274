"""The discriminator of open tasks: features of pairs, verdicts out of fold, calibration."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from react_ray.answer import Answer
from react_ray.labelers.pairs import Mix, Pairs, fit_mix, judge_pairs, pair_features
from react_ray.labelers.proposals import verify
from react_ray.tasks import get_task

RANDOM = np.random.default_rng(0)
WIDTH = 8


def embed(texts):
    found = np.array([np.random.default_rng(ord(text[0])).normal(size=WIDTH) for text in texts], np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def pairs(rows: int, each: int = 2, noise: float = 0.3) -> Pairs:
    """Pairs of which the first of each row is right, and has 1 as its first feature."""
    row = np.repeat(np.arange(rows), each)
    right = np.tile(np.r_[1, np.zeros(each - 1)], rows).astype(np.float32)
    features = RANDOM.normal(size=(len(row), 4)).astype(np.float32) * noise
    features[:, 0] += right
    return Pairs(row, features, right, np.ones(len(row), np.float32))


def with_scores(of: Pairs, score: np.ndarray) -> Pairs:
    return Pairs(of.row, of.features, score.astype(np.float32), of.weight)


def test_features_tell_alike_pairs_from_others():
    found = pair_features(embed, [("a", "a", "axe"), ("a", "b", "box")])
    assert found.shape == (2, 2 * (2 * WIDTH + 1) + 3 + 2)
    cosine = 2 * WIDTH
    assert found[0, cosine] == pytest.approx(1)
    assert found[1, cosine] < 0.99
    assert np.allclose(found[0, WIDTH:cosine], 0), "no difference"
    assert not np.allclose(found[1, WIDTH:cosine], 0)
    assert pair_features(embed, []).shape[0] == 0


def test_d_judges_rows_without_their_own_proposals():
    known, candidates = pairs(40), pairs(60)
    wrong = np.repeat(RANDOM.random(60) < 0.3, 2)  # proposals that are the wrong one of the two
    guessed = with_scores(candidates, np.where(wrong, 1 - candidates.score, candidates.score))
    judged = judge_pairs(known, guessed, candidates, seed=0)
    assert ((judged > 0.5) == candidates.score)[wrong].mean() > 0.8, "not what was proposed"
    other = pairs(30)
    assert ((judge_pairs(known, guessed, other, 0, apart=True) > 0.5) == other.score).mean() > 0.9


def test_the_mix_is_calibrated_and_leaves_a_useless_score_out():
    odds = RANDOM.normal(size=2000) * 2
    right = RANDOM.random(2000) < 1 / (1 + np.exp(-odds))
    judged = (1 / (1 + np.exp(-3 * odds))).astype(np.float32)  # too sure of itself
    mix = fit_mix(judged, RANDOM.random(2000).astype(np.float32), right)
    assert mix.weights[0] == pytest.approx(1 / 3, abs=0.1)
    assert mix.weights[1] == pytest.approx(0, abs=0.1)
    assert mix(np.float32([0.5]), np.float32([0.5]))[0] == pytest.approx(0.5, abs=0.05)
    assert Mix()(np.float32([0.9]), np.float32([0.9]))[0] == pytest.approx(0.9)


def verified(score: np.ndarray, judged: np.ndarray, rows: int = 60):
    held_out = with_scores(pairs(rows), score)
    credit = np.tile([1.0, 0.0], rows)
    values = [["right", "wrong"]] * rows
    return verify(values, judged, held_out, judged, held_out, credit, seed=0)


def test_d_chooses_where_it_helps_and_not_where_it_does_not():
    good = np.tile(np.float32([0.8, 0.2]), 60) + RANDOM.normal(size=120).astype(np.float32) * 0.05
    poor = RANDOM.random(120).astype(np.float32)
    found = verified(score=poor, judged=good)
    assert {answer.value for answer in found.answers} == {"right"}
    assert "D chooses them" in found.why
    assert found.figures["with_d"] > found.figures["own_score"]
    found = verified(score=good, judged=poor)
    assert {answer.value for answer in found.answers} == {"right"}
    few = verified(score=np.float32([0.9, 0.1] * 5), judged=np.float32([0.2, 0.8] * 5), rows=5)
    assert "the same weight" in few.why
    assert not few.figures


def test_answers_that_d_worsens_are_left_as_they_are():
    good = np.float32([0.8, 0.2] * 60)
    harmful = np.where(np.repeat(RANDOM.random(60) < 0.5, 2), good, 1 - good)
    held_out = with_scores(pairs(60), np.float32([0.6, 0.4] * 60))
    credit = np.tile([1.0, 0.0], 60)
    credit[:30] = credit[:30][::-1]
    found = verify([["a", "b"]] * 60, harmful, held_out, harmful, held_out, credit, seed=0)
    used = found.figures["with_d"] >= found.figures["own_score"]
    assert ("is not used" in found.why) == (not used)
    if not used:
        assert [answer.score for answer in found.answers] == pytest.approx([0.6] * 60)


def test_wrong_answers_are_spans_that_are_not_right():
    task = get_task("question-answering")
    context = "Ada Lovelace met Charles Babbage in London in 1843."
    rows = pa.Table.from_pylist(
        [
            {"text": context, "question": "Who?", "answers": [[0, 12]]},
            {"text": context, "question": "When?", "answers": [[46, 50]]},
            {"text": context, "question": "Why?", "answers": []},
        ],
        schema=pa.schema([*task.inputs, task.target]),
    )
    wrong = task.wrong_targets(rows, 0)
    assert [[0, 12]] in wrong[1], "the answer of another question"
    assert [[0, 12]] not in wrong[0]
    assert [] in wrong[0]
    assert [] not in wrong[2]
    assert all(3 <= len(some) <= 6 for some in wrong)
    assert wrong == task.wrong_targets(rows, 0)
    asked, answer, sentence = task.pair_texts([[0, 12]], rows.to_pylist()[0])
    assert (asked, answer, sentence) == ("Who?", "Ada Lovelace", context)


def test_wrong_texts_are_of_other_rows_shuffled_or_cut():
    task = get_task("translation")
    targets = ["one two three four five six", "今天天气很好我们出去玩", "x"]
    rows = pa.table({"text": ["a", "b", "c"], task.target.name: targets})
    wrong = task.wrong_targets(rows, 0)
    assert all(target not in some for target, some in zip(targets, wrong, strict=True))
    assert "one two three" in wrong[0]
    assert any(sorted(text) == sorted(targets[1]) for text in wrong[1]), "shuffled by characters"
    assert task.candidates(Answer("a", 0.5, (("a", 0.5), ("b", 0.2)))) == [("a", 0.5), ("b", 0.2)]
