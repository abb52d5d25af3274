from __future__ import annotations

import pytest
import torch
from tiny_training import accuracy, make_rows, train

from react_ray.config.settings import FinetuneConfig
from react_ray.errors import ConfigError
from react_ray.training.optimizer import pick_precision, tf32_matmul


def test_bf16_trains_and_saves_whole_precision(tmp_path, tiny_model):
    last = train(tmp_path, tiny_model, make_rows(90), lr=1e-2, epochs=6, precision="bf16")
    assert accuracy(last, make_rows(60, seed=9)) > 0.9
    assert '"dtype": "float32"' in (last / "model" / "config.json").read_text()


@pytest.mark.parametrize(
    ("settings", "device", "words"),
    [
        ({"precision": "fp16"}, "cpu", r"fp16 needs a CUDA GPU"),
        ({"precision": "tf32"}, "cpu", r"tf32 needs a CUDA GPU"),
        ({"precision": "fp16", "sharding": "full"}, "cuda", r"sharding = full does not support fp16"),
    ],
)
def test_a_precision_that_does_not_work_there_is_an_error(settings, device, words):
    with pytest.raises(ConfigError, match=words):
        pick_precision(FinetuneConfig(**settings), torch.device(device))


def test_tensor_cores_are_asked_for_by_tf32_alone_and_for_training_only():
    assert torch.get_float32_matmul_precision() == "highest"
    with tf32_matmul("fp32"):
        assert torch.get_float32_matmul_precision() == "highest"
    with tf32_matmul("tf32"):
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == "highest"
    assert pick_precision(FinetuneConfig(precision="tf32"), torch.device("cuda")) == "tf32"
