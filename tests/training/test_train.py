from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import f1_score
from tiny_training import (
    LABELS,
    accuracy,
    make_rows,
    mislabel,
    probabilities,
    relabel,
    train,
    write_settings,
)
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from react_ray.errors import ConfigError, TrainingError
from react_ray.training.train import loop
from react_ray.training.worker import LocalWorker

FRESH = make_rows(60, seed=9)


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return load_file(checkpoint / "model" / "model.safetensors")


def history(checkpoint: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (checkpoint / "history.jsonl").read_text().splitlines()]


def test_a_model_learns_and_loads_in_plain_transformers(tmp_path, tiny_model):
    last = train(tmp_path, tiny_model, make_rows(90), lr=1e-2, epochs=6, max_length=32)
    tokenizer = AutoTokenizer.from_pretrained(last / "model")
    model = AutoModelForSequenceClassification.from_pretrained(last / "model").eval()
    assert tokenizer.model_max_length == 32
    texts = FRESH["text"].to_pylist()
    with torch.no_grad():
        best = model(**tokenizer(texts, padding=True, truncation=True, return_tensors="pt")).logits.argmax(1)
    predicted = [model.config.id2label[int(i)] for i in best]
    assert np.mean([p == t for p, t in zip(predicted, FRESH["label"].to_pylist(), strict=True)]) > 0.9


def test_chinese_texts_and_labels(tmp_path, tiny_chinese_model):
    rows = pa.table({"text": ["科技手机", "股市上涨", "电脑软件", "基金"] * 8, "label": ["中", "zeta"] * 16})
    last = train(tmp_path, tiny_chinese_model, rows, lr=1e-2, epochs=6)
    assert accuracy(last, rows) == 1.0


def test_a_distribution_counts_like_its_label(tmp_path, tiny_model):
    rows = make_rows(30)
    one_hot = [[float(label == name) for name in LABELS] for label in rows["label"].to_pylist()]
    soft = pa.table({"text": rows["text"], "label": one_hot, "weight": [1.0] * 30})
    named = train(tmp_path / "named", tiny_model, rows)
    assert np.allclose(
        probabilities(named, FRESH), probabilities(train(tmp_path / "soft", tiny_model, soft), FRESH)
    )


def test_rows_weigh_as_much_as_they_say(tmp_path, tiny_model):
    right, wrong = make_rows(60), make_rows(60, seed=3)
    wrong = relabel(wrong, lambda i, label: LABELS[0])

    def mixed(weight: float) -> pa.Table:
        both = pa.concat_tables([right, wrong])
        return both.append_column("weight", pa.array([1.0] * 60 + [weight] * 60))

    settings = {"lr": 1e-2, "epochs": 6}
    trusted = train(tmp_path / "trusted", tiny_model, mixed(1.0), **settings)
    doubted = train(tmp_path / "doubted", tiny_model, mixed(0.01), **settings)
    assert accuracy(doubted, FRESH) > 0.9 > accuracy(trusted, FRESH)
    ignored = train(tmp_path / "ignored", tiny_model, mixed(0.0), **settings)
    alone = train(tmp_path / "alone", tiny_model, right, **settings)
    assert np.array_equal(probabilities(ignored, FRESH), probabilities(alone, FRESH))


def test_only_the_weights_of_a_batch_against_each_other_matter(tmp_path, tiny_model):
    rows = make_rows(40)
    light = rows.append_column("weight", pa.array([0.01] * 40))
    settings = {"head_start": False}  # its penalty weighs against the sum of weights, as in any regression
    whole, scaled = (
        train(tmp_path / name, tiny_model, t, **settings) for name, t in (("whole", rows), ("light", light))
    )
    assert np.allclose(probabilities(whole, FRESH), probabilities(scaled, FRESH), atol=1e-3)
    losses = [[entry["loss"] for entry in history(last)] for last in (whole, scaled)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


def test_accumulation_changes_memory_not_the_result(tmp_path, tiny_model):
    rows = make_rows(41)  # the last batch has 9 rows
    whole = train(tmp_path / "whole", tiny_model, rows, accumulation=1)
    cut = train(tmp_path / "cut", tiny_model, rows, accumulation=4)
    assert np.allclose(probabilities(whole, FRESH), probabilities(cut, FRESH), atol=1e-4)


@pytest.mark.parametrize(
    ("freeze", "moved"), [("embeddings", {"0", "1", "head"}), (1, {"1", "head"}), ("encoder", {"head"})]
)
def test_frozen_weights_do_not_move(tmp_path, tiny_model, freeze, moved):
    last = train(tmp_path, tiny_model, make_rows(30), freeze=freeze)
    before = load_file(tiny_model / "model.safetensors")
    same = {n for n, w in weights(last).items() if torch.equal(w, before.get(n.removeprefix("bert."), w + 1))}
    changed = {n for n in weights(last) if n not in same and "pooler" not in n}
    parts = {n.split(".")[3] if "encoder.layer" in n else "head" if "classifier" in n else n for n in changed}
    assert parts == moved


def test_more_frozen_layers_than_there_are(tmp_path, tiny_model):
    with pytest.raises(ConfigError, match="the model has 2 layers"):
        train(tmp_path, tiny_model, make_rows(6), freeze=3)


def test_training_stops_when_the_score_no_longer_rises_and_keeps_the_best(tmp_path, tiny_model):
    good = train(tmp_path / "good", tiny_model, make_rows(90), lr=1e-2, epochs=6)
    # training goes on with wrong labels: the more it learns of them, the worse it scores
    wrong = mislabel(make_rows(90))
    settings = {"lr": 3e-3, "epochs": 10, "evaluations": 20, "patience": 2, "head_start": False}
    last = train(tmp_path / "run", good / "model", wrong, FRESH, **settings)
    entries = history(last)
    scores = [entry["macro_f1"] for entry in entries if "macro_f1" in entry]
    assert len(entries) < 60  # steps of 10 epochs
    assert scores[0] == max(scores) > scores[-1]
    truth = [LABELS.index(label) for label in FRESH["label"].to_pylist()]
    kept = f1_score(truth, probabilities(last, FRESH).argmax(axis=1), average="macro")
    assert kept == pytest.approx(max(scores))


def test_killed_after_it_stopped_early_it_does_not_train_on(tmp_path, tiny_model, monkeypatch):
    good = train(tmp_path / "good", tiny_model, make_rows(90), lr=1e-2, epochs=6) / "model"
    settings = {"lr": 3e-3, "epochs": 10, "evaluations": 20, "patience": 2, "head_start": False}
    whole = train(tmp_path / "whole", good, mislabel(make_rows(90)), FRESH, **settings)

    def killed(self, unlabeled):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("react_ray.training.train._Run.finish", killed)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "killed", good, mislabel(make_rows(90)), FRESH, **settings)
    resumed = train(tmp_path / "killed", good, mislabel(make_rows(90)), FRESH, **settings)
    assert history(resumed) == history(whole)


def test_a_handful_of_validation_rows_neither_stops_nor_chooses(tmp_path, tiny_model):
    rows, few = make_rows(60), make_rows(12, seed=4)
    settings = {"epochs": 4, "patience": 1, "evaluations": 8}
    with_few = train(tmp_path / "few", tiny_model, rows, few, **settings)
    without = train(tmp_path / "none", tiny_model, rows, **settings)
    assert np.array_equal(probabilities(with_few, FRESH), probabilities(without, FRESH))


def test_validation_calibrates_the_saved_model(tmp_path, tiny_model):
    noisy = relabel(make_rows(90, seed=2), lambda i, label: LABELS[i // 7 % 3] if i % 3 == 0 else label)
    rows = make_rows(90)
    sure = train(tmp_path / "sure", tiny_model, rows, lr=1e-2, epochs=8)
    fitted = train(tmp_path / "fitted", tiny_model, rows, noisy, lr=1e-2, epochs=8, patience=99)
    truth = np.array([LABELS.index(v) for v in noisy["label"].to_pylist()])

    def loss(checkpoint: Path) -> float:
        return float(-np.log(probabilities(checkpoint, noisy)[np.arange(90), truth]).mean())

    assert history(fitted)[-1]["temperature"] > 1.2
    assert loss(fitted) < loss(sure) - 0.2


def test_a_head_start_uses_what_the_encoder_knows(tmp_path, tiny_model):
    good = train(tmp_path / "good", tiny_model, make_rows(90), lr=1e-2, epochs=6)
    encoder = tmp_path / "encoder"
    AutoModel.from_pretrained(good / "model").save_pretrained(encoder)
    AutoTokenizer.from_pretrained(good / "model").save_pretrained(encoder)
    score = {}
    for start in (True, False):
        last = train(tmp_path / str(start), encoder, make_rows(90), epochs=0.2, lr=1e-5, head_start=start)
        score[start] = accuracy(last, FRESH)
    assert score[True] > 0.9 > score[False]


@pytest.mark.parametrize("head_start", [True, False])
def test_a_run_killed_while_training_ends_with_the_same_weights(tmp_path, tiny_model, head_start):
    good = train(tmp_path / "good", tiny_model, make_rows(90), lr=1e-2, epochs=6) / "model"
    # wrong labels again: the best weights are those of the first checkpoint, before the kill
    settings = {"evaluations": 4, "epochs": 4, "patience": 99, "head_start": head_start}
    script = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from tiny_training import make_rows, mislabel, train
from react_ray.training.worker import LocalWorker
def progress(self, done, total, note=""):
    if done == 11:
        os.kill(os.getpid(), 9)
LocalWorker.progress = progress
folder, model = Path({str(tmp_path / "killed")!r}), Path({str(good)!r})
train(folder, model, mislabel(make_rows(60)), make_rows(60, 9), **{settings!r})
"""
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    kept = LocalWorker(tmp_path / "killed" / "checkpoints").checkpoint()
    assert kept is not None
    assert not (kept / "model").exists()
    wrong = mislabel(make_rows(60))
    resumed = train(tmp_path / "killed", good, wrong, FRESH, **settings)
    whole = train(tmp_path / "whole", good, wrong, FRESH, **settings)
    assert history(resumed) == history(whole)
    assert all(torch.equal(w, weights(whole)[name]) for name, w in weights(resumed).items())


def test_a_cut_checkpoint_costs_the_steps_and_not_the_run(tmp_path, tiny_model):
    whole = train(tmp_path / "whole", tiny_model, make_rows(12))
    stopped = LocalWorker(tmp_path / "cut" / "checkpoints")
    stopped.report({}, lambda folder: shutil.copytree(whole, folder, dirs_exist_ok=True))
    kept = stopped.checkpoint()
    assert kept is not None
    cut = kept / "model" / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-100])
    again = train(tmp_path / "cut", tiny_model, make_rows(12))
    assert all(torch.equal(w, weights(whole)[name]) for name, w in weights(again).items())


def test_a_finished_run_is_not_trained_again(tmp_path, tiny_model):
    settings = write_settings(tmp_path, tiny_model, make_rows(12))
    steps: list[int] = []
    worker = LocalWorker(tmp_path / "checkpoints", lambda done, total, note: steps.append(done))
    loop(worker, **settings)
    taken = len(steps)
    loop(worker, **settings)
    assert taken == len(steps) == 3


def test_a_loss_that_is_not_a_number_names_the_step_and_the_setting(tmp_path, tiny_model):
    bad = make_rows(6).append_column("weight", pa.array([1.0] * 5 + [float("inf")]))
    with pytest.raises(TrainingError, match=r"step 1: try a smaller finetune\.lr"):
        train(tmp_path, tiny_model, bad)
