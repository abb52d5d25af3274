"""Small decoders with random weights, which read the words of ``tiny_training``."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    AutoModel,
    GPT2Config,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
}


def save_decoder(folder: Path, kind: str, tiny_model: Path, side: str = "right", layers: int = 2) -> Path:
    """One whose tokenizer pads on ``side``, and by the end token where the kind has no other.

    Texts end with the end token.
    """
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_model)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, unk_token="[UNK]", eos_token="[SEP]", padding_side=side
    ).save_pretrained(folder)
    torch.manual_seed(0)  # Qwen2 brings a padding token of its own: one word more
    AutoModel.from_config(_config(kind, len(tokenizer) + 1, layers)).save_pretrained(folder)
    return folder


def _config(kind: str, words: int, layers: int) -> PretrainedConfig:
    if kind == "gpt2":
        return GPT2Config(vocab_size=words, n_embd=32, n_layer=layers, n_head=2, n_positions=64)
    return {"llama": LlamaConfig, "qwen2": Qwen2Config}[kind](
        vocab_size=words, num_hidden_layers=layers, num_key_value_heads=2, **SIZES
    )
