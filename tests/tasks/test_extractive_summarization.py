"""Selecting sentences: targets, windows, how many, and the text that comes out."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from react_ray.config.settings import AugmentConfig
from react_ray.models.pretrained import load_tokenizer
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.tasks import get_task
from react_ray.tasks.columns import NO_OPTIONS

TASK = get_task("extractive-summarization")
TEXT = "Rain fell all day. Leeds won the cup final. Fans sang. The coach will retire."
SUMMARY = "Leeds won the cup final. The coach will retire."


def rows_of(*cells: dict) -> pa.Table:
    rows = [TASK.parse(one, NO_OPTIONS) for one in cells]
    return pa.Table.from_pylist(rows, schema=pa.schema([*TASK.inputs, TASK.target]))


def outputs_for(examples, probability_of):
    """Logits whose softmax selects a sentence with ``probability_of`` its number."""
    return [
        np.log(np.array([[1 - probability_of[n], probability_of[n]] for n in one.places.words.tolist()]))
        for one in examples
    ]


@pytest.fixture(scope="module")
def tokenizer():
    return TransformersTokenizer(load_tokenizer("embedded"), 32)


def test_every_token_of_a_sentence_learns_whether_it_is_selected(tokenizer):
    (example,) = TASK.encode(tokenizer, rows_of({"document": TEXT, "summary": SUMMARY}), [])
    assert set(example.places.words.tolist()) == {0, 1, 2, 3}
    assert len(example.places.words) == len(example.ids) - 2, "all but the special tokens"
    chosen = {
        word for word, target in zip(example.places.words.tolist(), example.target, strict=True) if target[1]
    }
    assert chosen == {1, 3}


def test_a_long_document_is_read_to_its_end_in_windows(tokenizer):
    document = " ".join(f"Sentence {n} says nothing new at all." for n in range(40)) + " The coach retires."
    rows = rows_of({"document": document, "summary": "The coach retires."})
    examples = TASK.encode(tokenizer, rows, [])
    assert len(examples) > 5
    assert {word for one in examples for word in one.places.words.tolist()} == set(range(41))
    probabilities = dict.fromkeys(range(41), 0.01) | {40: 0.9}
    (answer,) = TASK.decode(
        outputs_for(examples, probabilities), examples, rows, [], {"summary_sentences": 1}
    )
    assert TASK.shown(answer.value, rows.to_pylist()[0]) == "The coach retires."
    assert answer.score == pytest.approx(0.9, abs=1e-5)


def test_sentences_come_in_the_order_of_the_document_and_chinese_without_spaces(tokenizer):
    rows = rows_of({"document": "今天下雨。球队夺冠。教练退休。"})
    examples = TASK.encode(tokenizer, rows, [])
    outputs = outputs_for(examples, {0: 0.1, 1: 0.7, 2: 0.8})
    (answer,) = TASK.decode(outputs, examples, rows, [], {"summary_sentences": 2})
    row = rows.to_pylist()[0]
    assert TASK.columns_of(answer, row)["summary_text"] == "球队夺冠。教练退休。"
    (entry,) = TASK.wire(answer, row)
    assert [row["text"][one["start"] : one["end"]] for one in entry["sentences"]] == [
        "球队夺冠。",
        "教练退休。",
    ]


def test_the_number_of_sentences_is_the_one_with_the_best_rouge(tokenizer):
    rows = rows_of(*[{"document": TEXT, "summary": SUMMARY}] * 3)
    examples = TASK.encode(tokenizer, rows, [])
    outputs = outputs_for(examples, {0: 0.1, 1: 0.9, 2: 0.2, 3: 0.8})
    model = SimpleNamespace(config=SimpleNamespace())
    assert TASK.calibrate(model, outputs, examples, rows, []) == {"summary_sentences": 2}
    settled = SimpleNamespace(config=SimpleNamespace(react_ray={"task": "x"}))
    assert TASK.settle(settled, examples, [], lambda some: []) == {"summary_sentences": 2}
    assert settled.config.react_ray == {"task": "x", "summary_sentences": 2}


def test_copies_keep_the_sentences_that_the_summary_needs():
    row = TASK.parse({"document": TEXT, "summary": SUMMARY}, NO_OPTIONS)
    copies = TASK.augment(row, AugmentConfig(copies=8, strength=0.5), 0)
    assert copies
    for copy in copies:
        assert "Leeds won" in copy["text"]
        assert "retire" in copy["text"]
        assert copy["text"] != TEXT
        assert copy["summary"] == SUMMARY
    assert TASK.augment(TASK.parse({"document": TEXT}, NO_OPTIONS), AugmentConfig(), 0) == []


def test_the_report_has_baselines_and_marked_documents(tokenizer):
    rows = rows_of({"document": TEXT, "summary": SUMMARY}, {"document": "One. Two.", "summary": "Two."})
    answers = TASK.decide(
        [np.array([[0.9, 0.1], [0.1, 0.9], [1, 0], [0, 1]]), np.array([[0, 1], [1, 0]])], rows, []
    )
    scores, documents = TASK.sections(answers, rows, [])
    assert [line[0] for line in scores["data"]["rows"]] == ["model", "lead", "text rank", "oracle"]
    assert scores["data"]["rows"][3][1] == 1.0
    first = documents["data"]["items"][0]["texts"][0]
    assert first["text"] == "One. Two.", "the worst first"
    assert [mark[:2] for mark in first["above"]] == [[5, 9]]
    assert [mark[:2] for mark in first["below"]] == [[0, 4]]
