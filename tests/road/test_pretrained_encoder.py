"""A run with an encoder that was pretrained on its own unlabelled texts."""

from __future__ import annotations

import json
from pathlib import Path

from react_ray.cli import main


def test_a_run_takes_a_pretrained_encoder(files: dict[str, Path], tmp_path: Path) -> None:
    sizes = ["layers=2", "hidden=32", "heads=2", "intermediate=64", "max_length=32", "vocabulary=400"]
    encoder, output = tmp_path / "encoder", tmp_path / "run"
    command = ["pretrain", "--input", str(files["unlabeled"]), "--output", str(encoder), "--quiet"]
    assert main([*command, *sizes, "steps=20", "batch_size=16"]) == 0
    inputs = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    command = ["run", *inputs, "--model", str(encoder), "--output", str(output), "--quiet"]
    assert main([*command, "finetune.epochs=2", "lgan.rounds=2", "onnx=false"]) == 0
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["model"] == str(encoder)
    assert metrics["encoders"].keys() == {str(encoder)}
    assert (output / "model" / "model.safetensors").exists()
