from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from transformers import GPT2Config, GPT2Model

from react_ray.models.head import (
    PENALTY,
    best_temperature,
    final_linear,
    fit_head,
    head_features,
    scale_logits,
)
from react_ray.models.pretrained import load_tokenizer
from react_ray.tasks import Example, get_task
from react_ray.tasks.running import padding_of


def points(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 3, count)
    return np.eye(8)[truth] + generator.normal(0, 0.6, (count, 8)), truth


def test_the_fit_is_logistic_regression_whatever_the_scale_of_the_features():
    x, truth = points()
    norm = np.linalg.norm(x, axis=1).mean()
    reference = LogisticRegression(C=1 / PENALTY, tol=1e-8, max_iter=1000).fit(x / norm, truth)
    for scale in (1.0, 100.0):
        head = nn.Linear(8, 3)
        features = torch.tensor(x * scale, dtype=torch.float32)
        fit_head(head, features, np.eye(3, dtype=np.float32)[truth], [1.0] * len(x))
        with torch.no_grad():
            given = torch.softmax(head(features), dim=1).numpy()
        assert np.allclose(given, reference.predict_proba(x / norm), atol=1e-3)


def test_a_head_without_bias_and_rows_without_weight():
    x, truth = points()
    head = nn.Linear(8, 3, bias=False)
    eye = np.eye(3, dtype=np.float32)
    targets = np.concatenate([eye[truth], eye[(truth + 1) % 3]])
    features = torch.tensor(np.concatenate([x, x]), dtype=torch.float32)
    fit_head(head, features, targets, [1.0] * len(x) + [1e-6] * len(x))
    assert (head(features[: len(x)]).argmax(1).numpy() == truth).mean() > 0.8


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_features_are_what_the_head_reads_in_the_order_of_the_rows(tmp_path, tiny_model, kind):
    name, tokenizer = str(tiny_model), load_tokenizer(str(tiny_model))
    if kind != "encoder":
        name = str(tmp_path)
        size = {"n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
        GPT2Model(GPT2Config(vocab_size=len(tokenizer), **size)).save_pretrained(name)
        tokenizer.save_pretrained(name)
    model = get_task("text-classification").load_model(name, ["a", "b"]).eval()
    model.config.pad_token_id = tokenizer.pad_token_id
    rows = tokenizer(["a b c d e f g", "x", "hello you"])["input_ids"]
    head = final_linear(model)
    assert head is not None
    task, examples = get_task("text-classification"), [Example(row) for row in rows]
    with torch.no_grad():
        features = head_features(model, head, examples, lambda some: task.collate(some, padding_of(model)))
        logits = head(features)
        for i, row in enumerate(rows):
            assert torch.allclose(model(torch.tensor([row])).logits[0], logits[i], atol=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_found(temperature):
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 2, (3000, 4)).astype(np.float32)
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = np.array([generator.choice(4, p=p) for p in chances])
    assert best_temperature(logits * temperature, truth) == pytest.approx(temperature, rel=0.1)


def test_few_rows_say_little_about_the_temperature():
    all_right = (np.eye(2, dtype=np.float32)[[0, 1]] * 3, np.array([0, 1]))
    assert 0.5 < best_temperature(*all_right) < 1


def test_scaling_divides_every_logit():
    head, x = nn.Linear(4, 3), torch.randn(5, 4)
    before = head(x)
    scale_logits(head, 0.5)
    assert torch.allclose(head(x), before / 2)
