"""Made-up runs of several tasks: rows, answers, and all that a report of them needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from react_ray.answer import Answer
from react_ray.evaluate.metrics import answer_quality, lead, measure
from react_ray.tasks import get_task
from react_ray.tasks.columns import Options

__all__ = ["ENTITIES", "RELATIONS", "content_of", "entity_run", "pair_run", "relation_run", "set_run"]

ENTITIES = ["LOC", "ORG", "PER"]
RELATIONS = ["Cause(e1,e2)", "Cause(e2,e1)", "Other", "Part(e1,e2)"]


def content_of(name: str, labels: Sequence[str], rows: pa.Table, answers: Sequence[Answer]) -> dict[str, Any]:
    """The content of the report of a run whose test rows were answered so."""
    task = get_task(name)
    credit = task.credit(answers, rows)
    weight = np.array([answer.score for answer in answers])
    brief = measure(task, answers, rows, labels, details=False)
    metrics: dict[str, Any] = {
        "version": "0.1.0",
        "task": name,
        "headline": task.metrics[0],
        "seed": 0,
        "model": "embedded",
        "encoders": {"embedded": 1.0},
        "classes": list(labels),
        "labels_used": 165,
        "rows": {"labeled": 165, "unlabeled": 3126, "test": len(rows)},
        "unused": 0,
        "refused": {},
        "notes": [],
        "warnings": [],
        "test": measure(task, answers, rows, labels),
        "validation": None,
        "arms": {
            arm: {"validation": None, "test": brief, "lead": lead(task, answers, answers, rows, labels)}
            for arm in ("labels_only", "generated_labels")
        },
        "chosen": "generated_labels",
        "why": "The generated labels help.",
        "cut": {"rows": 400, "texts": 0.125, "tokens": 0.31, "read": 90.5, "max_length": 128, "windows": 1},
        "label_quality": answer_quality(
            answers, weight, np.ones(len(rows), bool), credit, task.correct(credit)
        ),
        "seconds": {"prepare": 1.5},
        "reused": [],
    }
    return {
        "metrics": metrics,
        "folder": "out/my run",
        "class_counts": {"labeled": dict.fromkeys(labels, 9)},
        "sections": task.sections(answers, rows, labels),
        "finetune_history": {"generated_labels": [{"step": i, "loss": 1 / i} for i in range(1, 50)]},
        "lgan_history": {},
    }


def table(name: str, cells: Sequence[dict[str, Any]]) -> pa.Table:
    """Cells of files as rows of a run."""
    task = get_task(name)
    schema = pa.schema([*task.inputs, task.target])
    return pa.Table.from_pylist([task.parse(one, Options()) for one in cells], schema)


def entity_run(
    text: str = "Ada Lovelace met Bob of Acme Corp in New York City", types: Any = ENTITIES
) -> Any:
    """A row with an error of each kind (if ``text`` is not another), some that are right, and one long."""
    loc, org, per = types
    words = text.split()
    tags = [f"B-{per}", f"I-{per}", "O", f"B-{per}", "O", f"B-{org}", f"I-{org}", "O"]
    tags += [f"B-{loc}", f"I-{loc}", f"I-{loc}"]
    tags = [*tags, *["O"] * len(words)][: len(words)]
    long = ["so"] * 400 + ["Ada"] + ["on"] * 400
    cells = [
        {"tokens": words, "tags": tags},
        {"tokens": ["Paris", "is", "big"], "tags": [f"B-{loc}", "O", "O"]},
        {"tokens": long, "tags": ["O"] * 400 + [f"B-{per}"] + ["O"] * 400},
    ]
    said = [
        [0, 2, per],
        [2, 3, org],
        [5, 7, loc],
        [8, 10, loc],
    ]  # right, spurious, type, boundary; Bob missed
    answers = [
        Answer(said, 0.9, tuple((label, 0.9) for *_, label in said)),
        Answer([[0, 1, loc]], 0.8, ((loc, 0.8),)),
        Answer([], 0.7),
    ]
    name = "token-classification"
    return content_of(name, sorted(types), table(name, cells), answers)


def set_run(labels: Sequence[str] = ("joy", "love", "rage"), text: str = "what a day") -> Any:
    """Texts with sets of labels: right, one label for another, none found, one too many."""
    one, two, three = labels
    cells = [
        {"text": "fine", "labels": [one]},
        {"text": text, "labels": [one, two]},
        {"text": "leave me alone", "labels": [three]},
        {"text": "the train leaves at nine", "labels": []},
    ]
    chances = [[0.9, 0.1, 0.2], [0.8, 0.3, 0.6], [0.2, 0.1, 0.4], [0.7, 0.1, 0.1]]
    values = [[one], [one, three], [], [one]]
    answers = [
        Answer(value, score, tuple(zip(labels, row, strict=True)))
        for value, score, row in zip(values, (0.6, 0.5, 0.4, 0.3), chances, strict=True)
    ]
    name = "multi-label-classification"
    return content_of(name, labels, table(name, cells), answers)


def relation_run(
    labels: Sequence[str] = RELATIONS, text: str = "the <e1>smoke</e1> of the <e2>fire</e2>"
) -> Any:
    """Pairs of entities: right, the wrong direction, the wrong relation."""
    forth, back, other, part = labels
    cells = [
        {"text": "a <e2>wheel</e2> of my <e1>car</e1>", "label": part},
        {"text": text, "label": back},
        {"text": "the <e1>rain</e1> and the <e2>mud</e2>", "label": other},
    ]
    answers = [
        Answer(label, score, ((label, score), (second, 1 - score)))
        for label, score, second in ((part, 0.9, other), (forth, 0.8, back), (part, 0.7, other))
    ]
    name = "relation-extraction"
    return content_of(name, sorted(labels), table(name, cells), answers)


def pair_run() -> Any:
    """Pairs of texts, one of them taken for another class."""
    cells = [
        {"text": "how do i pay", "text_pair": "ways to pay", "label": "same"},
        {"text": "my card is lost", "text_pair": "close my account", "label": "different"},
    ]
    answers = [Answer("same", 0.9, (("same", 0.9), ("different", 0.1)))] * 2
    name = "text-pair-classification"
    return content_of(name, ["different", "same"], table(name, cells), answers)
