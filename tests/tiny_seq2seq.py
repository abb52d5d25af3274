"""Encoder-decoder models with random weights, of the architectures that hubs have most of."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    MarianConfig,
    MarianMTModel,
    MBartConfig,
    MBartForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
)

from react_ray.models.scratch import train_vocabulary

WIDTH, HEADS = 32, 2
ARCHITECTURES = ("marian", "bart", "mbart", "t5")


def save_tiny_seq2seq(folder: Path, texts: Iterable[str], kind: str) -> Path:
    """Save a model of the architecture ``kind`` with a vocabulary of ``texts``."""
    tokenizer = train_vocabulary(texts, 700)
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    tokens = {"vocab_size": len(tokenizer), "pad_token_id": pad, "eos_token_id": end}
    tokens["decoder_start_token_id"] = end if kind in ("bart", "mbart") else pad
    sizes = {"d_model": WIDTH, "encoder_layers": 2, "decoder_layers": 2, "dropout": 0.0}
    sizes |= {"encoder_attention_heads": HEADS, "decoder_attention_heads": HEADS}
    sizes |= {"encoder_ffn_dim": 2 * WIDTH, "decoder_ffn_dim": 2 * WIDTH, "max_position_embeddings": 64}
    torch.manual_seed(1)
    if kind == "t5":
        t5 = {
            "d_model": WIDTH,
            "d_kv": WIDTH // HEADS,
            "d_ff": 2 * WIDTH,
            "num_layers": 2,
            "num_heads": HEADS,
        }
        model = T5ForConditionalGeneration(T5Config(**tokens, **t5, dropout_rate=0.0))
    elif kind == "marian":
        model = MarianMTModel(MarianConfig(**tokens, **sizes, scale_embedding=True, forced_eos_token_id=None))
    else:
        config, architecture = {
            "bart": (BartConfig, BartForConditionalGeneration),
            "mbart": (MBartConfig, MBartForConditionalGeneration),
        }[kind]
        model = architecture(config(**tokens, **sizes, bos_token_id=end, forced_eos_token_id=None))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
