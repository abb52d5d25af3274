"""react_ray.encode: embeddings of any texts by a frozen encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import react_ray
from react_ray.config.settings import ClusterConfig


def test_similar_texts_have_similar_embeddings() -> None:
    texts = ["a film about a war in space", "a science fiction movie with battles", "a recipe for apple pie"]
    found = react_ray.encode(texts, "embedded")
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    likeness = found @ found.T
    assert likeness[0, 1] > likeness[0, 2] + 0.2


def test_a_folder_with_work_on_other_texts_does_not_mix_them(tmp_path: Path, tiny_model: Path) -> None:
    first = react_ray.encode(["one", "two"], str(tiny_model), folder=tmp_path)
    second = react_ray.encode(["two", "one"], str(tiny_model), folder=tmp_path)
    np.testing.assert_allclose(first, second[::-1], atol=1e-6)
    assert list(tmp_path.iterdir()) == []


def test_texts_that_the_encoder_cannot_read_are_an_error() -> None:
    with pytest.raises(react_ray.InputError, match="cannot read these texts"):
        react_ray.encode(["喜欢这部电影", "很好看的书"], "embedded")


def test_no_texts_have_no_embeddings() -> None:
    assert react_ray.encode([]).shape == (0, 0)


@pytest.mark.ray
def test_ray_data_gives_the_same_embeddings(ray_cluster: None, tmp_path: Path, tiny_model: Path) -> None:
    texts = [f"text {number}" for number in range(50)]
    here = react_ray.encode(texts, str(tiny_model))
    there = react_ray.encode(
        texts, str(tiny_model), folder=tmp_path, cluster=ClusterConfig(local_rows=0, use_gpu=False)
    )
    np.testing.assert_allclose(here, there, atol=1e-5)
