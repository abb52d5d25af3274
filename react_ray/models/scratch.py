"""A small Transformer with a vocabulary of its own, to be trained from random weights.

The architecture is that of Pegasus: a plain Transformer that normalizes the inputs of its layers, not their
outputs (Xiong et al. 2020, arXiv:2002.04745), and so trains faster and with higher rates. The sizes are those
of the tiny Transformer of Wu et al. 2021 (arXiv:2105.14462) for Multi30k: 4 layers each, 128 dimensions, one
matrix for all embeddings.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    GenerationConfig,
    PegasusConfig,
    PegasusForConditionalGeneration,
    PreTrainedTokenizerFast,
)

__all__ = ["save_scratch_model", "train_vocabulary"]

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
MAX_TOKENS = 512
WIDTH = 128
"""Weights start with a standard deviation of its root's inverse (Glorot and Bengio 2010), not with 0.02."""
FEW_TEXTS, SMALL, LARGE = 40_000, 4000, 8000
"""Tokens of the vocabulary: SMALL for up to FEW_TEXTS texts, where few words are frequent, else LARGE."""
ALPHABET = 3000
DROPOUT = 0.1
LONGEST_TOKEN = 16


def train_vocabulary(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """Train a vocabulary of subwords: byte-pair encoding with SentencePiece's treatment of spaces.

    Rare characters become bytes, so that no text is unknown.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN, byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(), decoders.Fuse()])
    byte_tokens = [f"<0x{number:02X}>" for number in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(byte_tokens),
        special_tokens=[PAD, END, UNKNOWN],
        limit_alphabet=ALPHABET,
        max_token_length=LONGEST_TOKEN,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer = _with_bytes(tokenizer, byte_tokens)
    end = tokenizer.token_to_id(END)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", pair=f"$A $B {END}", special_tokens=[(END, end)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        model_max_length=MAX_TOKENS,
        model_input_names=["input_ids", "attention_mask"],
    )


def _with_bytes(tokenizer: Tokenizer, byte_tokens: list[str]) -> Tokenizer:
    """Add the tokens of bytes to the vocabulary of a trained model."""
    state = json.loads(tokenizer.to_str())
    vocabulary = state["model"]["vocab"]
    for token in byte_tokens:
        vocabulary.setdefault(token, len(vocabulary))
    return Tokenizer.from_str(json.dumps(state))


def save_scratch_model(texts: list[str], folder: Path, seed: int = 0) -> Path:
    """Save a model with random weights, and a vocabulary trained on ``texts``, for transformers to load."""
    tokenizer = train_vocabulary(texts, SMALL if len(texts) <= FEW_TEXTS else LARGE)
    torch.manual_seed(seed)
    model = PegasusForConditionalGeneration(_config(tokenizer))
    generation = GenerationConfig.from_model_config(model.config)
    generation.bad_words_ids = None
    model.generation_config = generation
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _config(tokenizer: PreTrainedTokenizerFast) -> PegasusConfig:
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    return PegasusConfig(
        vocab_size=len(tokenizer),
        d_model=WIDTH,
        init_std=WIDTH**-0.5,
        encoder_layers=4,
        decoder_layers=4,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=256,
        decoder_ffn_dim=256,
        activation_function="relu",
        dropout=DROPOUT,
        max_position_embeddings=MAX_TOKENS,
        scale_embedding=True,
        tie_word_embeddings=True,
        pad_token_id=pad,
        eos_token_id=end,
        decoder_start_token_id=pad,
        forced_eos_token_id=None,
    )
