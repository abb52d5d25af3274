"""A task that is one class in this file goes the whole road: nothing in the package knows of it."""

from __future__ import annotations

import asyncio
import inspect
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import numpy as np
import pyarrow as pa
import pytest
import test_contract as contract
from example_rows import EXAMPLES, Examples

from react_ray import load, tasks
from react_ray.config.file import load_config
from react_ray.config.service import ServeConfig
from react_ray.models.tokenizer import TextTokenizer
from react_ray.pipeline.predict import predict_file
from react_ray.pipeline.run import run
from react_ray.serve.engine.about import About
from react_ray.serve.engine.model import load_engine
from react_ray.serve.service import Service
from react_ray.serve.web import build_app
from react_ray.tasks.closed import ClosedTask
from react_ray.tasks.columns import Cells, Column, Options
from react_ray.tasks.task import Example
from react_ray.tasks.text_classification import distributions

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "first-letter"


class FirstLetter(ClosedTask):
    """Whether a title and a body begin with the same letter: columns and answers of its own."""

    name = NAME
    title = "first letters"
    columns = (Column("text", "text"), Column("body", "text"), Column("verdict", "label", target=True))
    needs = (("text", "body"),)
    inputs = (pa.field("text", pa.string()), pa.field("body", pa.string()))
    added = (pa.field("verdict", pa.string()), pa.field("certainty", pa.float64()))

    def parse(self, cells: Cells, options: Options) -> dict[str, Any]:
        """Two texts and the verdict: same or other."""
        if not cells.get("body"):
            raise ValueError("empty body: there is nothing to compare")
        verdict = cells.get("verdict") or None
        if verdict not in (None, "same", "other"):
            raise ValueError(f"unknown verdict: {verdict!r}")
        return {"text": cells["text"], "body": cells["body"], "label": verdict}

    def load_model(self, name: str, labels: Sequence[str], dropout: float | None = None) -> PreTrainedModel:
        """A sequence classifier."""
        from react_ray.models.heads import load_sequence_classifier

        return load_sequence_classifier(name, labels, dropout, "single_label_classification")

    def encode(self, tokenizer: TextTokenizer, rows: pa.Table, labels: Sequence[str]) -> list[Example]:
        """The two texts as one."""
        given = set(rows.column_names)
        both = zip(rows["text"].to_pylist(), rows["body"].to_pylist(), strict=True)
        ids = tokenizer.ids([f"{text} {body}" for text, body in both])
        targets = distributions(rows["label"], labels) if "label" in given else [None] * len(rows)
        weights = rows["weight"].to_numpy() if "weight" in given else np.ones(len(rows))
        return [
            Example(i, target, float(weight), row)
            for row, (i, target, weight) in enumerate(zip(ids, targets, weights, strict=True))
        ]

    def columns_of(self, answer: Any, row: Mapping[str, Any]) -> dict[str, Any]:
        """The verdict and its probability."""
        return {"verdict": answer.value, "certainty": answer.score}


def make_rows(count: int) -> list[dict[str, Any]]:
    draw, found = random.Random(0), {}
    while len(found) < count:
        first, second = draw.choice("bp"), draw.choice("bp")
        text, body = (letter + "".join(draw.choices("xyz", k=3)) for letter in (first, second))
        found[text, body] = {"text": text, "body": body, "verdict": "same" if first == second else "other"}
    return list(found.values())


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_REGISTRY", dict(tasks._REGISTRY))
    wrong = ({"text": "a", "body": "b", "verdict": "maybe"}, {"text": "a", "body": "", "verdict": "same"})
    monkeypatch.setitem(EXAMPLES, NAME, Examples(tuple(make_rows(24)), ("other", "same"), wrong))
    tasks.register(FirstLetter())


trained, model_for = contract.trained, contract.model_for
CHECKS = [check for name, check in vars(contract).items() if name.startswith("test_")]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("test_"))
def test_the_contract_of_all_tasks_holds(check: Callable[..., None], request: pytest.FixtureRequest) -> None:
    needed = inspect.signature(check).parameters
    check(**{one: NAME if one == "name" else request.getfixturevalue(one) for one in needed})


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def bare(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"text": row["text"], "body": row["body"]} for row in rows]


def test_it_goes_from_labels_to_answers_of_a_service(marks_model: Path, tmp_path: Path) -> None:
    rows, output = make_rows(64), tmp_path / "out"
    wrong = {"text": "a", "body": "b", "verdict": "maybe"}
    pool = [{**row, "truth": rows[20 + i]["verdict"]} for i, row in enumerate(bare(rows[20:48]))]
    flags = {
        "task": NAME, "model": str(marks_model), "output": str(output), "onnx": False,
        "data.labeled": write(tmp_path / "labeled.jsonl", [*rows[:20], wrong]),
        "data.unlabeled": write(tmp_path / "pool.jsonl", pool), "data.columns.truth": "truth",
        "data.test": write(tmp_path / "test.jsonl", rows[48:]), "cluster.workers": 0,
        "cluster.use_gpu": False, "finetune.token_budget": 4000, "lgan.steps": 20,
    }  # fmt: skip
    metrics = run(load_config(flags=flags), quiet=True).metrics
    assert metrics["rows"] == {"labeled": 20, "unlabeled": 28, "validation": 0, "test": 16}
    assert metrics["label_quality"]["known"] == 28
    assert "unknown verdict" in (output / "refused.jsonl").read_text()
    assert (output / "report.html").exists()

    asked = bare(rows[48:])
    predict_file(str(output), write(tmp_path / "asked.jsonl", asked), tmp_path / "answers.jsonl", quiet=True)
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [list(answer) for answer in answers] == [["text", "body", "verdict", "certainty"]] * 16
    right = [answer["verdict"] == row["verdict"] for answer, row in zip(answers, rows[48:], strict=True)]
    assert metrics["test"]["accuracy"] == np.mean(right)
    assert load(output).predict(asked)[0].label == answers[0]["verdict"]
    served = ask(output, asked)
    assert [one[0]["label"] for one in served] == [answer["verdict"] for answer in answers]


def ask(folder: Path, inputs: list[dict[str, Any]]) -> Any:
    engine = load_engine(str(folder), "fp32", threads=1, use_gpu=False)
    service = Service(engine, ServeConfig(), About("1", None, "none"), None)

    async def send() -> httpx2.Response:
        transport = httpx2.ASGITransport(build_app(service, scrape=None))  # type: ignore[arg-type]
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.post("/predict", json={"inputs": inputs})

    answer = asyncio.run(send())
    assert answer.status_code == 200, answer.text
    return answer.json()
