"""A small BERT with random weights, made from a config: quick, and no download."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

__all__ = ["save_tiny_model"]

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def save_tiny_model(folder: Path, vocabulary: Iterable[str], seed: int = 0, hidden: int = 32) -> Path:
    """Save two layers of width ``hidden`` that know the words (or characters) in ``vocabulary``."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast  # type: ignore[attr-defined]

    folder.mkdir(parents=True, exist_ok=True)
    words = [*SPECIAL, *dict.fromkeys(vocabulary)]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    tokenizer = BertTokenizerFast(vocab={word: i for i, word in enumerate(words)}, model_max_length=64)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=hidden,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=2 * hidden,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
