"""Windows of long texts: what they hold, and how their outputs are joined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from react_ray.errors import InputError
from react_ray.models.pretrained import load_tokenizer
from react_ray.models.tokenizer import QuickTokenizer, SavedTokenizer, TransformersTokenizer
from react_ray.tasks import get_task
from react_ray.tasks.cutting import cut_shares
from react_ray.tasks.example import Example
from react_ray.tasks.windows import join_windows, saved_windows

LENGTH, ROOM = 8, 6
WORDS = list("abcdefghijklmnopqrstuvwxyz")


@pytest.fixture(scope="module")
def make(tiny_model: Path):
    loaded = load_tokenizer(str(tiny_model))

    def of(windows: int, length: int = LENGTH) -> TransformersTokenizer:
        return TransformersTokenizer(loaded, length, windows=windows)

    return of


def words_of(tokenizer: TransformersTokenizer, ids: list[int]) -> list[str]:
    return tokenizer.text_of(ids).split()


def test_windows_follow_each_other_and_stop_at_the_maximum(make) -> None:
    tokenizer = make(3)
    (found,) = tokenizer.long_ids([" ".join(WORDS)])
    assert [words_of(tokenizer, ids) for ids in found] == [WORDS[:6], WORDS[6:12], WORDS[12:18]]
    assert [len(some) for some in make(64).long_ids(["a", " ".join(WORDS[:ROOM]), " ".join(WORDS)])] == [
        1,
        1,
        5,
    ]


@given(
    texts=st.lists(st.text("ab 中,\n", max_size=120), min_size=1, max_size=4),
    windows=st.integers(1, 4),
)
def test_every_tokenizer_gives_the_same_windows(tiny_model: Path, texts: list[str], windows: int) -> None:
    loaded = load_tokenizer(str(tiny_model))
    plain = TransformersTokenizer(loaded, LENGTH, windows=windows)
    saved = SavedTokenizer(tiny_model, LENGTH, loaded.cls_token_id, windows)
    expected = plain.long_ids(texts)
    for other in (saved, QuickTokenizer(plain), QuickTokenizer(saved)):
        assert other.long_ids(texts) == expected
    assert [some[0] for some in expected] == plain.ids(texts)
    assert all(len(some) <= windows for some in expected)
    pairs = plain.long_pairs(texts, texts[::-1])
    for other in (saved, QuickTokenizer(plain), QuickTokenizer(saved)):
        found = other.long_pairs(texts, texts[::-1])
        assert [[one.ids for one in some] for some in found] == [[one.ids for one in some] for some in pairs]


def test_the_longer_text_of_a_pair_is_read_in_windows_and_the_other_in_each(make) -> None:
    tokenizer = make(9, 16)
    long, short = " ".join(WORDS), "z y"
    for texts, part in (((long, short), 0), ((short, long), 1)):
        (windows,) = tokenizer.long_pairs([texts[0]], [texts[1]])
        assert len(windows) == 3
        read: list[list[str]] = [[], []]
        for window in windows:
            sides = [
                [i for i, p in zip(window.ids, window.parts, strict=True) if p == side] for side in (0, 1)
            ]
            read[part] += words_of(tokenizer, sides[part])
            assert words_of(tokenizer, sides[1 - part]) == ["z", "y"]
        assert read[part] == WORDS


@pytest.mark.parametrize(
    "task", ["text-classification", "text-pair-classification", "multi-label-classification"]
)
def test_a_window_has_the_target_of_its_row_and_a_share_of_its_weight(make, task: str) -> None:
    labels = ["x", "y"]
    target = {"labels": [["y"], ["x"]]} if task.startswith("multi") else {"label": ["y", "x"]}
    rows = pa.table({"text": ["a " * 15, "b"], "text_pair": ["c", "d"], "weight": [0.5, 0.25], **target})
    one, several = (get_task(task).encode(make(n), rows, labels) for n in (1, 9))
    assert [(e.row, e.weight) for e in one] == [(0, 0.5), (1, 0.25)]
    assert len(several) > 3
    assert sum(e.weight for e in several if e.row == 0) == pytest.approx(0.5)
    assert {tuple(e.target) for e in several if e.row == 0} == {(0, 1)}
    last = several[-1]
    assert (last.ids, last.weight, tuple(last.target), last.row) == (one[1].ids, 0.25, (1, 0), 1)


def test_outputs_are_averaged_by_tokens_and_single_windows_keep_every_bit() -> None:
    outputs = [np.float32([0.1, 1 / 3]), np.float32([3, 0]), np.float32([0, 3]), np.float32([7, 7])]
    examples = [Example([1]), Example([1, 2], row=1), Example([3], row=1), Example([4], row=2)]
    joined = join_windows(outputs, examples)
    assert joined[0] is outputs[0]
    assert joined[2] is outputs[3]
    np.testing.assert_allclose(joined[1], [2, 1])
    assert joined[1].dtype == np.float32


def test_windows_are_counted_as_read(make) -> None:
    rows, labels = pa.table({"text": ["a " * 13, "b"]}), ["x", "y"]
    task = get_task("text-classification")
    assert cut_shares(task, make(3), rows, labels)["texts"] == 0
    assert cut_shares(task, make(2), rows, labels) == {
        "rows": 2,
        "texts": 0.5,
        "tokens": 3 / (8 + 8 + 3 + 3),
        "read": (8 + 8 + 3) / 2,
    }


@pytest.mark.parametrize("wrong", [0, 65, "4", True, 2.0, None])
def test_a_number_of_windows_that_no_model_has_is_an_error(wrong) -> None:
    assert (saved_windows({}), saved_windows({"windows": 4})) == (1, 4)
    with pytest.raises(InputError, match=r"config\.json: react_ray\.windows"):
        saved_windows({"windows": wrong})
