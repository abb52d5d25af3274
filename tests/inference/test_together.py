"""Classifiers of the same texts: an encoder that they share runs once, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import react_ray
from react_ray.errors import InputError

TEXTS = ["the film was good", "a bad day", "x" * 200, "the end"] * 20


def save(base: Path, folder: Path, labels: Sequence[str], seed: int, frozen: bool = True) -> Path:
    """Save a classifier with a new head on ``base``; without ``frozen`` its encoder was trained as well."""
    torch.manual_seed(seed)
    names = dict(enumerate(labels))
    model = AutoModelForSequenceClassification.from_pretrained(base, id2label=names, num_labels=len(names))
    if not frozen:
        with torch.no_grad():
            model.base_model.encoder.layer[0].output.dense.bias += 0.01
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("frozen", [True, False])
def test_a_shared_encoder_runs_once_and_gives_the_same_answers(
    tiny_model: Path, tmp_path: Path, frozen: bool
) -> None:
    folders = [
        save(tiny_model, tmp_path / "a", ["good", "bad"], 1),
        save(tiny_model, tmp_path / "b", ["sports", "weather", "news"], 2, frozen),
    ]
    group = react_ray.load_together(folders, use_gpu=False)
    assert group.shared == frozen
    seen = [0, 0]
    for place, one in enumerate(group.models):
        layer = one.model.base_model.get_submodule("encoder.encoder" if frozen else "encoder").layer[0]
        layer.register_forward_hook(lambda *_, place=place: seen.__setitem__(place, seen[place] + 1))
    found = group.predict(TEXTS)
    assert seen[0] > 0
    if frozen:  # both hooks are on one layer
        assert seen[0] == seen[1]
        batches = seen[0]
        group.models[0].predict(TEXTS)
        assert seen[0] == 2 * batches, "together they ran as often as one of them does"
    for folder, predictions in zip(folders, found, strict=True):
        alone = react_ray.load(folder, use_gpu=False).predict(TEXTS)
        assert [one.label for one in predictions] == [one.label for one in alone]
        assert [one.score for one in predictions] == pytest.approx([one.score for one in alone], abs=1e-5)


def test_other_tokenizers_and_tasks_share_nothing(
    tiny_model: Path, make_tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    first = save(tiny_model, tmp_path / "a", ["good", "bad"], 1)
    words = list(AutoTokenizer.from_pretrained(tiny_model).get_vocab())
    other = save(make_tiny_model(tmp_path / "tiny", reversed(words)), tmp_path / "b", ["x", "y"], 1)
    assert not react_ray.load_together([first, other], use_gpu=False).shared
    assert react_ray.load_together([first], use_gpu=False).predict(["a"]) == [
        react_ray.load(first, use_gpu=False).predict(["a"])
    ]
    with pytest.raises(InputError, match="no model"):
        react_ray.load_together([first, tmp_path / "missing"])
