"""OpenAPI schemas and examples of the inputs and answers of a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from react_ray.inference.inputs import input_columns, input_groups, rows_taken
from react_ray.tasks.task import AnswerKind, Task

__all__ = [
    "answer_example",
    "answer_order",
    "answer_schema",
    "entries_schema",
    "input_schema",
    "object_schema",
    "request_schema",
    "sample_input",
    "top_k_meaning",
]

PLACE = {"type": "integer", "minimum": 0}
KINDS: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "tokens": {
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "description": "The words of a text",
    },
    "spans": {
        "description": "The characters of an entity, from the first to before the last",
        "anyOf": [
            {"type": "array", "items": PLACE, "minItems": 2, "maxItems": 2},
            {"type": "object", "properties": {"start": PLACE, "end": PLACE}, "required": ["start", "end"]},
        ],
    },
}
SAMPLES: dict[str, Any] = {"text": "The striker scored twice.", "tokens": ["Ada", "lives", "in", "Paris"]}
LABEL = {
    "type": "object",
    "properties": {"label": {"type": "string"}, "score": {"type": "number"}},
    "required": ["label", "score"],
}
ENTITY = {
    "type": "object",
    "properties": {
        "entity_group": {"type": "string"},
        "score": {"type": "number"},
        "word": {"type": "string"},
        "start": {"type": "integer", "description": "Of its first character (code point)"},
        "end": {"type": "integer", "description": "Behind its last character"},
    },
    "required": ["entity_group", "score", "word", "start", "end"],
}

SPAN = {
    "type": "object",
    "properties": {
        "answer": {"type": "string", "description": "Empty where the context has no answer"},
        "score": {"type": "number"},
        "start": {"type": "integer", "description": "Its first character (code point) in the context"},
        "end": {"type": "integer", "description": "After its last character"},
    },
    "required": ["answer", "score", "start", "end"],
}
ORDER: dict[AnswerKind, str] = {
    "label": "labels best first",
    "labels": "labels best first",
    "entities": "entities in the order of the text",
    "span": "answers best first",
    "text": "texts best first",
}
TOP_K: dict[AnswerKind, str] = {
    "label": "Most labels of an answer: the best. All if left out",
    "labels": "The best labels, so many of them, in the set or not. The labels of the set if left out",
    "entities": "Most entities of an answer: the surest, in the order of the text. All if left out",
    "span": "Number of answers, best first. One if left out",
    "text": "Number of texts, best first. One if left out",
}


def sample_input(task: Task) -> Any:
    """Return an example input of the task: a text, or its own example."""
    text = SAMPLES["text"]
    return text if rows_taken(task, [text]) else task.nouns.example


def object_schema(task: Task, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the schema of an object with the input columns of a task, and ``extra`` properties."""
    fields = {column.name: {**KINDS.get(column.kind, {})} for column in input_columns(task)}
    if task.text_column:
        fields[task.text_column] |= {"description": _of_text(task)}
    groups = [{"required": list(group)} for group in input_groups(task)]
    needed: dict[str, Any] = groups[0] if len(groups) == 1 else {"anyOf": groups}
    return {"type": "object", "properties": fields | (extra or {}), "additionalProperties": False, **needed}


def _of_text(task: Task) -> str:
    if not rows_taken(task, [""]):
        return f"A text such as {sample_input(task)}"
    return "A text, which may be empty" + (": it then has no entities" if task.answers == "entities" else "")


def input_schema(task: Task, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the schema of an input: a text, if the task allows it, or an object."""
    text = [{"type": "string"}] if task.text_column else []
    return {"anyOf": [*text, object_schema(task, extra)]}


def answer_order(task: Task) -> str:
    """Describe the order of the entries of an answer."""
    return ORDER[task.answers]


def top_k_meaning(task: Task) -> str:
    """Describe the effect of ``top_k``."""
    return TOP_K[task.answers]


def request_schema(task: Task, schema: dict[str, Any], top_k: str) -> dict[str, Any]:
    """Complete the ``schema`` of a request with inputs and examples of a task; ``top_k`` describes that."""
    item = input_schema(task)
    inputs = {
        **schema["properties"]["inputs"],
        "anyOf": [*item["anyOf"], {"type": "array", "items": item, "minItems": 1}],
    }
    samples = {column.name: SAMPLES.get(column.kind) for column in input_columns(task)}
    groups = [group for group in input_groups(task) if group != (task.text_column,)]
    examples: list[dict[str, Any]] = [{"inputs": {name: samples[name] for name in group}} for group in groups]
    if task.text_column:
        examples.insert(0, {"inputs": sample_input(task)})
        if sample_input(task) == SAMPLES["text"]:
            examples.append({"inputs": ["股市今日上涨", "球队夺得冠军"], "top_k": 1})
    described = {"inputs": inputs, "top_k": {**schema["properties"]["top_k"], "description": top_k}}
    return {**schema, "properties": schema["properties"] | described, "examples": examples}


def answer_schema(task: Task) -> dict[str, Any]:
    """Return the schema of answers: a list for one input, a list of lists for several."""
    entries = entries_schema(task)
    return {"anyOf": [entries, {"type": "array", "items": entries}]}


def entries_schema(task: Task) -> dict[str, Any]:
    """Return the schema of the answer to one input."""
    return {"type": "array", "items": _entry(task)}


def _entry(task: Task) -> dict[str, Any]:
    if task.answers == "text":
        name = task.added[0].name
        return {
            "type": "object",
            "properties": {name: {"type": "string"}, "score": {"type": "number"}},
            "required": [name, "score"],
        }
    return {"entities": ENTITY, "span": SPAN}.get(task.answers, LABEL)


def answer_example(task: Task, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return an example answer to one input."""
    if task.answers == "entities":
        return [{"entity_group": labels[0], "score": 0.9, "word": "Ada", "start": 0, "end": 3}]
    if task.answers == "span":
        return [{"answer": "Paris", "score": 0.9, "start": 13, "end": 18}]
    if task.answers == "text":
        return [{task.added[0].name: "The striker scored twice.", "score": 0.9}]
    return [{"label": label, "score": score} for label, score in zip(labels, (0.9, 0.1), strict=False)]
