"""Saved models with random weights that generate texts, of several architectures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from tiny_seq2seq import ARCHITECTURES, save_tiny_seq2seq
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    M2M100Config,
    M2M100ForConditionalGeneration,
    MarianConfig,
    MarianMTModel,
    NllbTokenizer,
    PreTrainedModel,
)

from react_ray.models.scratch import train_vocabulary
from react_ray.models.seq2seq import configure

__all__ = ["KINDS", "save_endless", "save_generator", "texts"]

KINDS = (*ARCHITECTURES, "m2m_100")
SETTINGS = {"beams": 3, "max_new_tokens": 10}
LANGUAGES = {"source_language": "eng_Latn", "target_language": "deu_Latn"}


def texts() -> list[str]:
    draw = np.random.default_rng(0)
    return [" ".join(draw.permutation(list("abcdefghij"))[: 3 + n % 4].tolist()) for n in range(20)]


def save_generator(folder: Path, kind: str) -> Path:
    """Save a model for translation that is sure of its answers, as a trained one is."""
    if kind == "m2m_100":
        _save_m2m(folder)
    else:
        save_tiny_seq2seq(folder, texts(), kind)
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    settings = {**SETTINGS, **(LANGUAGES if kind == "m2m_100" else {})}
    _sharpen(model)
    configure(model, tokenizer, settings)
    model.config.react_ray = {"task": "translation", **settings}
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_endless(folder: Path, tokens: int) -> Path:
    """Save a model for translation that writes "a" without end: each text has ``tokens`` tokens."""
    save_tiny_seq2seq(folder, texts(), "marian")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = MarianMTModel(MarianConfig.from_pretrained(folder, max_position_embeddings=tokens + 1))
    with torch.no_grad():
        model.final_logits_bias[0, tokenizer.encode("a")[0]] = 1e4
    settings = {"beams": 1, "max_new_tokens": tokens}
    configure(model, tokenizer, settings)
    model.config.react_ray = {"task": "translation", **settings}
    model.save_pretrained(folder)
    return folder


def _sharpen(model: PreTrainedModel) -> None:
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.dim() == 2:
                weights.mul_(1.0 if "t5" in model.config.model_type and "shared" not in name else 4.0)


def _save_m2m(folder: Path) -> None:
    state = json.loads(train_vocabulary(texts(), 400).backend_tokenizer.to_str())["model"]
    words = dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", *state["vocab"]])
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = NllbTokenizer(vocab=vocabulary, merges=[tuple(pair) for pair in state["merges"]])
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "decoder_start_token_id": 2}
    torch.manual_seed(0)
    config = M2M100Config(vocab_size=len(tokenizer), d_model=32, dropout=0.0, **sizes, **heads)
    M2M100ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
