"""Tasks: one module each, with the interface in :mod:`react_ray.tasks.task`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from react_ray.errors import ConfigError
from react_ray.tasks.task import Example, Task

__all__ = ["DEFAULT_TASK", "Example", "Task", "effective_task", "get_task", "register", "task_names"]

DEFAULT_TASK, PAIRS = "text-classification", "text-pair-classification"
_MODULES = {
    "extractive-summarization": "extractive_summarization:ExtractiveSummarization",
    "multi-label-classification": "multi_label_classification:MultiLabelClassification",
    "question-answering": "question_answering:QuestionAnswering",
    "relation-extraction": "relation_extraction:RelationExtraction",
    DEFAULT_TASK: "text_classification:TextClassification",
    PAIRS: "text_pair_classification:TextPairClassification",
    "summarization": "summarization:Summarization",
    "token-classification": "token_classification:TokenClassification",
    "translation": "translation:Translation",
}
"""The tasks of the package, each in a module that is imported when it is asked for."""
_REGISTRY: dict[str, Task] = {}


def task_names() -> list[str]:
    """Return the names of all tasks."""
    return sorted({*_MODULES, *_REGISTRY})


def get_task(name: str) -> Task:
    """Return the task called ``name``; ConfigError lists the known tasks."""
    if name not in _REGISTRY:
        if name not in _MODULES:
            raise ConfigError(f"task = {name!r}: unknown task; expected one of {', '.join(task_names())}")
        module, _, kind = _MODULES[name].partition(":")
        register(getattr(import_module(f"react_ray.tasks.{module}"), kind)())
    return _REGISTRY[name]


def effective_task(name: str, columns: Mapping[str, str]) -> str:
    """Return the effective task: text classification with a second text column means text pairs.

    Example
    -------
    >>> effective_task("text-classification", {"text": "question", "text_pair": "answer"})
    'text-pair-classification'
    """
    return PAIRS if name == DEFAULT_TASK and "text_pair" in columns else name


def register(task: Task) -> None:
    """Register ``task`` under its name in this process."""
    _REGISTRY[task.name] = task
