from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from feature_blobs import make_blobs, prepared, run_phases
from safetensors.numpy import load_file
from torch import distributed
from torch.multiprocessing import spawn

from react_ray.lgan import TrainedLabelGenerator, fit_probe, pretrain, train
from react_ray.lgan.networks import Networks
from react_ray.training.worker import LocalWorker


class Killed(BaseException):
    """Stands for the end of the process."""


def networks(folder: Path) -> dict[str, Any]:
    return load_file(folder / "players.safetensors")


def same(first: dict[str, Any], second: dict[str, Any], **tolerance: float) -> bool:
    return all(np.allclose(first[name], second[name], **tolerance) for name in first | second)


def test_the_label_generator_beats_the_probe(tmp_path):
    plain, made = [], []
    for seed in range(3):
        blobs = make_blobs(per_class=1, balance=[0.4, 0.3, 0.2, 0.1], seed=seed)
        given = blobs.inputs
        trained = run_phases(tmp_path / str(seed), given)
        plain.append(blobs.macro_f1(fit_probe(given.labeled, given.labels, 4).predict_proba(blobs.test)))
        made.append(blobs.macro_f1(TrainedLabelGenerator(given.names, trained, 0).predict_proba(blobs.test)))
    assert np.mean(made) > np.mean(plain) + 0.1


def test_one_seed_one_result_another_seed_another(tmp_path):
    blobs = make_blobs(pool=100)
    first = networks(run_phases(tmp_path / "a", blobs.inputs, steps=20))
    again = networks(run_phases(tmp_path / "b", blobs.inputs, steps=20))
    assert same(first, again, rtol=0, atol=0)
    given = prepared(tmp_path / "c", blobs.inputs) | {"seed": 1}
    pretrain.loop(LocalWorker(tmp_path / "w"), output=str(tmp_path / "d"), **given)
    assert not same(networks(tmp_path / "a" / "phase1"), networks(tmp_path / "d"))


@pytest.mark.parametrize("phase", ["pretrain", "train"])
def test_a_killed_phase_goes_on_and_ends_the_same(tmp_path, phase):
    given = prepared(tmp_path, make_blobs(pool=100).inputs, pretrain_steps=230, steps=230, batch_size=24)
    loop = pretrain.loop
    if phase == "train":
        pretrain.loop(LocalWorker(tmp_path / "first"), output=str(tmp_path / "phase1"), **given)
        given["phase1"], loop = str(tmp_path / "phase1"), train.loop
    loop(LocalWorker(tmp_path / "whole"), output=str(tmp_path / "a"), **given)
    done = []

    def progress(step: int, total: int, note: str) -> None:
        done.append(step)
        if step == 150 and len(done) == 150:
            raise Killed

    with pytest.raises(Killed):
        loop(LocalWorker(tmp_path / "cut", progress), output=str(tmp_path / "b"), **given)
    assert not (tmp_path / "b").exists()
    loop(LocalWorker(tmp_path / "cut", progress), output=str(tmp_path / "b"), **given)
    assert done[150] == 101, "it goes on from the last checkpoint"
    assert same(networks(tmp_path / "a"), networks(tmp_path / "b"), rtol=0, atol=0)
    assert json.loads((tmp_path / "a" / "losses.json").read_text()) == json.loads(
        (tmp_path / "b" / "losses.json").read_text()
    )


class RankWorker(LocalWorker):
    """One of several ranks under gloo; nothing is resumed."""

    def __init__(self, folder: Path, rank: int, world_size: int):
        super().__init__(folder)
        self.rank, self.world_size = rank, world_size

    def report(self, metrics: dict[str, Any], save: Any) -> None:
        distributed.barrier()


def run_rank(rank: int, world_size: int, folder: Path, given: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world_size
    )
    worker = RankWorker(folder / f"rank{rank}", rank, world_size)
    pretrain.loop(worker, output=str(folder / "phase1"), **given)
    distributed.barrier()
    train.loop(worker, phase1=str(folder / "phase1"), output=str(folder / "phase2"), **given)
    distributed.barrier()  # a rank that leaves early would abort the other one's last messages
    distributed.destroy_process_group()


def test_two_ranks_end_like_one(tmp_path):
    blobs = make_blobs(pool=100)
    short = {"pretrain_steps": 15, "steps": 15}
    alone = run_phases(tmp_path, blobs.inputs, **short)
    given = prepared(tmp_path / "two", blobs.inputs, **short)
    spawn(run_rank, (2, tmp_path / "two", given), nprocs=2)
    assert same(networks(alone.parent / "phase1"), networks(tmp_path / "two" / "phase1"), atol=1e-3)
    one, two = (
        TrainedLabelGenerator(blobs.inputs.names, folder, 0).predict_proba(blobs.test)
        for folder in (alone, tmp_path / "two" / "phase2")
    )
    assert np.allclose(one, two, atol=1e-3)


@pytest.mark.parametrize(
    "changes",
    [
        {"unlabeled": []},
        {"labeled": [], "labels": []},
        {"unlabeled": [], "augmented": np.eye(32)[:6], "augmented_labels": [0, 1, 2, 3, 0, 1]},
    ],
    ids=["no pool", "no labels", "copies only"],
)
def test_phases_run_with_what_there_is(tmp_path, changes):
    blobs = make_blobs(pool=50).with_inputs(**changes)
    trained = run_phases(tmp_path, blobs.inputs, steps=5, pretrain_steps=0)
    believed = TrainedLabelGenerator(blobs.inputs.names, trained, 0).predict_proba(blobs.test)
    assert np.isfinite(believed).all()
    assert np.allclose(believed.sum(1), 1, atol=1e-4)


def test_players_are_trained_and_the_losses_kept(tmp_path):
    trained = run_phases(tmp_path, make_blobs(pool=100).inputs, steps=110)
    before, after = networks(tmp_path / "phase1"), networks(trained)
    for network in ("label_generator", "sample_generator", "discriminator"):
        assert any(not np.allclose(before[n], after[n]) for n in before if n.startswith(network))
    history = json.loads((trained / "losses.json").read_text())
    assert [period["step"] for period in history] == [100, 110]
    assert {"discriminator", "sample_generator", "label_generator"} <= history[0].keys()


def test_without_the_game_the_label_generator_learns_alone(tmp_path):
    inputs = make_blobs(pool=100).inputs
    off = {"adversarial": 0, "sampled": 0, "pretrain_steps": 0, "steps": 20}
    before = Networks.make(torch.from_numpy(inputs.names), 0).modules().state_dict()
    after = networks(run_phases(tmp_path, inputs, **off))
    moved = {name.split(".")[0] for name in after if not np.allclose(after[name], before[name].numpy())}
    assert moved == {"label_generator"}


def test_wrong_pairs_can_be_left_out_of_the_game(tmp_path):
    blobs = make_blobs(pool=100)
    with_them = networks(run_phases(tmp_path / "a", blobs.inputs, steps=20))
    without = networks(run_phases(tmp_path / "b", blobs.inputs, steps=20, wrong_pairs=False))
    name = "discriminator.classes.offset"
    assert not np.allclose(with_them[name], without[name])


def test_labels_are_held_to_the_class_balance(tmp_path):
    blobs = make_blobs(pool=400, balance=[0.7, 0.1, 0.1, 0.1])
    aligned = networks(run_phases(tmp_path / "a", blobs.inputs, steps=20, consistency=0.5, alignment=True))
    free = networks(run_phases(tmp_path / "b", blobs.inputs, steps=20, consistency=0.5))
    assert not np.allclose(aligned["label_generator.bias"], free["label_generator.bias"])


def test_consistency_is_learnt_where_it_is_asked_for(tmp_path):
    inputs = make_blobs(pool=100).inputs
    trained = [run_phases(tmp_path / str(w), inputs, steps=20, consistency=w) for w in (0, 0.5)]
    without, with_it = (json.loads((folder / "losses.json").read_text())[-1] for folder in trained)
    assert "label_consistency" not in without
    assert with_it["label_consistency"] > 0
