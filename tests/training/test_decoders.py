"""Language models with a classification head: which token they are judged by, and their padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_decoders import save_decoder
from tiny_training import LABELS, accuracy, make_rows, probabilities, train
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from react_ray.models.head import final_linear, head_features
from react_ray.models.pretrained import load_tokenizer
from react_ray.tasks import Example, get_task
from react_ray.tasks.running import padding_of

FRESH = make_rows(60, seed=9)


@pytest.mark.parametrize(
    ("kind", "side", "lora_rank"),
    [
        ("llama", "left", 4),
        ("llama", "right", 0),
        ("qwen2", "left", 4),
        ("gpt2", "left", 0),
        ("gpt2", "right", 4),
    ],
)
def test_decoders_read_the_last_token_wherever_the_padding_is(tmp_path, tiny_model, kind, side, lora_rank):
    decoder = save_decoder(tmp_path / "decoder", kind, tiny_model, side)
    last = train(
        tmp_path / "run",
        decoder,
        make_rows(90),
        lora_rank=lora_rank,
        lr=1e-3 if lora_rank else 1e-2,
        epochs=6,
    )
    assert accuracy(last, FRESH) > 0.9
    tokenizer = AutoTokenizer.from_pretrained(last / "model")
    model = AutoModelForSequenceClassification.from_pretrained(last / "model").eval()
    texts = FRESH["text"].to_pylist()

    def logits(some: list[str], **padding: Any) -> torch.Tensor:
        with torch.no_grad():
            return model(**tokenizer(some, padding=True, return_tensors="pt", **padding)).logits

    alone = torch.cat([logits([text]) for text in texts])
    assert torch.allclose(logits(texts), alone, atol=1e-5)
    assert np.allclose(probabilities(last, FRESH), torch.softmax(alone, 1), atol=1e-5)
    if kind != "gpt2":  # whose positions count from the padding on
        assert torch.allclose(logits(texts, padding_side="left"), alone, atol=1e-5)


def test_a_head_is_fitted_to_the_token_that_the_model_reads(tmp_path, tiny_model):
    decoder = save_decoder(tmp_path / "decoder", "llama", tiny_model)
    tokenizer, model = (
        load_tokenizer(str(decoder)),
        get_task("text-classification").load_model(str(decoder), LABELS),
    )
    model.config.pad_token_id = tokenizer.pad_token_id
    rows = tokenizer(FRESH["text"].to_pylist())["input_ids"]
    assert {row[-1] for row in rows} == {tokenizer.pad_token_id}, "the end token, which pads as well"
    head = final_linear(model)
    assert head is not None
    task = get_task("text-classification")
    examples = [Example(row) for row in rows]
    fitted = head_features(model, head, examples, lambda some: task.collate(some, padding_of(model)))
    fitted = fitted @ head.weight.T
    with torch.no_grad():
        read = model(**tokenizer.pad({"input_ids": rows}, return_tensors="pt")).logits
    assert torch.allclose(fitted, read, atol=1e-5)
