"""What holds for every task; a task is added with its rows in example_rows.py.

One tiny model a task is trained, on few rows until it knows them by heart, and shared by the tests.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from example_rows import EXAMPLES, Examples
from tiny_seq2seq import save_tiny_seq2seq

from react_ray.answer import Answer, load_answers, save_answers
from react_ray.config.settings import AugmentConfig, FinetuneConfig
from react_ray.models.pretrained import load_tokenizer
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.tasks import Task, get_task, task_names
from react_ray.tasks.running import classes_of, padding_of, predict
from react_ray.tasks.task import AnswerKind
from react_ray.tasks.units import UnitTask
from react_ray.training.train import loop
from react_ray.training.worker import LocalWorker


@dataclass(frozen=True)
class Trained:
    task: Task
    examples: Examples
    rows: pa.Table
    folder: Path
    model: Any
    tokenizer: TransformersTokenizer
    answers: list[Answer]


def table(task: Task, examples: Examples, *, shuffled: bool = False) -> pa.Table:
    rows = [task.parse(cells, examples.options) for cells in examples.rows]
    if shuffled:
        random.Random(1).shuffle(rows)
    return pa.Table.from_pylist(rows, schema=pa.schema([*task.inputs, task.target]))


@pytest.fixture(scope="module")
def model_for(marks_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model that a task can train."""

    @cache
    def make(name: str) -> Path:
        if not get_task(name).generates:
            return marks_model
        texts = [cell for row in EXAMPLES[name].rows for cell in row.values()]
        return save_tiny_seq2seq(tmp_path_factory.mktemp(f"tiny-{name}"), texts, "t5")

    return make


@pytest.fixture(scope="module")
def trained(
    model_for: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Trained]:
    """The model of a task, trained when it is first asked for."""

    @cache
    def train(name: str) -> Trained:
        task, examples, folder = get_task(name), EXAMPLES[name], tmp_path_factory.mktemp(name)
        rows = table(task, examples, shuffled=True)
        pq.write_table(rows, folder / "train.parquet")
        worker = LocalWorker(folder / "checkpoints")
        rate = 1e-2 if task.generates else 2e-3
        settings = FinetuneConfig(lr=rate, epochs=120, batch_size=8, max_length=32)
        loop(
            worker,
            model=str(model_for(name)),
            labels=examples.classes,
            train=str(folder / "train.parquet"),
            validation=None,
            config=settings.model_dump(),
            task=name,
        )
        saved = worker.checkpoint() / "model"
        model = getattr(transformers, task.auto_model).from_pretrained(saved).eval()
        tokenizer = TransformersTokenizer(load_tokenizer(str(saved)), 32)
        answers = predict(task, model, tokenizer, rows)
        return Trained(task, examples, rows, saved, model, tokenizer, answers)

    return train


every_task = pytest.mark.parametrize("name", task_names())


def perfect_outputs(task: Task, examples: list[Any]) -> list[Any]:
    """What a perfect model computes: its targets."""
    if task.generates:
        return [np.array([[0, *example.target]], np.float32) for example in examples]
    return [(np.asarray(example.target, np.float32) - 0.5) * 60 for example in examples]


def truth_as_answers(of: Trained) -> list[Answer]:
    """Answers of a perfect model: its outputs are the targets themselves."""
    examples = of.task.encode(of.tokenizer, of.rows, of.examples.classes)
    outputs = perfect_outputs(of.task, examples)
    return of.task.decode(outputs, examples, of.rows, of.examples.classes, {})


@every_task
def test_a_task_is_described(name):
    task, examples = get_task(name), EXAMPLES[name]
    known = {column.name for column in task.columns}
    assert task.name == name
    assert task.inputs[0].name == "text"
    assert all(set(group) <= known for group in task.needs)
    assert any(column.target for column in task.columns)
    assert {column for row in examples.rows for column in row} <= known
    assert hasattr(transformers, task.auto_model)
    assert task.answers in get_args(AnswerKind)


@every_task
def test_rows_are_kept_in_the_form_that_is_declared(name):
    task, examples = get_task(name), EXAMPLES[name]
    rows = table(task, examples)
    for cells, row in zip(examples.rows, rows.to_pylist(), strict=True):
        assert task.parse(cells, examples.options) == row, "a row survives parquet"
        assert isinstance(task.shown(row[task.target.name], row), str)
        assert json.loads(json.dumps(row)) == row
    named = {n for target in rows[task.target.name].to_pylist() for n in task.names_in(target)}
    assert sorted(named) == list(examples.classes)


@every_task
def test_a_blank_target_is_a_row_of_the_pool(name):
    task, examples = get_task(name), EXAMPLES[name]
    targets = {column.name for column in task.columns if column.target}
    for blank in (None, ""):
        cells = {key: blank if key in targets else cell for key, cell in examples.rows[0].items()}
        assert task.parse(cells, examples.options)[task.target.name] is None
    left = {key: cell for key, cell in examples.rows[0].items() if key not in targets}
    assert task.parse(left, examples.options)[task.target.name] is None


def is_plain(data: object) -> bool:
    """Whether it is made of built-in types alone."""
    if isinstance(data, dict):
        return all(map(is_plain, (*data.keys(), *data.values())))
    if isinstance(data, list | tuple):
        return all(map(is_plain, data))
    return data is None or type(data) in (str, int, float, bool)


@every_task
def test_copies_keep_the_form_of_rows_and_are_the_same_for_the_same_rows(name):
    task, rows = get_task(name), table(get_task(name), EXAMPLES[name]).to_pylist()
    config = AugmentConfig(copies=3, strength=0.3, operations=task.operations)
    known = task.collect(iter(rows), config)
    assert is_plain(known), "workers get it"
    assert known == task.collect(iter(rows), config)
    copies = [task.augment(row, config, 1, known) for row in rows]
    assert copies == [task.augment(row, config, 1, known) for row in rows]
    assert any(copies) == bool(task.operations)
    assert all(len(made) <= 3 for made in copies)
    schema = pa.schema([*task.inputs, task.target])
    for row, made in zip(rows, copies, strict=True):
        assert all(copy.keys() == row.keys() and copy != row for copy in made)
        named = sorted(task.names_in(row[task.target.name]))
        assert all(sorted(task.names_in(copy[task.target.name])) == named for copy in made)
        assert pa.Table.from_pylist(made, schema).to_pylist() == made


@every_task
def test_wrong_rows_say_what_is_wrong(name):
    for cells in EXAMPLES[name].wrong:
        with pytest.raises(ValueError, match=re.compile(r"^[^:]{5,60}: .+", re.DOTALL)):
            get_task(name).parse(cells, EXAMPLES[name].options)


@every_task
def test_targets_survive_a_round_trip_in_any_order_of_classes(name, model_for):
    task, examples = get_task(name), EXAMPLES[name]
    rows, tokenizer = table(task, examples), TransformersTokenizer(load_tokenizer(str(model_for(name))), 32)
    for classes in (examples.classes, examples.classes[::-1]):
        assert task.classes_of(task.output_names(classes)) == list(classes)
        encoded = task.encode(tokenizer, rows, classes)
        outputs = perfect_outputs(task, encoded)
        answers = task.decode(outputs, encoded, rows, classes, {})
        assert task.credit(answers, rows).tolist() == [1.0] * len(rows)


@every_task
def test_the_truth_has_full_credit_and_the_best_figures(name, trained, tmp_path):
    of = trained(name)
    answers = truth_as_answers(of)
    assert of.task.measure(answers, of.rows, of.examples.classes)[of.task.metrics[0]] == pytest.approx(1)
    save_answers(answers, tmp_path / "answers.jsonl")
    loaded = load_answers(tmp_path / "answers.jsonl")
    assert loaded == answers
    assert of.task.credit(loaded, of.rows).tolist() == [1.0] * len(of.rows)
    json.dumps(of.task.details(loaded, of.rows, of.examples.classes))


@every_task
def test_a_tiny_model_learns_its_rows(name, trained):
    of = trained(name)
    assert classes_of(of.task, of.model) == list(of.examples.classes)
    assert of.task.measure(of.answers, of.rows, of.examples.classes)[of.task.metrics[0]] > 0.9
    assert of.task.credit(of.answers, of.rows).mean() > 0.9
    assert all(0 <= answer.score <= 1 for answer in of.answers)


@every_task
def test_figures_are_the_metrics_and_sum_in_parts(name, trained):
    of = trained(name)
    wrong = [*of.answers[1:], of.answers[0]]  # so that the figures are not all 1
    whole = of.task.measure(wrong, of.rows, of.examples.classes)
    assert tuple(whole) == of.task.metrics
    counts = [
        np.asarray(of.task.statistics(wrong[a:b], of.rows[a:b], of.examples.classes).sum(0), np.float64)
        for a, b in ((0, 5), (5, 6), (6, len(wrong)))
    ]
    assert {k: float(v) for k, v in of.task.score(sum(counts)).items()} == pytest.approx(whole)
    both = of.task.score(np.stack([sum(counts), counts[0]]))
    assert all(np.shape(figure) == (2,) for figure in both.values())
    assert whole[of.task.metrics[0]] < 1
    credit = of.task.credit(wrong, of.rows)
    assert credit.min() >= 0
    assert credit.max() <= 1


@every_task
def test_rows_without_targets_get_the_same_answers(name, trained):
    of = trained(name)
    bare = of.rows.select([field.name for field in of.task.inputs])
    again = predict(of.task, of.model, of.tokenizer, bare)
    assert [answer.value for answer in again] == [answer.value for answer in of.answers]
    alone = [predict(of.task, of.model, of.tokenizer, bare[i : i + 1])[0] for i in range(5)]
    assert [answer.score for answer in alone] == pytest.approx([a.score for a in of.answers[:5]], abs=1e-4)
    assert predict(of.task, of.model, of.tokenizer, bare[:0]) == []


def leaves(value: Any) -> set[Any]:
    """The strings and numbers anywhere in ``value``."""
    if isinstance(value, dict | list | tuple):
        inside = value.values() if isinstance(value, dict) else value
        return set().union(*map(leaves, inside))
    return {value}


@every_task
def test_columns_of_files_agree_with_what_services_answer(name, trained):
    of = trained(name)
    names = [field.name for field in of.task.added]
    for answer, row in zip(of.answers, of.rows.to_pylist(), strict=True):
        bare = {field.name: row[field.name] for field in of.task.inputs}
        columns, sent = of.task.columns_of(answer, bare), of.task.wire(answer, bare)
        assert list(columns) == names
        assert isinstance(sent, list)
        assert json.loads(json.dumps(sent)) == sent
        for field in of.task.added:
            pa.array([columns[field.name]], field.type)
        assert leaves(columns) <= leaves(sent) | {of.task.shown(answer.value, bare), answer.score}


@every_task
def test_plain_transformers_gives_the_same_logits(name, trained):
    of = trained(name)
    ours = of.task.load_model(str(of.folder), of.examples.classes).eval()
    examples = of.task.encode(of.tokenizer, of.rows, of.examples.classes)
    inputs = of.task.collate(examples, padding_of(ours))
    tensors = {key: torch.from_numpy(value) for key, value in inputs.items()}
    with torch.no_grad():
        assert torch.allclose(of.task.infer(ours, tensors), of.task.infer(of.model, tensors), atol=1e-5)
    if not of.task.generates:
        assert list(of.model.config.id2label.values()) == of.task.output_names(of.examples.classes)
    assert of.model.config.react_ray["task"] == name


@every_task
def test_a_target_may_be_a_distribution_with_a_weight(name, trained):
    of = trained(name)
    task, classes = of.task, of.examples.classes
    examples = task.encode(
        of.tokenizer, of.rows.append_column("weight", pa.array([0.5] * len(of.rows))), classes
    )
    assert {example.weight for example in examples} == {0.5}
    if task.generates or task.target.type not in (pa.string(), pa.list_(pa.string())):
        pytest.skip("its targets have no distribution")
    if isinstance(task, UnitTask):
        soft = task.soft_column(task.distributions(of.rows, classes))
    else:
        soft = pa.array([np.asarray(example.target, np.float64).tolist() for example in examples])
    place = of.rows.column_names.index(task.target.name)
    again = task.encode(of.tokenizer, of.rows.set_column(place, task.target.name, soft), classes)
    for one, other in zip(examples, again, strict=True):
        assert np.array_equal(one.target, other.target)
