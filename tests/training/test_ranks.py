"""Several ranks against one: the same batches, the same model, whatever is cut up how."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from ranks import GlooWorker, train_on
from safetensors.torch import load_file
from tiny_training import LABELS, make_rows, mislabel, probabilities, train, write_settings

from react_ray.config.settings import FinetuneConfig
from react_ray.models.pretrained import load_tokenizer
from react_ray.tasks import get_task
from react_ray.training.optimizer import make_optimizer
from react_ray.training.parallel import full_tensor
from react_ray.training.recipe import Recipe

FRESH = make_rows(120, seed=9)
# 49 rows in batches of 16: the last of an epoch holds one, so that other ranks have none
ROWS = make_rows(49).append_column("weight", pa.array([1.0 if i % 4 else 0.1 for i in range(49)]))
CHOSEN: dict[str, Any] = {"epochs": 3, "evaluations": 3, "lr": 1e-3, "max_grad_norm": 0.5}


def settings(folder: Path, model: Path, **finetune: Any) -> dict[str, Any]:
    return write_settings(folder, model, ROWS, make_rows(40, seed=5), **{**CHOSEN, **finetune})


def losses(checkpoint: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (checkpoint / "history.jsonl").read_text().splitlines()]


def same_answers(one: Path, other: Path) -> None:
    first, second = probabilities(one, FRESH), probabilities(other, FRESH)
    # float32 sums in another order; AdamW divides by small numbers
    assert np.allclose(first, second, atol=1e-3)
    assert (first.argmax(1) == second.argmax(1)).mean() >= 0.99
    assert losses(one) == pytest.approx(losses(other), abs=1e-4)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    return train(tmp_path_factory.mktemp("alone"), tiny_model, ROWS, make_rows(40, seed=5), **CHOSEN)


@pytest.mark.parametrize(
    ("ranks", "finetune"),
    [
        (2, {"accumulation": 3}),
        (4, {"accumulation": 2}),
        (2, {"sharding": "full", "accumulation": 2}),
        (3, {"sharding": "full"}),
    ],
    ids=["2", "4", "2-sharded", "3-sharded"],
)
def test_any_number_of_ranks_gives_the_model_of_one(tmp_path, tiny_model, alone, ranks, finetune):
    last = train_on(ranks, tmp_path, settings(tmp_path, tiny_model, **finetune))
    assert last is not None
    same_answers(last, alone)
    assert (
        load_file(last / "model" / "model.safetensors").keys()
        == load_file(alone / "model" / "model.safetensors").keys()
    )


@pytest.mark.parametrize("validated", [False, True])
def test_a_sharded_model_keeps_the_thresholds_of_its_labels(tmp_path, tiny_model, validated):
    rows = make_rows(49)
    sets = pa.array([[name] if i % 4 else [] for i, name in enumerate(rows["label"].to_pylist())])
    rows = pa.table({"text": rows["text"], "labels": sets})
    found = []
    for ranks, sharding in ((1, "none"), (2, "full")):
        folder = tmp_path / sharding
        given = write_settings(folder, tiny_model, rows, rows if validated else None, sharding=sharding)
        last = train_on(ranks, folder, given | {"task": "multi-label-classification"})
        assert last is not None
        config = json.loads((last / "model" / "config.json").read_text())
        bias = load_file(last / "model" / "model.safetensors")["classifier.bias"]
        found.append([*config["react_ray"]["shifts"], *bias.tolist()])
    assert found[0] == pytest.approx(found[1], abs=1e-2)
    assert any(found[0][:3])


def count_held(worker: GlooWorker) -> None:
    """Writes how many weights of the model, and of AdamW's averages, are on this rank."""
    given = json.loads((worker.folder.parent / "given.json").read_text())
    config = FinetuneConfig(sharding="full")
    recipe = Recipe(
        get_task("text-classification"),
        given["model"],
        given["labels"],
        config,
        0,
        load_tokenizer(given["model"]),
    )
    model = recipe.build(worker).model
    optimizer = make_optimizer(model, config)
    ids = torch.tensor([[5, 6, 7 + worker.rank]])
    model(input_ids=ids).logits.sum().backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    optimizer.step()
    clipped = torch.stack([full_tensor(p.grad).norm() for p in model.parameters()]).norm()
    averages = [state["exp_avg"] for state in optimizer.state.values()]
    held = {
        "all": sum(p.numel() for p in model.parameters()),
        "weights": sum(p.to_local().numel() for p in model.parameters()),
        "averages": sum(average.to_local().numel() for average in averages),
        "norm": float(full_tensor(norm)),
        "clipped": float(clipped),
    }
    (worker.folder.parent / f"held-{worker.rank}.json").write_text(json.dumps(held))


def test_a_sharded_rank_holds_its_share_and_clips_by_the_norm_of_all(tmp_path, tiny_model):
    (tmp_path / "given.json").write_text(json.dumps({"model": str(tiny_model), "labels": LABELS}))
    train_on(2, tmp_path, {}, each=count_held)
    held = [json.loads((tmp_path / f"held-{rank}.json").read_text()) for rank in range(2)]
    for kind in ("weights", "averages"):
        assert sum(one[kind] for one in held) == held[0]["all"]
        assert max(one[kind] for one in held) < 0.6 * held[0]["all"]
    assert held[0]["norm"] == held[1]["norm"] > 0.5
    assert held[0]["clipped"] == pytest.approx(0.5, rel=1e-3)


def test_the_same_number_of_ranks_gives_the_same_weights(tmp_path, tiny_model):
    twice = [
        train_on(2, tmp_path / name, settings(tmp_path / name, tiny_model, dropout=0.1)) for name in "ab"
    ]
    first, second = (Path(str(last)) / "model" / "model.safetensors" for last in twice)
    assert first.read_bytes() == second.read_bytes()


def test_every_labelled_row_is_trained_on_though_ranks_share_them(tmp_path, tiny_model):
    # 3 labelled rows say what is right, many more the contrary, and these weigh next to nothing
    right, wrong = make_rows(3), mislabel(make_rows(300, seed=2))
    rows = pa.concat_tables([right, wrong]).append_column(
        "weight", pa.array([1.0] * len(right) + [1e-6] * len(wrong))
    )
    rows = rows.append_column("origin", pa.array(["labeled"] * 3 + ["generated"] * 300))
    given = write_settings(tmp_path, tiny_model, rows, epochs=0.2, lr=1e-2, batch_size=4, head_start=False)
    last = train_on(2, tmp_path, given)
    assert last is not None
    drawn = round(0.2 * 303)
    assert len(losses(last)) == -(-drawn // 4)
    alone = train(tmp_path / "alone", tiny_model, rows, epochs=0.2, lr=1e-2, batch_size=4, head_start=False)
    same_answers(last, alone)


@pytest.mark.parametrize(("first", "then"), [(3, 1), (2, 2)])
@pytest.mark.parametrize("sharding", ["none", "full"])
def test_a_killed_run_goes_on_with_fewer_ranks(tmp_path, tiny_model, alone, first, then, sharding):
    given = settings(tmp_path, tiny_model, sharding=sharding)
    kept = train_on(first, tmp_path, given, dies_at=9)
    assert kept is not None
    assert not (kept / "model").exists()
    last = train_on(then, tmp_path, given)
    assert last is not None
    same_answers(last, alone)


def test_what_is_learnt_between_evaluations_is_kept_too(tmp_path, tiny_model, alone, monkeypatch):
    monkeypatch.setattr("react_ray.training.steps.SAVE_INTERVAL_S", 0)
    steps: list[int] = []

    class Stopped(BaseException):
        pass

    def dies(self: Any, done: int, total: int, note: str = "") -> None:
        steps.append(done)
        if done == 7:  # an evaluation is due every four steps
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr("react_ray.training.worker.LocalWorker.progress", dies)
        with pytest.raises(Stopped):
            train(tmp_path, tiny_model, ROWS, make_rows(40, seed=5), **CHOSEN)
    progress = "react_ray.training.worker.LocalWorker.progress"
    monkeypatch.setattr(progress, lambda self, done, *_: steps.append(done))
    last = train(tmp_path, tiny_model, ROWS, make_rows(40, seed=5), **CHOSEN)
    assert steps == [*range(1, 8), *range(7, 13)]
    assert np.array_equal(probabilities(last, FRESH), probabilities(alone, FRESH))
