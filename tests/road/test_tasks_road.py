"""The whole road of the tasks that are not about one label for one text, in this process on a tiny model."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from served_answers import ask, leaves
from sklearn.metrics import f1_score
from task_rows import MAKE, TARGET, WORDS, make_rows, write_files, write_lines
from tiny_seq2seq import save_tiny_seq2seq

from react_ray import load
from react_ray.config.file import load_config
from react_ray.config.settings import Config
from react_ray.inference.inputs import parse_input, table_of
from react_ray.pipeline.predict import predict_file
from react_ray.pipeline.preflight import check
from react_ray.pipeline.run import run
from react_ray.pipeline.suggest import suggest
from react_ray.tasks import get_task
from react_ray.tasks.columns import Options
from react_ray.tasks.units import UnitTask
from react_ray.tasks.word_tagging import WordTagging

TASKS = sorted(MAKE)
EXPORTED = "multi-label-classification"
"""The one task whose model is exported here: an export takes longer than the rest of such a run."""
VOLATILE = {"seconds", "reused"}


@dataclass(frozen=True)
class Done:
    config: Config
    files: dict[str, Path]
    folder: Path
    metrics: dict[str, Any]


def settings(task: str, model: Path, output: Path, files: dict[str, Path], **more: Any) -> Config:
    quick = {"finetune.lr": 3e-3, "finetune.token_budget": 8000, "lgan.steps": 20, "onnx": task == EXPORTED}
    if get_task(task).generates:
        quick |= {"finetune.epochs": 20, "generation.max_new_tokens": 8, "generation.beams": 2}
        quick |= {"onnx": True}
    here = {"cluster.use_gpu": False, "cluster.workers": 0, "data.columns.truth": "truth"}
    named = {f"data.{name}": str(path) for name, path in files.items()}
    return load_config(
        flags={"task": task, "model": str(model), "output": str(output), **named, **quick, **here, **more}
    )


@pytest.fixture(scope="module")
def models(
    make_tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """A tiny model for a task: an encoder, or an encoder-decoder."""
    encoder = make_tiny_model(tmp_path_factory.mktemp("task-words"), WORDS)
    texts = [
        text
        for task in TASKS
        if get_task(task).generates
        for row in make_rows(task, 60)
        for text in row.values()
    ]
    generator = save_tiny_seq2seq(tmp_path_factory.mktemp("task-texts"), texts, "t5")
    return lambda task: generator if get_task(task).generates else encoder


@pytest.fixture
def model(models: Callable[[str], Path], task: str) -> Path:
    return models(task)


@pytest.fixture(scope="module")
def done(models: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Done]:
    """The run of a task, made when it is first asked for."""

    @cache
    def make(task: str) -> Done:
        folder = tmp_path_factory.mktemp(task)
        files = write_files(folder, task)
        config = settings(task, models(task), folder / "out", files)
        return Done(config, files, folder / "out", run(config, quiet=True).metrics)

    return make


every_task = pytest.mark.parametrize("task", TASKS)


@every_task
def test_the_folder_holds_what_is_promised(task, done):
    of, known = done(task), get_task(task)
    there = {path.name for path in of.folder.iterdir()}
    assert {"metrics.json", "report.html", "model", "augmented", "left_out.parquet", "refused.jsonl"} <= there
    assert known.nouns.model in (of.folder / "model" / "README.md").read_text(encoding="utf-8")
    assert (of.folder / "model" / "onnx").is_dir() == (task == EXPORTED)
    assert (of.folder / "model" / "ctranslate2").is_dir() == known.generates
    kept = json.loads((of.folder / "metrics.json").read_text(encoding="utf-8"))
    assert (kept["task"], kept["headline"]) == (task, known.metrics[0])
    assert all(0 <= kept["test"][name] <= 1 for name in known.metrics)
    assert kept["chosen"] in kept["arms"]
    assert {"generated_labels", "labels_only"} <= set(kept["arms"])
    assert kept["rows"] == {"labeled": 24, "unlabeled": 24, "validation": 0, "test": 12}
    assert (kept["cut"]["rows"], kept["cut"]["texts"]) == (60, 0)
    quality = kept["label_quality"]
    assert (quality["generated"], quality["known"]) == (24, 24)
    assert quality["accuracy"] > 0.3


@every_task
def test_the_augmented_rows_have_targets_and_weights(task, done):
    of, known = done(task), get_task(task)
    table = pq.read_table(of.folder / "augmented")
    assert {field.name for field in known.inputs} <= set(table.column_names)
    kind = table.schema.field(known.target.name).type
    in_parts = isinstance(known, UnitTask) and known.units(table) is not None
    depth = 2 if in_parts else 1  # a distribution for each word or sentence
    if known.labeler == "proposals":
        assert kind == known.target.type
    else:
        for _ in range(depth):
            assert pa.types.is_list(kind)
            kind = kind.value_type
        assert pa.types.is_floating(kind)
    origins, weights = table["origin"].to_pylist(), table["weight"].to_pylist()
    assert set(origins) == {"labeled", "generated", *(["augmented"] if known.operations else [])}
    assert all(0 < weight <= 1 for weight in weights)
    assert {w for w, origin in zip(weights, origins, strict=True) if origin == "labeled"} == {1.0}
    assert origins.count("generated") == of.metrics["label_quality"]["kept"]
    left = pq.read_table(of.folder / "left_out.parquet")
    assert len(left) + origins.count("generated") == 24


@every_task
def test_the_same_run_again_does_nothing_twice(task, done):
    of = done(task)
    again = run(of.config, quiet=True).metrics
    assert set(again["reused"]) == set(again["seconds"])
    assert {k: v for k, v in again.items() if k not in VOLATILE} == {
        k: v for k, v in of.metrics.items() if k not in VOLATILE
    }


@every_task
def test_a_cut_off_run_goes_on_and_ends_the_same(task, done, tmp_path):
    of = done(task)
    shutil.copytree(of.folder, tmp_path / "out")
    (tmp_path / "out" / "metrics.json").unlink()
    (evaluate,) = (tmp_path / "out" / "cache").glob("evaluate-*")
    (finetune,) = (tmp_path / "out" / "cache").glob("finetune-*")
    shutil.rmtree(evaluate)
    (finetune / "history.jsonl").unlink()
    finetune.rename(finetune.with_name(finetune.name + ".part"))
    again = run(of.config.model_copy(update={"output": str(tmp_path / "out")}), quiet=True).metrics
    assert {"prepare", "generate", "labels_only"} <= {*again["reused"]}
    assert not {"evaluate", "finetune"} & {*again["reused"]}
    assert again["arms"] == of.metrics["arms"]
    assert again["test"] == of.metrics["test"]


def logits_of(folder: Path, kind: str, *texts: list[str]) -> tuple[Any, Any]:
    """What plain transformers computes for some texts, and the names of the outputs."""
    model = getattr(transformers, kind).from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(*texts, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        return model(**inputs).logits.numpy(), model.config.id2label


def best_labels(folder: Path, *texts: list[str]) -> list[str]:
    logits, names = logits_of(folder, "AutoModelForSequenceClassification", *texts)
    return [names[best] for best in logits.argmax(1).tolist()]


def entities_of(tokens: list[str], tags: list[str]) -> set[tuple[str, int, int]]:
    """The entities of a made-up row, each of one word."""
    ends = np.cumsum([len(token) + 1 for token in tokens]) - 1
    found = zip(tokens, tags, ends.tolist(), strict=True)
    return {(tag[2:], end - len(token), end) for token, tag, end in found if tag != "O"}


def test_figures_of_pairs_are_those_of_plain_transformers(done):
    of = done("text-pair-classification")
    rows = make_rows("text-pair-classification", 60)[48:]
    texts = [[row[name] for row in rows] for name in ("text", "text_pair")]
    truth, found = [row["label"] for row in rows], best_labels(of.folder / "model", *texts)
    assert of.metrics["test"]["macro_f1"] == pytest.approx(f1_score(truth, found, average="macro"))
    assert of.metrics["test"]["accuracy"] == np.mean([a == b for a, b in zip(truth, found, strict=True)])


def test_figures_of_relations_are_those_of_plain_transformers(done):
    of = done("relation-extraction")
    rows = make_rows("relation-extraction", 60)[48:]
    marked = [re.sub("</?e1>", " * ", re.sub("</?e2>", " # ", row["text"])) for row in rows]
    found = best_labels(of.folder / "model", marked)
    right = [row["label"] == label for row, label in zip(rows, found, strict=True)]
    assert of.metrics["test"]["accuracy"] == np.mean(right)


def test_figures_of_sets_are_those_of_plain_transformers(done):
    of = done("multi-label-classification")
    rows = make_rows("multi-label-classification", 60)[48:]
    kind = "AutoModelForSequenceClassification"
    logits, names = logits_of(of.folder / "model", kind, [row["text"] for row in rows])
    truth = np.array([[name in row["labels"] for name in names.values()] for row in rows])
    for average in ("macro", "micro"):
        figure = f1_score(truth, logits >= 0, average=average)
        assert of.metrics["test"][f"{average}_f1"] == pytest.approx(figure)


def test_figures_of_entities_are_those_of_plain_transformers(done):
    of = done("token-classification")
    rows = make_rows("token-classification", 60)[48:]
    tag = transformers.pipeline(
        "token-classification", model=str(of.folder / "model"), aggregation_strategy="simple"
    )
    right = made = there = 0
    for row in rows:
        truth = entities_of(row["tokens"], row["tags"])
        found = {(e["entity_group"], e["start"], e["end"]) for e in tag(" ".join(row["tokens"]))}
        right, made, there = right + len(truth & found), made + len(found), there + len(truth)
    assert of.metrics["test"]["entity_f1"] == pytest.approx(2 * right / (made + there))


def inputs_of(task: str) -> list[dict[str, Any]]:
    """The test rows without targets."""
    return [
        {name: cell for name, cell in row.items() if name != TARGET[task]} for row in make_rows(task, 60)[48:]
    ]


@every_task
def test_files_and_services_give_the_answers_of_the_model(task, done, tmp_path):
    of, known, inputs = done(task), get_task(task), inputs_of(task)
    source = write_lines(tmp_path / "rows.jsonl", inputs)
    predict_file(str(of.folder), str(source), tmp_path / "out.jsonl", quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    added = [field.name for field in known.added]
    assert [list(line) for line in lines] == [[*row, *added] for row in inputs]
    given = load(of.folder).answers(rows_of(task, inputs))
    rows = rows_of(task, inputs).to_pylist()
    for line, answer, row in zip(lines, given, rows, strict=True):
        columns = known.columns_of(answer, row)
        assert leaves({name: line[name] for name in added}) == pytest.approx(leaves(columns), abs=1e-5)
    sent, _ = ask(of.folder, inputs)
    for one, answer, row in zip(sent, given, rows, strict=True):
        assert leaves(one) == pytest.approx(leaves(known.wire(answer, row)), abs=1e-4)


@every_task
def test_rows_of_csv_files_come_back_with_their_answers(task, done, tmp_path):
    of, known = done(task), get_task(task)
    renamed = {"tokens": "text"}
    rows = [
        {"id": str(number), **{renamed.get(name, name): text(cell) for name, cell in row.items()}}
        for number, row in enumerate(inputs_of(task))
    ]
    with (tmp_path / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    predict_file(str(of.folder), str(tmp_path / "rows.csv"), tmp_path / "out.csv", quiet=True)
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    added = [field.name for field in known.added]
    assert [{name: row[name] for name in rows[0]} for row in found] == rows
    assert list(found[0]) == [*rows[0], *added]
    if known.answers == "entities":
        entities = [(row["text"], one) for row in found for one in json.loads(row["entities"])]
        assert entities
        assert all(text[one["start"] : one["end"]] == one["word"] for text, one in entities)


@every_task
def test_rows_without_text_come_back_without_an_answer(task, done, tmp_path):
    first, second, *_ = inputs_of(task)
    blank = {name: " " if isinstance(cell, str) else [] for name, cell in first.items()}
    source = write_lines(tmp_path / "rows.jsonl", [first, blank, second, {"id": 4}])
    predict_file(str(done(task).folder), str(source), tmp_path / "out.jsonl", quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    added = [field.name for field in get_task(task).added]
    answered = [[line[name] is not None for name in added] for line in lines]
    assert [any(row) for row in answered] == [True, False, True, False]
    assert not list(tmp_path.glob("*.refused.jsonl"))


def text(cell: Any) -> str:
    return cell if isinstance(cell, str) else " ".join(cell)


def rows_of(task: str, inputs: list[dict[str, Any]]) -> pa.Table:
    return table_of(get_task(task), [parse_input(get_task(task), one) for one in inputs])


WRONG: dict[str, tuple[str, str, dict[int, str]]] = {
    "extractive-summarization": (
        "rows.jsonl",
        '{"document": "the goal. a bank.", "summary": "the goal."}\n{"document": " ", "summary": "goal"}\n'
        '{"document": "the bank. a goal.", "summary": ["goal"]}\n{"document": "a tax.", "summary": "tax"}\n',
        {2: "blank document", 3: "summary"},
    ),
    "multi-label-classification": (
        "rows.jsonl",
        '{"text": "goal", "labels": ["sport"]}\n{"text": "loan", "labels": {"money": 1}}\n'
        '{"text": " ", "labels": ["money"]}\n{"text": "bank", "labels": ["money"]}\n',
        {2: "label", 3: "empty text"},
    ),
    "question-answering": (
        "rows.jsonl",
        '{"context": "ada met bob", "question": "met", "answer_text": "bob", "answer_start": 8}\n'
        '{"context": "ada met bob", "question": "met", "answer_text": "bob", "answer_start": 0}\n'
        '{"context": "", "question": "met", "answer_text": "bob", "answer_start": 0}\n'
        '{"context": "in rome", "question": "in", "answer_text": "rome"}\n',
        {2: "answer not at its place", 3: "blank context"},
    ),
    "relation-extraction": (
        "rows.csv",
        "text,label\n<e1>wheel</e1> of <e2>car</e2>,Other\n<e1>leaf</e1> of tree,Other\n"
        "<e1>leaf</e1> of <e2>tree</e2>,Part\n",
        {2: "e2"},
    ),
    "summarization": (
        "rows.jsonl",
        '{"document": "the goal. a bank.", "summary": "goal"}\n{"document": " ", "summary": "goal"}\n'
        '{"document": "the bank. a goal.", "summary": ["goal"]}\n{"document": "a tax.", "summary": "tax"}\n',
        {2: "blank document", 3: "summary"},
    ),
    "text-pair-classification": (
        "rows.csv",
        "text,text_pair,label\ngoal,team,same\nbank,,same\n,bank,same\ngoal,loan,different\n",
        {2: "empty text", 3: "empty text"},
    ),
    "token-classification": (
        "rows.conll",
        "ada B-PER\nmet O\n\nbob\nmet O\n\nin O\nrome B-LOC\n\nin O\nlima PLACE\n",
        {4: "wrong number of fields", 10: "tag"},
    ),
    "translation": (
        "rows.csv",
        "source,target\nthe goal,das tor\n,das tor\na bank,die bank\n",
        {2: "blank source"},
    ),
}
"""A file of each task with bad rows among good ones, and the rows that are rejected."""


@every_task
def test_bad_rows_are_listed_with_the_reason_and_good_ones_stay(task, model, tmp_path):
    name, content, wrong = WRONG[task]
    (tmp_path / name).write_text(content, encoding="utf-8")
    config = settings(
        task, model, tmp_path / "out", {"labeled": tmp_path / name}, **{"data.columns.truth": None}
    )
    prepared = run(config, until="prepare", quiet=True).stages["prepare"]
    refused = [json.loads(line) for line in (prepared / "refused.jsonl").read_text().splitlines()]
    assert {row["row"] for row in refused} == set(wrong)
    assert all(wrong[row["row"]] in row["reason"] for row in refused)
    assert {Path(row["file"]).name for row in refused} == {name}
    assert json.loads((prepared / "summary.json").read_text())["parts"]["labeled"] == 2


@every_task
def test_suggested_rows_can_be_filled_in_and_given_back(task, done, model, tmp_path):
    of, known = done(task), get_task(task)
    (tmp_path / "labeled").mkdir()
    target = tmp_path / "labeled" / "more.jsonl"
    told = suggest(of.folder, 5, target, quiet=True)
    rows = [json.loads(line) for line in target.read_text().splitlines()]
    *inputs, blank = list(rows[0])[:-2]
    assert {*inputs} == {*make_rows(task, 1)[0]} - {TARGET[task]}
    assert blank in {column.name for column in known.columns if column.target}
    assert repr(blank) in told
    assert [list(row) for row in rows] == [[*inputs, blank, "likely", "weight"]] * 5
    assert all(row[blank] == "" and row["likely"] for row in rows)
    truth = {key_of(task, row): row[TARGET[task]] for row in make_rows(task, 60)[24:48]}
    filled = [row | {TARGET[task]: truth[key_of(task, {name: row[name] for name in inputs})]} for row in rows]
    write_lines(target, filled)
    shutil.copy(of.files["labeled"], tmp_path / "labeled")
    files = of.files | {"labeled": tmp_path / "labeled"}
    again = run(settings(task, model, tmp_path / "out", files), until="prepare", quiet=True)
    parts = json.loads((again.stages["prepare"] / "summary.json").read_text())["parts"]
    assert parts["labeled"] == 29
    if known.labeler == "candidates":
        (generate,) = (of.folder / "cache").glob("generate-*")
        left = pq.read_table(generate / "left_out.parquet")["text"].to_pylist()
        texts = (row.get("document") or row.get("text") or " ".join(row["tokens"]) for row in rows)
        assert {*texts} & {*left}


def key_of(task: str, row: dict[str, Any]) -> str:
    """The inputs of a row."""
    names = [name for name in make_rows(task, 1)[0] if name != TARGET[task]]
    return json.dumps([row[name] for name in names])


@every_task
def test_a_check_counts_classes_and_long_texts(task, done, model, tmp_path):
    of, known = done(task), get_task(task)
    files = {name: path for name, path in of.files.items() if name != "test"}
    short = {"finetune.max_length": 8}
    found = check(settings(task, model, tmp_path / "out", files, **short), quiet=True)
    named = Counter(
        name
        for row in make_rows(task, 24)
        for name in {*known.names_in(known.parse(row, Options())[known.target.name])}
    )
    assert found.rows["classes"] == named
    assert all(f"  {name}: {count} labelled" in found.summary() for name, count in named.items())
    in_windows = isinstance(known, WordTagging)  # of question answering, the questions are cut
    assert ("longer than what the model reads" in found.summary()) == (not in_windows)
    assert found.cost["minutes"] > 0
    assert found.cost["memory_gb"] < 2
