"""An assistant with models of its own: a fine-tuned classifier of intents, and a question answering model."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from shop import ANSWERS, rows, write_files
from transformers import AutoTokenizer

from react_ray.apps.assist.build import build, load_config
from react_ray.apps.assist.folder import load_assistant
from react_ray.apps.assist.reader import read_answer
from react_ray.errors import InputError
from react_ray.tasks import get_task


def test_a_fine_tuned_classifier_is_trained_with_the_other_questions_as_pool(
    tmp_path: Path, tiny_model: Path
) -> None:
    write_files(tmp_path)
    pool = rows(6, 3).assign(intent="")
    history = pd.concat([pd.read_csv(tmp_path / "history.csv"), pool]).drop_duplicates("question")
    history.to_csv(tmp_path / "history.csv", index=False)
    flags = {"history": str(tmp_path / "history.csv"), "output": str(tmp_path / "out")}
    flags |= {"encoder": str(tiny_model), "classifier": "run", "cluster.use_gpu": False}
    result = build(load_config(["cluster.workers=0"], flags), quiet=True)
    built, assistant = load_assistant(tmp_path / "out")
    assert assistant.classifier is not None
    assert sorted(assistant.classifier.labels) == sorted(ANSWERS)
    question = "parcel courier delivery late"
    found = assistant.find([question], assistant.encoder.encode([question]))[0]
    of_run = assistant.classifier.predict([question])[0]
    assert found.intent == of_run.label
    assert found.intent_score == pytest.approx(of_run.score, abs=1e-5)
    assert result.record["thresholds"]["intent"] == built.thresholds.intent
    assert [path.name for path in (tmp_path / "out" / "run").iterdir()] == ["model"]
    left = b"".join(path.read_bytes() for path in (tmp_path / "out" / "run").rglob("*") if path.is_file())
    assert all(text.encode() not in left for text in history["question"])


@pytest.fixture
def reader(tmp_path: Path, tiny_model: Path) -> Path:
    """A question answering model with random weights."""
    folder = tmp_path / "reader"
    task = get_task("question-answering")
    torch.manual_seed(0)
    model = task.load_model(str(tiny_model), [])
    model.config.react_ray = {"task": task.name, "answers": {"temperature": 1.0, "no_answer": 0.0}}
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    return folder


def test_a_reader_answers_in_whole_sentences_of_what_was_found(
    tmp_path: Path, tiny_model: Path, reader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    flags = {"history": "history.csv", "output": "out", "encoder": str(tiny_model), "reader": reader.name}
    build(load_config([], flags), quiet=True)
    monkeypatch.chdir("/")  # replicas work elsewhere
    _, assistant = load_assistant(tmp_path / "out")
    assert assistant.reader is not None
    passage = "A parcel arrives soon. It takes five days. We write to you."
    read = read_answer(assistant.reader, "how long?", [passage])
    if read is not None:
        place, answer = read
        assert place == 0
        assert answer in passage
        assert answer.startswith(("A parcel", "It takes", "We write"))
        assert answer.endswith(".")
    vector = assistant.encoder.encode(["parcel"])[0]
    found = assistant.find(["parcel"], vector[None])[0]
    reply = assistant.answer(found, "parcel", vector)
    assert any(reply.text in answer for answer in ANSWERS.values())


def test_a_reader_of_another_task_is_rejected(tmp_path: Path, tiny_model: Path) -> None:
    write_files(tmp_path)
    flags = {"history": str(tmp_path / "history.csv"), "output": str(tmp_path / "out")}
    flags |= {"encoder": str(tiny_model), "reader": str(tiny_model)}
    with pytest.raises(InputError):
        build(load_config([], flags), quiet=True)
