"""The share of texts and tokens that a model does not read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from react_ray.models.pretrained import load_tokenizer
from react_ray.models.tokenizer import QuickTokenizer, TransformersTokenizer
from react_ray.tasks import get_task
from react_ray.tasks.cutting import MOST_INPUTS, cut_shares, read_and_cut

SPECIAL = 2


def tokenizer(model: Path, length: int = 12) -> TransformersTokenizer:
    return TransformersTokenizer(load_tokenizer(str(model)), length)


@pytest.mark.parametrize(("words", "cut"), [(1, 0), (9, 0), (10, 0), (11, 1), (30, 20)])
def test_tokens_beyond_the_maximum_length_are_counted_exactly(tiny_model: Path, words: int, cut: int) -> None:
    rows = pa.table({"text": ["a " * words, "b"]})
    shares = cut_shares(get_task("text-classification"), tokenizer(tiny_model), rows, ["x", "y"])
    total = words + SPECIAL + 1 + SPECIAL
    read = (total - cut) / 2
    assert shares == {"rows": 2, "texts": (cut > 0) / 2, "tokens": cut / total, "read": read}


def test_both_texts_of_a_pair_count_and_texts_read_in_windows_are_not_cut(tiny_model: Path) -> None:
    rows = pa.table({"text": ["a " * 5, "a"], "text_pair": ["b " * 9, "b"]})
    shares = cut_shares(get_task("text-pair-classification"), tokenizer(tiny_model), rows, ["x", "y"])
    assert shares == {"rows": 2, "texts": 0.5, "tokens": 5 / (5 + 9 + 3 + 5), "read": (12 + 5) / 2}
    long = {"text": "a " * 50, "starts": [2 * n for n in range(50)], "ends": [2 * n + 1 for n in range(50)]}
    task = get_task("token-classification")
    words = pa.Table.from_pylist([long], pa.schema(task.inputs))
    assert cut_shares(task, tokenizer(tiny_model), words, ["PER"])["texts"] == 0


def test_a_question_that_is_cut_in_front_of_its_context_is_counted(tiny_model: Path) -> None:
    task = get_task("question-answering")
    rows = pa.table({"text": ["b " * 50, "b"], "question": ["a " * 30, "a"]})
    texts = tokenizer(tiny_model, 20)
    shares = cut_shares(task, texts, rows, [])
    (first, *_), _ = texts.pair_windows(rows["question"].to_pylist(), rows["text"].to_pylist(), 5)
    left_out = 30 - first.parts.count(0)
    assert 0 < left_out < 30
    assert shares["texts"] == 0.5
    assert shares["tokens"] * (2 * shares["read"] + left_out) == pytest.approx(left_out)
    quick = QuickTokenizer(texts)
    examples = task.encode(quick, rows, [])
    assert read_and_cut(task, quick, quick.longer(4), rows, [], examples)[:, 1].tolist() == [left_out, 0]


def test_a_relation_between_distant_entities_is_cut(tiny_model: Path) -> None:
    task = get_task("relation-extraction")
    text = "a " * 40
    row = {"text": text, "e1_start": 0, "e1_end": 1, "e2_start": 70, "e2_end": 71}
    near = {"text": "a b", "e1_start": 0, "e1_end": 1, "e2_start": 2, "e2_end": 3}
    rows = pa.Table.from_pylist([row, near], pa.schema(task.inputs))
    shares = cut_shares(task, tokenizer(tiny_model, 20), rows, ["x", "y"])
    assert shares["texts"] == 0.5
    assert shares["tokens"] > 0.3


def test_a_huge_text_is_counted_up_to_a_limit_without_being_tokenized(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = tokenizer(tiny_model)
    longest = 0
    tokenize = TransformersTokenizer.ids

    def watched(self: TransformersTokenizer, given: list[str]) -> list[list[int]]:
        nonlocal longest
        longest = max(longest, *map(len, given))
        return tokenize(self, given)

    monkeypatch.setattr(TransformersTokenizer, "ids", watched)
    rows = pa.table({"text": ["a " * 1_000_000]})
    shares = cut_shares(get_task("text-classification"), texts, rows, ["x", "y"])
    assert shares["tokens"] == pytest.approx(1 - 1 / MOST_INPUTS)
    assert longest < 100_000


def test_a_tokenizer_of_another_length_leaves_the_first_as_it_is(tiny_model: Path) -> None:
    first = QuickTokenizer(tokenizer(tiny_model, 8))
    other = first.longer(2)
    assert [len(some.ids(["a " * 50])[0]) for some in (first, other, first)] == [8, 16, 8]
    pairs = [len(some.pairs(["a " * 50], ["b " * 50])[0].ids) for some in (first, other, first)]
    assert pairs == [8, 16, 8]
    rows = pa.table({"text": ["a " * 12]})
    counts = read_and_cut(get_task("text-classification"), first, other, rows, ["x", "y"])
    assert counts.tolist() == [[8, 6]]
