"""One file a task, behind the interface in :mod:`react_ray.tasks.task`."""

from __future__ import annotations

from importlib import import_module

from react_ray.errors import ConfigError
from react_ray.tasks.task import Example, Task

__all__ = ["Example", "Task", "get_task", "register", "task_names"]

_MODULES = {
    "text-classification": "text_classification:TextClassification",
    "token-classification": "token_classification:TokenClassification",
}
"""The tasks of the package, each in a module that is imported when it is asked for."""
_KNOWN: dict[str, Task] = {}


def task_names() -> list[str]:
    """The names of all tasks."""
    return sorted({*_MODULES, *_KNOWN})


def get_task(name: str) -> Task:
    """The task called ``name``; ConfigError lists those there are."""
    if name not in _KNOWN:
        if name not in _MODULES:
            raise ConfigError(f"task = {name!r}: there is no such task; there are: {', '.join(task_names())}")
        module, _, kind = _MODULES[name].partition(":")
        register(getattr(import_module(f"react_ray.tasks.{module}"), kind)())
    return _KNOWN[name]


def register(task: Task) -> None:
    """Make ``task`` known by its name, in this process."""
    _KNOWN[task.name] = task
