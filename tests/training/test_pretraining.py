"""From texts to a model folder, resumed and on several ranks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from ranks import GlooWorker, train_on
from safetensors.torch import load_file
from tiny_corpus import make_texts, settings, write_lines
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

from react_ray.config.settings import FinetuneConfig
from react_ray.errors import ConfigError, InputError
from react_ray.pipeline.pretrain import pretrain
from react_ray.pretraining.train import loop
from react_ray.training.worker import LocalWorker

LONG = {"epochs": 15, "lr": 5e-3}
"""Training for so long that a masked word is guessed by its topic."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lines(tmp_path_factory.mktemp("corpus") / "texts.txt", make_texts(300))


@pytest.fixture(scope="module")
def done(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run; its cache has what the loop reads."""
    output = tmp_path_factory.mktemp("pretrained")
    pretrain(settings(corpus, output, **LONG), quiet=True)
    return output


def history(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def loop_settings(done: Path, **values: Any) -> dict[str, Any]:
    (sequences,) = (done / "cache").glob("sequences-*")
    (start,) = (done / "cache").glob("start-*")
    config = settings(Path("texts.txt"), Path("out"), **values).model_dump(mode="json", exclude={"cluster"})
    return {"sequences": str(sequences), "model": str(start / "model"), "config": config}


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return load_file(checkpoint / "model" / "model.safetensors")


def test_the_model_learns_and_is_a_folder_for_transformers(done: Path) -> None:
    scores = [entry["perplexity"] for entry in history(done) if "perplexity" in entry]
    assert scores[-1] < 6 < scores[0]  # ten words, five of each topic
    metrics = json.loads((done / "metrics.json").read_text())
    assert metrics["perplexity"] == min(scores)
    assert metrics["initialized"] == "all weights"
    tokenizer = AutoTokenizer.from_pretrained(done / "model")
    model = AutoModelForMaskedLM.from_pretrained(done / "model").eval()
    batch = tokenizer("goal match [MASK] team league", return_tensors="pt")
    with torch.no_grad():
        logits = model(**batch).logits[0, batch["input_ids"][0] == tokenizer.mask_token_id]
    best = tokenizer.convert_ids_to_tokens(logits.topk(4).indices[0])
    assert set(best) <= {"goal", "match", "team", "striker", "league"}
    assert AutoModel.from_pretrained(done / "model").config.hidden_dropout_prob == 0.1  # for fine-tuning


def test_the_same_settings_again_do_nothing_and_others_train_again(done: Path, corpus: Path) -> None:
    again = pretrain(settings(corpus, done, **LONG), quiet=True)
    assert "perplexity of masked tokens" in again.summary()
    assert len(list((done / "cache").glob("training-*"))) == 1
    other = pretrain(settings(corpus, done, **LONG, steps=3), quiet=True)
    assert other.metrics["steps"] == 3
    pretrain(settings(corpus, done, **LONG), quiet=True)
    assert history(done)[-1]["step"] > 3


class Killed(BaseException):
    pass


@pytest.mark.parametrize("limits", [{}, {"minutes": 0.01}])
def test_a_killed_run_resumes_with_the_same_result(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: dict[str, Any]
) -> None:
    given = loop_settings(done, dropout=0.1, **limits)
    monkeypatch.setattr("react_ray.training.steps.SAVE_INTERVAL_S", 0)
    monkeypatch.setattr("react_ray.pretraining.train.REHEARSAL_STEPS", 3)
    worker = LocalWorker(tmp_path / "whole")
    planned = []

    def remember(done: int, total: int, note: str = "") -> None:
        planned.append(total)
        if done == 1 and limits:  # the same plan for both, whose speeds differ
            shutil.copytree(tmp_path / "whole", tmp_path / "killed", dirs_exist_ok=True)

    worker.progress = remember  # type: ignore[method-assign]
    loop(worker, **given)

    def die(done: int, total: int, note: str = "") -> None:
        assert total == planned[0]
        if done == max(2, total // 2):
            raise Killed

    killed = LocalWorker(tmp_path / "killed")
    killed.progress = die  # type: ignore[method-assign]
    if planned[0] > 2:
        with pytest.raises(Killed):
            loop(killed, **given)
    resumed = LocalWorker(tmp_path / "killed")
    loop(resumed, **given)
    whole, again = worker.checkpoint(), resumed.checkpoint()
    assert whole is not None
    assert again is not None
    assert history(whole) == history(again)
    assert all(torch.equal(value, weights(again)[name]) for name, value in weights(whole).items())


def on_a_rank(worker: GlooWorker) -> None:
    """Train as ``given.json`` says."""
    loop(worker, **json.loads((worker.folder.parent / "given.json").read_text()))


def test_two_ranks_give_the_model_of_one(done: Path, tmp_path: Path) -> None:
    given = loop_settings(done, accumulation=2)
    (tmp_path / "given.json").write_text(json.dumps(given))
    last = train_on(2, tmp_path, {}, each=on_a_rank)
    alone = LocalWorker(tmp_path / "alone")
    loop(alone, **given)
    one = alone.checkpoint()
    assert last is not None
    assert one is not None
    losses = [[entry["loss"] for entry in history(folder)] for folder in (last, one)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)  # float32 sums in another order
    scores = [[e["perplexity"] for e in history(folder) if "perplexity" in e] for folder in (last, one)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-3)


def test_chinese_is_read_by_characters(tmp_path: Path) -> None:
    texts = make_texts(200, chinese=True)
    pd.DataFrame({"标题": texts}).to_csv(tmp_path / "texts.csv", index=False)
    result = pretrain(
        settings(tmp_path / "texts.csv", tmp_path / "out", text_column="标题", epochs=8), quiet=True
    )
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out" / "model")
    assert tokenizer.tokenize("进球比赛") == ["进", "球", "比", "赛"]
    assert tokenizer.unk_token_id not in tokenizer("手机芯片")["input_ids"]
    assert result.metrics["perplexity"] < 10  # 15 characters


def test_bytes_leave_no_text_unknown(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "texts.txt", [*make_texts(60), "สวัสดีครับ", "naïve café"])
    pretrain(settings(source, tmp_path / "out", tokenizer="bpe", steps=2), quiet=True)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out" / "model")
    assert tokenizer.unk_token_id not in tokenizer("ภาษาไทย 中文")["input_ids"]
    assert tokenizer.decode(tokenizer("naïve café")["input_ids"], skip_special_tokens=True) == "naïve café"


def test_bad_rows_and_duplicates_are_left_out_with_reasons(tmp_path: Path) -> None:
    rows = [json.dumps({"text": text}) for text in make_texts(80)]
    broken = ['{"text": 7}', "no json", json.dumps({"text": " "}), rows[0], rows[1]]
    (tmp_path / "texts.jsonl").write_text("\n".join([*rows, *broken]) + "\n")
    (tmp_path / "more.txt").write_bytes(b"a fine line\n\n" + b"\xff\xfe bad\n" + b"x" * 300 + b"\n")
    (tmp_path / "in").mkdir()
    for name in ("texts.jsonl", "more.txt"):
        shutil.move(tmp_path / name, tmp_path / "in" / name)
    for source, kinds, duplicates in (
        (tmp_path / "in" / "texts.jsonl", {"not text": 1, "not JSON": 1}, 2),
        (tmp_path / "in" / "more.txt", {"bad encoding": 1, "too long": 1}, 0),
    ):
        output = tmp_path / source.stem
        result = pretrain(settings(source, output, max_chars=200, steps=1, validation=0), quiet=True)
        assert result.metrics["refused"] == kinds
        assert result.metrics["texts"]["duplicates"] >= duplicates
        listed = [json.loads(line) for line in (output / "refused.jsonl").read_text().splitlines()]
        assert len(listed) == 2
        assert all(row["row"] and row["reason"] for row in listed)
        assert "rejected: 2 rows" in result.summary()


def test_an_encoder_without_head_is_adapted(tmp_path: Path, corpus: Path, tiny_model: Path) -> None:
    result = pretrain(settings(corpus, tmp_path / "out", model=str(tiny_model)), quiet=True)
    assert "cls.predictions.transform.dense.weight" in result.metrics["initialized"]
    assert "embeddings" not in result.metrics["initialized"]
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "out" / "model")
    tied = model.get_input_embeddings().weight.data_ptr() == model.get_output_embeddings().weight.data_ptr()
    assert tied
    scores = [entry["perplexity"] for entry in history(tmp_path / "out") if "perplexity" in entry]
    assert scores[-1] < scores[0]
    again = pretrain(
        settings(corpus, tmp_path / "more", model=str(tmp_path / "out"), steps=1, lr=1e-6), quiet=True
    )
    assert again.metrics["initialized"] == "nothing"
    assert again.metrics["perplexity"] == pytest.approx(scores[-1], rel=0.05)


def test_long_texts_become_several_sequences(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "texts.txt", [" ".join(make_texts(40)), *make_texts(30)])
    result = pretrain(settings(source, tmp_path / "out", steps=1, validation=0), quiet=True)
    assert result.metrics["sequences"] > 31
    (sequences,) = (tmp_path / "out" / "cache").glob("sequences-*")
    lengths = np.load(next(sequences.glob("*-train.lengths.npy")))
    assert lengths.max() == 32


def test_errors_say_what_is_expected(tmp_path: Path, corpus: Path) -> None:
    with pytest.raises(ConfigError, match="hidden = 32 is not a multiple of heads = 5"):
        settings(corpus, tmp_path, heads=5)
    with pytest.raises(ConfigError, match=r"input"):
        settings(corpus, tmp_path, input=None)
    blank = write_lines(tmp_path / "blank.txt", ["", " "])
    with pytest.raises(InputError, match=r"no text to train on.*--text-column"):
        pretrain(settings(blank, tmp_path / "out"), quiet=True)


def test_the_settings_of_the_optimizer_are_those_of_fine_tuning(corpus: Path, tmp_path: Path) -> None:
    shared = settings(corpus, tmp_path, accumulation=3).optimization()
    assert isinstance(shared, FinetuneConfig)
    assert (shared.lr, shared.accumulation, shared.batch_size) == (3e-3, 3, 16)
