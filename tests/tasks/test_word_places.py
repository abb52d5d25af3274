"""Which token stands for a word: any text, windows of any size, tokenizers that join and leave out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from react_ray.models.pretrained import load_tokenizer
from react_ray.models.tokenizer import TextTokenizer, TransformersTokenizer, Window
from react_ray.tasks.word_places import place_all_tokens, place_words
from react_ray.tasks.word_splitting import split_words

PIECES = ["▁", "▁New", "▁York", "北京", "市", "a", "b", "▁a", "ab", "."]


class Pieces(TextTokenizer):
    """As XLM-R and T5: spaces belong to the token behind them, and a token may be several words."""

    def _backend(self) -> Tokenizer:
        backend = Tokenizer(models.Unigram([("<unk>", -20.0), *((p, -float(len(p) < 2)) for p in PIECES)], 0))
        backend.normalizer = normalizers.Replace("\x07", "")
        backend.pre_tokenizer = pre_tokenizers.Metaspace()
        backend.decoder = decoders.Metaspace()
        return backend


class Bytes(TextTokenizer):
    """As GPT-2 and RoBERTa: a character may be several tokens."""

    def _backend(self) -> Tokenizer:
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        backend = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.post_processor = processors.ByteLevel(trim_offsets=False)
        return backend


def placed(tokenizer: TextTokenizer, text: str) -> dict[str, list[str]]:
    """Words with the texts of their tokens, over all windows."""
    words = split_words(text)
    windows = tokenizer.windows([text], 2)[0]
    found: dict[str, list[str]] = {}
    for window, (numbers, tokens) in zip(
        windows, place_words(windows, words.starts, words.ends), strict=True
    ):
        for word, token in zip(numbers, tokens, strict=True):
            start, end = window.offsets[token]
            found.setdefault(f"{word} {words.words()[word]}", []).append(text[start:end])
    return found


@pytest.mark.parametrize("side", ["left", "right"])
def test_tokens_of_several_words_and_with_spaces(side):
    found = placed(Pieces(32, side), "New York 北京市.")
    assert list(found) == ["0 New", "1 York", "2 北", "3 京", "4 市", "5 ."]
    assert [tokens[0].strip() for tokens in found.values()] == ["New", "York", "北京", "北京", "市", "."]


def test_the_space_before_a_sentence_is_no_reason_to_lose_its_first_token():
    (window,) = Pieces(32, "right").windows(["a b. New York."], 0)[0]
    ((spans, tokens),) = place_all_tokens([window], [0, 5], [4, 14])
    texts = ["a b. New York."[slice(*window.offsets[token])] for token in tokens]
    assert list(zip(spans.tolist(), texts, strict=True))[-3:] == [(1, " New"), (1, " York"), (1, ".")]


def test_words_that_the_tokenizer_leaves_out_have_no_place():
    assert list(placed(Pieces(32, "right"), "a \x07 b")) == ["0 a", "2 b"], "the bell between them is a word"


@given(
    text=st.text(st.sampled_from("ab .北京市é😀"), max_size=30),
    length=st.integers(5, 12),
    side=st.sampled_from(["left", "right"]),
)
@pytest.mark.parametrize("kind", [Pieces, Bytes, "tiny"])
def test_each_word_is_read_once_by_its_first_token(kind, text, length, side, tiny_model: Path):
    if kind == "tiny":
        known = load_tokenizer(str(tiny_model))
        known.truncation_side = side
        tokenizer: TextTokenizer = TransformersTokenizer(known, length)
    else:
        tokenizer = kind(length, side)
    found = placed(tokenizer, text)
    words = split_words(text).words()
    assert sorted(found) == sorted(f"{number} {word}" for number, word in enumerate(words))
    for name, tokens in found.items():
        word = name.split()[1]
        assert len(tokens) == 1
        first = tokens[0].strip("▁ ")
        assert not first or word[0] in first, (name, tokens)


def test_a_word_counts_where_it_has_the_most_context():
    def window(first: int, last: int) -> Window:
        spots = [(i, i + 1) for i in range(first, last)]
        return Window([0] * (len(spots) + 2), [], [(0, 0), *spots, (0, 0)], [None, *[0] * len(spots), None])

    windows = [window(0, 8), window(4, 12)]
    found = place_words(windows, range(12), range(1, 13))
    assert [place.words.tolist() for place in found] == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert found[1].tokens.tolist() == [3, 4, 5, 6, 7, 8]
