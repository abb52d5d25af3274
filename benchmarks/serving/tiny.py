"""A classifier so small that the service itself is all the work: made in a second from a config."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from transformers import (  # type: ignore[attr-defined]
    BertConfig,
    BertForSequenceClassification,
    BertTokenizerFast,
)

from benchmarks.serving.service import LABELS, WORDS
from react_ray.inference.onnx_export import export

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def make_tiny(folder: Path, seed: int = 0) -> Path:
    """Two layers of chance weights over the words of the benchmarks, exported."""
    torch.manual_seed(seed)
    words = [*SPECIAL, *WORDS]
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.5,  # so that labels differ
        id2label=dict(enumerate(LABELS)),
        label2id={name: i for i, name in enumerate(LABELS)},
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    vocabulary = {word: i for i, word in enumerate(words)}
    BertTokenizerFast(vocab=vocabulary, model_max_length=64).save_pretrained(folder)
    export(folder, folder / "onnx", texts(20, seed=seed))
    return folder


def texts(count: int, least: int = 5, most: int = 20, seed: int = 0) -> list[str]:
    """Sentences of so many words each."""
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randint(least, most))) for _ in range(count)]
