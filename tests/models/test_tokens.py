"""A part of a text gives the token ids that all of it would give, for every kind of tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from react_ray.models.tokens import Side, encode_start, reach_of, truncation_side

CORPUS = [
    "The striker scored twice in the final, and the keeper was sad.",
    "股市今日上涨球队夺得冠军科技公司发布新手机明星演唱会门票",
    "naïve café coöperation re\u0301sume\u0301 मौसम आज अच्छा है ภาษาไทยไม่มีช่องว่าง",
    "aaaaaaa abababab xyzxyzxyz 1234567890 ... !!! \t\n  🚀🚀 👩‍👩‍👧",
] * 20
MAX_LENGTH = 12


def wordpiece() -> Tokenizer:
    made = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.train_from_iterator(
        CORPUS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[UNK]", "[CLS]", "[SEP]"])
    )
    pair = [("[CLS]", made.token_to_id("[CLS]")), ("[SEP]", made.token_to_id("[SEP]"))]
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=pair)
    return made


def byte_level() -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet))
    return made


def whole_text_bpe() -> Tokenizer:
    """As Llama's: the text is one word, spaces are characters of it."""
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>"]))
    return made


def unigram() -> Tokenizer:
    """As SentencePiece's: the likeliest pieces of all of a word, and Chinese is one word."""
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=250, special_tokens=["<unk>"], unk_token="<unk>")
    made.train_from_iterator(CORPUS, trainer)
    return made


@pytest.fixture(scope="module", params=[wordpiece, byte_level, whole_text_bpe, unigram])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return request.param()


def cut(tokenizer: Tokenizer, side: Side) -> Callable[[Sequence[str]], list[list[int]]]:
    tokenizer.enable_truncation(MAX_LENGTH, direction=side)
    return lambda texts: [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]


WORDS = (
    "the |striker|股市上涨|球队|a|aaaa|ab|xyz|1|...|🚀|ﬁ|İ|각|Σ|मौसम|ภาษา|e\u0301|\u0301|\u200d|  |\n|\x00"
)
PARTS = st.sampled_from([*WORDS.split("|"), "q" * 30])
LONG = st.lists(PARTS, min_size=1, max_size=25).flatmap(
    lambda parts: st.integers(1, 60).map(lambda times: "".join(parts) * times)
)


@pytest.mark.parametrize("side", ["right", "left"])
@given(texts=st.lists(LONG | st.text(max_size=400), min_size=1, max_size=4))
def test_a_part_gives_what_the_whole_text_gives(tokenizer: Tokenizer, side: Side, texts: list[str]) -> None:
    encode = cut(tokenizer, side)
    assert encode_start(encode, texts, MAX_LENGTH, side) == encode(texts)


@pytest.mark.parametrize(
    "text",
    [
        "the striker " * 3000,
        "股市上涨" * 9000,
        "a" * 40_000,
        " " * 40_000 + "goal",
        "\u0301" * 40_000,
        "q" * 30 + "ab" * 20_000,
    ],
    ids=["words", "Chinese", "one letter", "spaces first", "marks", "pairs"],
)
@pytest.mark.parametrize("side", ["right", "left"])
def test_long_texts_of_one_kind(tokenizer: Tokenizer, side: Side, text: str) -> None:
    encode = cut(tokenizer, side)
    assert encode_start(encode, [text, "short", ""], MAX_LENGTH, side) == encode([text, "short", ""])


def test_no_more_is_encoded_than_can_be_read() -> None:
    seen: list[int] = []
    encode = cut(wordpiece(), "right")

    def counted(texts: Sequence[str]) -> list[list[int]]:
        seen.extend(map(len, texts))
        return encode(texts)

    encode_start(counted, ["the striker scored twice " * 4000, "short"], MAX_LENGTH)
    assert sum(seen) < 600


def test_the_reach_is_that_of_the_whole_text(tokenizer: Tokenizer) -> None:
    for side, text in (
        ("right", "the striker " * 900),
        ("left", "goal " * 900),
        ("right", "股市" * 999),
        ("right", ""),
    ):
        cut(tokenizer, side)  # type: ignore[arg-type]

        def measure(part: str) -> tuple[list[int], int]:
            encoding = tokenizer.encode(part)
            return encoding.ids, max((end for _, end in encoding.offsets), default=0)

        assert reach_of(measure, text, MAX_LENGTH, side) == measure(text)[1]  # type: ignore[arg-type]


def test_the_side_is_that_of_the_saved_tokenizer(tmp_path: Path) -> None:
    assert truncation_side(tmp_path) == "right"
    for side in ("left", "right"):
        (tmp_path / "tokenizer_config.json").write_text(f'{{"truncation_side": "{side}"}}')
        assert truncation_side(tmp_path) == side
