"""The command on Ray workers, one of which is killed on the way."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from killed_worker import kill_once
from safetensors.torch import load_file
from tiny_corpus import make_texts, settings, write_lines
from transformers import AutoModelForMaskedLM, AutoTokenizer

from react_ray.config.settings import ClusterConfig
from react_ray.pipeline.pretrain import pretrain
from react_ray.pretraining.train import loop
from react_ray.training.worker import Worker

DIES_AT = 6


def killed_once(worker: Worker, *, marker: str, **loop_settings: Any) -> None:
    """The loop, in which the second worker is killed once between two checkpoints."""
    assert worker.world_size == 2
    kill_once(worker, DIES_AT, marker)
    loop(worker, **loop_settings)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_two_workers_one_killed_give_the_model_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_lines(tmp_path / "texts.txt", make_texts(60))
    values: dict[str, Any] = {"epochs": 3, "evaluations": 3, "layers": 1}
    alone = pretrain(settings(source, tmp_path / "alone", **values), quiet=True)
    marker = tmp_path / "killed"
    monkeypatch.setattr("react_ray.pipeline.pretrain.loop", partial(killed_once, marker=str(marker)))
    workers = ClusterConfig(workers=2, use_gpu=False, max_failures=1)
    config = settings(source, tmp_path / "two", **values).model_copy(update={"cluster": workers})
    together = pretrain(config, quiet=True)
    assert marker.exists()
    assert together.metrics["steps"] == alone.metrics["steps"] > DIES_AT
    assert together.metrics["perplexity"] == pytest.approx(alone.metrics["perplexity"], rel=1e-2)
    losses = [[entry["loss"] for entry in history(result.folder)] for result in (together, alone)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-2)  # float32 sums in another order
    folder = together.folder / "model"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForMaskedLM.from_pretrained(folder)
    assert model(**tokenizer("goal [MASK] team", return_tensors="pt")).logits.isfinite().all()
    assert (
        load_file(folder / "model.safetensors").keys()
        == load_file(alone.folder / "model" / "model.safetensors").keys()
    )


def history(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
