"""Small encoders with random weights, of the architectures that hubs have most of, and decoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tiny_decoders import save_decoder
from transformers import (
    AlbertConfig,
    AutoModel,
    AutoTokenizer,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLMRobertaConfig,
)

SIZES = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
PLACES = {"max_position_embeddings": 66, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
CONFIGS: dict[str, tuple[type[PretrainedConfig], dict[str, Any]]] = {
    "albert": (AlbertConfig, {**SIZES, **PLACES, "embedding_size": 16}),
    "deberta-v2": (
        DebertaV2Config,
        {**SIZES, **PLACES, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0},
    ),
    "distilbert": (DistilBertConfig, {"dim": 32, "n_heads": 2, "hidden_dim": 64}),
    "electra": (ElectraConfig, {**SIZES, **PLACES, "embedding_size": 16}),
    "modernbert": (
        ModernBertConfig,
        {**SIZES, **PLACES, "cls_token_id": 2, "sep_token_id": 3, "local_attention": 8},
    ),
    "roberta": (RobertaConfig, {**SIZES, **PLACES, "type_vocab_size": 1}),
    "xlm-roberta": (XLMRobertaConfig, {**SIZES, **PLACES, "type_vocab_size": 1, "initializer_range": 0.2}),
}
KINDS = [*CONFIGS, "gpt2"]


def save_encoder(folder: Path, kind: str, tiny_model: Path, layers: int = 2) -> Path:
    """One with random weights and the vocabulary of ``tiny_model``."""
    if kind == "gpt2":
        return save_decoder(folder, kind, tiny_model, layers=layers)
    backend = AutoTokenizer.from_pretrained(tiny_model).backend_tokenizer
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, model_input_names=["input_ids", "attention_mask"], **names
    )
    kept, options = CONFIGS[kind]
    torch.manual_seed(0)
    config = kept(vocab_size=len(tokenizer), **options, num_hidden_layers=layers)
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
