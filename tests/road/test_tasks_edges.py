"""Runs of the labeler candidates with little to go by end in a model, or in words that say why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from task_rows import TARGET, WORDS, make_rows, write_files, write_lines

from react_ray.answer import load_answers
from react_ray.config.file import load_config
from react_ray.errors import InputError
from react_ray.labelers.candidates import align_balance
from react_ray.pipeline.run import run
from react_ray.pipeline.stages.candidates import by_row, load_proposals
from react_ray.pipeline.suggest import suggest
from react_ray.tasks import get_task
from react_ray.tasks.units import unit_task

every_task = pytest.mark.parametrize("task", ["token-classification", "multi-label-classification"])


@pytest.fixture(scope="module")
def model(make_tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("task-words"), WORDS)


@pytest.fixture
def go(task: str, model: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def made(files: dict[str, Path], **more: Any) -> dict[str, Any]:
        flags = {f"data.{name}": str(path) for name, path in files.items()}
        quick = {"finetune.token_budget": 2000, "onnx": False, "cluster.workers": 0, "cluster.use_gpu": False}
        flags |= {"task": task, "model": str(model), "output": str(tmp_path / "out")}
        return run(load_config(flags=flags | quick | more), quiet=True).metrics

    return made


@every_task
@pytest.mark.parametrize("more", [{}, {"candidates.rows": 0}])
def test_without_a_pool_the_labelled_rows_and_their_copies_are_trained_on(task, go, more, tmp_path):
    files = write_files(tmp_path, task)
    files = files if more else {"labeled": files["labeled"]}
    metrics = go(files, **more)
    assert metrics["why"].startswith("No unlabelled row was used")
    assert metrics["label_quality"] is None
    origins = pq.read_table(tmp_path / "out" / "augmented")["origin"].to_pylist()
    assert {*origins} == {"labeled", "augmented"}
    with pytest.raises(InputError, match="no unlabelled rows to choose from"):
        suggest(tmp_path / "out", 3, tmp_path / "more.csv", quiet=True)


@every_task
def test_the_gate_compares_answers_from_ten_validation_rows_on(task, go, tmp_path):
    files, rows = write_files(tmp_path, task), make_rows(task, 72)[60:]
    few = go(files | {"validation": write_lines(tmp_path / "few.jsonl", rows[:3])})
    assert "proposals for pool rows are trained on" in few["why"]
    enough = go(files | {"validation": write_lines(tmp_path / "enough.jsonl", rows)})
    assert "On 12 validation rows" in enough["why"]
    assert "probability of being worse" in enough["why"]
    assert enough["validation"]["n"] == 12


@every_task
def test_a_class_without_labelled_rows_is_told_of(task, go, tmp_path):
    names = {"token-classification": ["LOC", "PER"], "multi-label-classification": ["money", "sport"]}[task]
    (tmp_path / "labels.yaml").write_text("".join(f"{name}: a {name}\n" for name in [*names, "war"]))
    metrics = go(write_files(tmp_path, task) | {"labels": tmp_path / "labels.yaml"})
    assert "without a labelled row, these are never predicted: 'war'" in metrics["why"]


@every_task
def test_names_of_classes_alone_are_not_enough(task, go, tmp_path):
    (tmp_path / "labels.yaml").write_text("LOC: a place\nPER: a person\n")
    files = {"unlabeled": write_files(tmp_path, task)["unlabeled"], "labels": tmp_path / "labels.yaml"}
    with pytest.raises(InputError, match="needs labelled rows"):
        go(files)


@every_task
def test_blank_targets_leave_nothing_to_learn_from(task, go, tmp_path):
    blank = [row | {TARGET[task]: None} for row in make_rows(task, 9)]
    with pytest.raises(InputError, match="no row has a label"):
        go({"labeled": write_lines(tmp_path / "blank.jsonl", blank)})


@pytest.mark.parametrize("task", ["question-answering"])
def test_d_chooses_among_answers_where_it_helps_on_the_validation_rows(task, go, tmp_path):
    files, rows = write_files(tmp_path, task), make_rows(task, 100)[60:]
    files |= {"validation": write_lines(tmp_path / "validation.jsonl", rows)}
    passages = [{"context": f"the old Paris met {n} days"} for n in range(3)]
    pool = [json.loads(line) for line in files["unlabeled"].read_text().splitlines()]
    files["unlabeled"] = write_lines(tmp_path / "pool.jsonl", [*pool, *passages])
    metrics = go(files, **{"proposals.verifier": True, "data.passages": True, "proposals.cloze": True})
    assert "On 40 held-out rows the most certain answers have a credit of" in metrics["why"]
    assert metrics["label_quality"]["generated"] == 24
    (propose,) = (tmp_path / "out" / "cache").glob("propose-*")
    (generate,) = (tmp_path / "out" / "cache").glob("generate-*")
    pairs = {"known", "guessed", "pool", "validation", "back_translated"}
    assert pairs == {path.stem for path in propose.glob("*.safetensors")}
    answers = load_answers(generate / "answers.jsonl")
    proposed = load_answers(propose / "pool.jsonl")
    for answer, own in zip(answers, proposed, strict=True):
        assert answer.value in [[[*map(int, name.split(":"))]] if name else [] for name, _ in own.ranking]
        assert 0 < answer.score < 1
    rows = pq.read_table(tmp_path / "out" / "augmented").to_pylist()
    assert sum(row["origin"] == "generated" for row in rows) == metrics["label_quality"]["kept"]
    (warm_up,) = (tmp_path / "out" / "cache").glob("warm_up-*")
    contexts = {row["text"] for row in pq.read_table(warm_up / "train.parquet").to_pylist()}
    assert {row["context"] for row in passages} < contexts, "and those of rows with questions"
    assert "questions made from contexts" in metrics["why"]
    without = go(files, **{"proposals.verifier": True})
    tests = {name: [one["arms"][name]["test"] for one in (metrics, without)] for name in metrics["arms"]}
    assert tests["labels_only"][0] == tests["labels_only"][1]
    assert tests["generated_labels"][0] != tests["generated_labels"][1]


@pytest.mark.parametrize("task", ["token-classification"])
def test_d_labels_words_where_it_helps_on_the_validation_rows(task, go, tmp_path):
    files, rows = write_files(tmp_path, task), make_rows(task, 100)[60:]
    metrics = go(files | {"validation": write_lines(tmp_path / "validation.jsonl", rows)})
    (propose,) = (tmp_path / "out" / "cache").glob("propose-*")
    (generate,) = (tmp_path / "out" / "cache").glob("generate-*")
    verdict = json.loads((generate / "diagnostics.json").read_text())["verifier"]
    assert verdict["why"] in metrics["why"]
    assert ("so D is joined" in verdict["why"]) == (verdict["with_d"] >= verdict["without_d"])
    tagger, names = unit_task(get_task(task)), ["LOC", "PER"]
    pool, labeled, held_out = (
        pq.read_table(propose / f"{name}.parquet") for name in ("pool", "labeled", "validation")
    )
    assert (len(held_out), len(load_answers(generate / "answers.jsonl"))) == (40, len(pool))
    truth = np.concatenate(tagger.distributions(labeled, names))
    proposals = [load_proposals(propose / name, truth.shape[1]) for name in ("pool", "validation")]
    together = np.concatenate([found["given"] for found in proposals])
    aligned = align_balance(together, truth.mean(0))[len(proposals[0]["given"]) :]
    answers = tagger.decide(by_row(aligned, proposals[1]["sizes"]), held_out, names)
    assert verdict["without_d"] == pytest.approx(tagger.measure(answers, held_out, names)["entity_f1"])
    few = go(files | {"validation": write_lines(tmp_path / "few.jsonl", rows[:20])})
    assert "too few held-out rows" in few["why"]
