"""Pairs of long texts give the tokens that the whole texts would give, in little memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tokens import LONG, MAX_LENGTH, byte_level, unigram, whole_text_bpe, wordpiece
from tokenizers import Tokenizer

from react_ray.models.tokenizer import QuickTokenizer, TextTokenizer
from react_ray.models.tokens import Side


class Plain(TextTokenizer):
    """Any tokenizer of the tokenizers library."""

    def __init__(self, made: Tokenizer, max_length: int = MAX_LENGTH, side: Side = "right"):
        super().__init__(max_length, side)
        self._made = made

    def _backend(self) -> Tokenizer:
        return self._made


@pytest.fixture(scope="module", params=[wordpiece, byte_level, whole_text_bpe, unigram])
def made(request: pytest.FixtureRequest) -> Tokenizer:
    return request.param()


def whole(tokenizer: TextTokenizer, text: str, other: str) -> list[int]:
    """What the tokenizer gives for a pair of whole texts."""
    ids: list[int] = tokenizer._cutting.encode(text, other).ids
    return ids


@pytest.mark.parametrize("side", ["right", "left"])
@settings(max_examples=12)
@given(texts=st.lists(st.tuples(LONG | st.text(max_size=300), LONG), min_size=1, max_size=3))
def test_long_pairs_give_the_tokens_of_the_whole_texts(
    made: Tokenizer, side: Side, texts: list[tuple[str, str]]
) -> None:
    tokenizer = Plain(made, side=side)
    firsts, seconds = [pair[0] for pair in texts], [pair[1] for pair in texts]
    expected = [whole(tokenizer, *pair) for pair in texts]
    assert [one.ids for one in tokenizer.pairs(firsts, seconds)] == expected


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("the striker " * 400, "a"),
        ("a", "the striker " * 400),
        ("the striker " * 400, "the striker " * 300),
        ("股市上涨" * 300, "股市" * 500),
    ],
)
def test_a_service_reads_the_same_of_long_pairs(made: Tokenizer, side: Side, text: str, other: str) -> None:
    tokenizer = Plain(made, side=side)
    (found,) = QuickTokenizer(tokenizer).pairs([text], [other])
    assert found.ids == whole(tokenizer, text, other)


class Counted:
    """A tokenizer that counts the characters of its texts."""

    def __init__(self, tokenizer: Any):
        self._tokenizer, self.characters = tokenizer, 0

    def encode_batch(self, texts: Sequence[Any]) -> Any:
        self.characters += sum(len(text) if isinstance(text, str) else sum(map(len, text)) for text in texts)
        return self._tokenizer.encode_batch(texts)


def test_not_every_part_of_a_text_is_joined_to_every_part_of_the_other() -> None:
    long = ["the striker scored twice " * 4000] * 2
    for quick in (False, True):
        plain = Plain(wordpiece())
        plain.__dict__["_cutting"] = cutting = Counted(plain._cutting)
        plain._clones[None, "longest_first"] = uncut = Counted(plain._clone(None))
        (QuickTokenizer(plain) if quick else plain).pairs(long, ["a " * 50_000] * 2)
        assert cutting.characters < 5000
        assert (uncut.characters < 5000) == quick
