"""Vocabularies trained on the user's texts, for models from scratch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from react_ray.config.sections.pretraining import PretrainConfig
from react_ray.errors import InputError

__all__ = ["train_vocabulary"]

PAD, UNKNOWN, START, END, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ALPHABET_SHARE = 0.8
"""Most characters of a vocabulary, as a share of its tokens: Chinese texts have thousands, rare ones are
unknown."""


def train_vocabulary(texts: Iterable[str], config: PretrainConfig) -> PreTrainedTokenizerFast:
    """Train a vocabulary of at most ``config.vocabulary`` tokens.

    ``wordpiece`` splits texts as BERT does: at spaces and punctuation, and Chinese at every character.
    ``bpe`` splits words into sequences of bytes, so that no text is unknown. Raises InputError if the texts
    have no word.
    """
    tokenizer, trainer = _wordpiece(config) if config.tokenizer == "wordpiece" else _bpe(config)
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() <= len(SPECIAL):
        raise InputError(f"{config.input}: the texts have no word to train a vocabulary on")
    numbers = [(token, tokenizer.token_to_id(token)) for token in (START, END)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", pair=f"{START} $A {END} $B:1 {END}:1", special_tokens=numbers
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        cls_token=START,
        sep_token=END,
        mask_token=MASK,
        model_max_length=config.max_length,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def _wordpiece(config: PretrainConfig) -> tuple[Tokenizer, Any]:
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.BertNormalizer(strip_accents=False, lowercase=config.lowercase),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    alphabet = max(1, int(config.vocabulary * ALPHABET_SHARE))
    return tokenizer, trainers.WordPieceTrainer(
        vocab_size=config.vocabulary,
        special_tokens=list(SPECIAL),
        limit_alphabet=alphabet,
        show_progress=False,
    )


def _bpe(config: PretrainConfig) -> tuple[Tokenizer, Any]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer, trainers.BpeTrainer(
        vocab_size=config.vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
