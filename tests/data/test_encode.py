"""Texts longer than a model has positions for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
    XLNetConfig,
    XLNetForSequenceClassification,
)

from react_ray.classifier import load
from react_ray.config import EncodeConfig
from react_ray.data.encode import Encoder

LONG = "a text that does not end " * 100
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
MODELS = {
    # positions of RoBERTa start behind its padding: 40 of them are for 38 tokens
    "bert": (BertForSequenceClassification, BertConfig(**SIZES, max_position_embeddings=40), 40),
    "roberta": (
        RobertaForSequenceClassification,
        RobertaConfig(**SIZES, max_position_embeddings=40, pad_token_id=1),
        38,
    ),
    "xlnet": (XLNetForSequenceClassification, XLNetConfig(d_model=16, n_layer=1, n_head=2, d_inner=16), None),
}


def save(tiny_model: Path, folder: Path, family: str) -> int | None:
    """A tiny model whose tokenizer knows no limit; the number of tokens the model takes."""
    make, config, positions = MODELS[family]
    make(config).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.model_max_length = int(1e30)
    tokenizer.save_pretrained(folder)
    return positions


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("wanted", [16, 128])
def test_a_text_is_cut_where_the_positions_of_the_model_end(
    tiny_model: Path, tmp_path: Path, family: str, wanted: int
) -> None:
    positions = save(tiny_model, tmp_path, family)
    encoder = Encoder(str(tmp_path), EncodeConfig(max_length=wanted))
    assert encoder.count_tokens([LONG]) == min(wanted, positions or wanted)
    assert np.linalg.norm(encoder.encode([LONG, "short"]), axis=1) == pytest.approx(1)


@pytest.mark.parametrize("family", MODELS)
def test_a_classifier_cuts_there_too(tiny_model: Path, tmp_path: Path, family: str) -> None:
    positions = save(tiny_model, tmp_path, family)
    classifier = load(tmp_path, use_gpu=False)
    assert [len(ids) for ids in classifier.encode([LONG])] == [positions or 512]
    assert classifier.predict_proba([LONG]).sum() == pytest.approx(1)
