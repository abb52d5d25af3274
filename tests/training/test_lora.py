from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ranks import train_on
from safetensors.torch import load_file
from tiny_training import accuracy, make_rows, mislabel, probabilities, train, write_settings
from transformers import AutoModel, AutoTokenizer

from react_ray.errors import ConfigError

FRESH = make_rows(60, seed=9)
LORA: dict[str, Any] = {"lora_rank": 4, "lr": 1e-3, "epochs": 6}


def saved(checkpoint: Path) -> dict[str, torch.Tensor]:
    return load_file(checkpoint / "model" / "model.safetensors")


def test_adapters_are_merged_into_a_plain_model(tmp_path, tiny_model):
    last = train(tmp_path, tiny_model, make_rows(90), **LORA)
    whole = train(tmp_path / "whole", tiny_model, make_rows(6), epochs=0.1)
    assert accuracy(last, FRESH) > 0.9
    assert saved(last).keys() == saved(whole).keys()
    assert not list((last / "model").glob("adapter*"))
    before = load_file(tiny_model / "model.safetensors")
    moved = {
        name: torch.linalg.matrix_rank(saved(last)["bert." + name] - tensor, atol=1e-5).item()
        for name, tensor in before.items()
        if tensor.ndim == 2 and not torch.equal(saved(last)["bert." + name], tensor)
    }
    linear = [n for n, t in before.items() if t.ndim == 2 and "embeddings" not in n]
    assert sorted(moved) == sorted(linear)
    assert set(moved.values()) == {4}


def test_a_head_start_holds_with_adapters(tmp_path, tiny_model):
    good = train(tmp_path / "good", tiny_model, make_rows(90), lr=1e-2, epochs=6) / "model"
    encoder = tmp_path / "encoder"
    AutoModel.from_pretrained(good).save_pretrained(encoder)
    AutoTokenizer.from_pretrained(good).save_pretrained(encoder)
    score = {
        start: accuracy(
            train(
                tmp_path / str(start),
                encoder,
                make_rows(90),
                epochs=0.2,
                lr=1e-6,
                lora_rank=4,
                head_start=start,
            ),
            FRESH,
        )
        for start in (True, False)
    }
    assert score[True] > 0.9 > score[False]


def test_a_checkpoint_holds_what_is_trained_and_no_more(tmp_path, tiny_model):
    given = write_settings(tmp_path, tiny_model, make_rows(60), make_rows(40, 5), **LORA, evaluations=3)
    kept = train_on(1, tmp_path, given, dies_at=11)
    assert kept is not None
    assert {path.suffix for path in kept.iterdir()} == {".safetensors", ".json"}
    for name in ("weights", "best", "optimizer"):
        held = load_file(kept / f"{name}.safetensors")
        assert held
        assert all(".lora_" in key or key.startswith("classifier.") for key in held), name


@pytest.mark.parametrize("sharding", ["none", "full"])
def test_killed_and_gone_on_with_on_other_ranks_it_is_the_same(tmp_path, tiny_model, sharding):
    # wrong labels after right ones: the best weights are those of the first checkpoint
    good = train(tmp_path / "good", tiny_model, make_rows(90), lr=1e-2, epochs=6) / "model"
    rows, validation = mislabel(make_rows(49)), make_rows(40, seed=5)
    chosen = {**LORA, "evaluations": 6, "patience": 99, "sharding": sharding}
    whole = train(tmp_path / "whole", good, rows, validation, **chosen)
    given = write_settings(tmp_path / "killed", good, rows, validation, **chosen)
    assert train_on(2, tmp_path / "killed", given, dies_at=15) is not None
    last = train_on(2, tmp_path / "killed", given)
    assert last is not None
    assert np.allclose(probabilities(last, FRESH), probabilities(whole, FRESH), atol=1e-3)
    assert saved(last).keys() == saved(whole).keys()


@pytest.mark.parametrize(
    ("targets", "freeze", "adapted"),
    [
        ("default", "none", {"0.attention.self.query", "0.attention.self.value", "1.attention.self.query"}),
        ("all-linear", 1, {"1.attention.self.key", "1.output.dense"}),
    ],
)
def test_which_layers_are_adapted(tmp_path, tiny_model, targets, freeze, adapted):
    last = train(tmp_path, tiny_model, make_rows(30), **LORA, lora_targets=targets, freeze=freeze)
    before, after = load_file(tiny_model / "model.safetensors"), saved(last)
    moved = {n.removesuffix(".weight") for n, t in before.items() if not torch.equal(t, after["bert." + n])}
    layers = {name.removeprefix("encoder.layer.") for name in moved if name.startswith("encoder")}
    assert adapted <= layers
    if targets == "default":
        assert {name.split(".")[-1] for name in layers} == {"query", "value"}
    else:
        assert all(name.startswith("1.") for name in layers)


def test_nothing_left_to_adapt_is_an_error_that_names_the_settings(tmp_path, tiny_model):
    with pytest.raises(ConfigError, match=r"lora_rank = 4 with finetune\.freeze = encoder leaves no layer"):
        train(tmp_path, tiny_model, make_rows(6), **LORA, freeze="encoder")
