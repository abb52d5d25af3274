"""Models of many architectures: each through a run, files and a service, and encoders through every task."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from served_answers import ask, leaves
from task_rows import TARGET, WORDS, make_rows, write_lines
from tiny_architectures import KINDS, save_encoder
from tiny_seq2seq import save_tiny_seq2seq

from react_ray import load
from react_ray.config.file import load_config
from react_ray.config.settings import FinetuneConfig
from react_ray.inference.inputs import parse_input, table_of
from react_ray.inference.onnx_export import LARGEST, export
from react_ray.pipeline.predict import predict_file
from react_ray.pipeline.run import run
from react_ray.tasks import Task, get_task
from react_ray.tasks.columns import Options
from react_ray.training.train import loop
from react_ray.training.worker import LocalWorker

TASKS = (
    "token-classification",
    "text-pair-classification",
    "question-answering",
    "multi-label-classification",
    "extractive-summarization",
)
RUNS = {kind: TASKS[number % len(TASKS)] for number, kind in enumerate(KINDS)}
"""The task of the whole run of each architecture."""
OTHERS = [(kind, task) for kind in KINDS for task in TASKS if task != RUNS[kind]]
EXPORTED = "token-classification", "question-answering"
"""The tasks that are exported outside of runs too, for their heads: an export takes seconds."""
GENERATORS = {"marian": "translation", "mbart": "translation", "bart": "summarization", "t5": "summarization"}
TRAIN, TEST = 16, 4

Rows = list[dict[str, Any]]


def rows_of(task: str) -> tuple[Rows, Rows]:
    """Rows to train on, and the inputs of some others."""
    rows = make_rows(task, TRAIN + TEST)
    inputs = [{name: cell for name, cell in row.items() if name != TARGET[task]} for row in rows[TRAIN:]]
    return rows, inputs


@pytest.fixture(scope="module")
def base(
    make_tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """The folder of a tiny model of an architecture."""
    words = make_tiny_model(tmp_path_factory.mktemp("architecture-words"), WORDS)
    folders = {kind: save_encoder(tmp_path_factory.mktemp(kind), kind, words, layers=1) for kind in KINDS}
    return folders.__getitem__


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_makes_a_model_for_files_and_services(kind: str, base: Any, tmp_path: Path) -> None:
    assert run_and_answer(get_task(RUNS[kind]), base(kind), tmp_path) == "ONNX Runtime, fp32"


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_run_makes_a_model_that_generates_texts(kind: str, tmp_path: Path) -> None:
    rows, _ = rows_of(GENERATORS[kind])
    words = [str(cell) for row in rows for cell in row.values()]
    model = save_tiny_seq2seq(tmp_path / "tiny", words, kind)
    assert run_and_answer(get_task(GENERATORS[kind]), model, tmp_path) == "CTranslate2, fp32"


def run_and_answer(task: Task, model: Path, folder: Path) -> str:
    """Run; compare the answers in a file, over HTTP and in Python; return the engine of the service."""
    rows, inputs = rows_of(task.name)
    files = {"labeled": rows[:TRAIN], "test": rows[TRAIN:]}
    named = {f"data.{name}": str(write_lines(folder / f"{name}.jsonl", r)) for name, r in files.items()}
    flags = {"task": task.name, "model": str(model), "output": str(folder / "out"), **named}
    flags |= {"cluster.use_gpu": False, "cluster.workers": 0, "finetune.epochs": 1, "lgan.steps": 2}
    flags |= {"augment.copies": 0, "generation.max_new_tokens": 8}
    metrics = run(load_config(flags=flags), quiet=True).metrics
    assert (metrics["task"], metrics["rows"]["test"]) == (task.name, TEST)
    assert all(0 <= metrics["test"][name] <= 1 for name in task.metrics)
    source = write_lines(folder / "inputs.jsonl", inputs)
    predict_file(str(folder / "out"), str(source), folder / "out.jsonl", quiet=True)
    lines = [json.loads(line) for line in (folder / "out.jsonl").read_text("utf-8").splitlines()]
    parsed = [parse_input(task, one) for one in inputs]
    table = table_of(task, parsed)
    answers = load(folder / "out", use_gpu=False).answers(table)
    sent, engine = ask(folder / "out", inputs)
    for line, one, answer, row in zip(lines, sent, answers, table.to_pylist(), strict=True):
        columns = task.columns_of(answer, row)
        assert leaves({field.name: line[field.name] for field in task.added}) == pytest.approx(
            leaves(columns), abs=1e-5
        )
        assert leaves(one) == pytest.approx(leaves(task.wire(answer, row)), abs=1e-4)
    return engine


@pytest.mark.parametrize(("kind", "name"), OTHERS)
def test_every_task_is_trained_exported_and_served(kind: str, name: str, base: Any, tmp_path: Path) -> None:
    task = get_task(name)
    rows, inputs = rows_of(name)
    parsed = [task.parse(row, Options()) for row in rows[:TRAIN]]
    schema = pa.schema([*task.inputs, task.target])
    pq.write_table(pa.Table.from_pylist(parsed, schema), tmp_path / "train.parquet")
    worker = LocalWorker(tmp_path / "checkpoints")
    loop(
        worker,
        model=str(base(kind)),
        labels=sorted({label for row in parsed for label in task.names_in(row[task.target.name])}),
        train=str(tmp_path / "train.parquet"),
        validation=None,
        config=FinetuneConfig(epochs=1).model_dump(),
        task=name,
    )
    last = worker.checkpoint()
    assert last is not None
    folder = last / "model"
    exported = name in EXPORTED and task.auto_model != get_task(RUNS[kind]).auto_model
    if exported:
        record = export(folder, folder / "onnx", ())
        assert record.precisions["fp32"].largest_difference < LARGEST
    table = table_of(task, [parse_input(task, one) for one in inputs])
    sent, engine = ask(folder, inputs)
    assert engine.startswith("ONNX Runtime" if exported else "torch"), engine
    answers = load(folder, use_gpu=False).answers(table)
    for one, answer, row in zip(sent, answers, table.to_pylist(), strict=True):
        assert leaves(one) == pytest.approx(leaves(task.wire(answer, row)), abs=1e-4)
