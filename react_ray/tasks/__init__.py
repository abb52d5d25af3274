"""One file a task, behind the interface in :mod:`react_ray.tasks.task`."""

from __future__ import annotations

from react_ray.errors import ConfigError
from react_ray.tasks.task import Example, Task
from react_ray.tasks.text_classification import TextClassification

__all__ = ["Example", "Task", "get_task"]

_TASKS: dict[str, Task] = {task.name: task for task in (TextClassification(),)}


def get_task(name: str) -> Task:
    """The task called ``name``; ConfigError lists those there are."""
    if name not in _TASKS:
        raise ConfigError(f"task = {name!r}: there is no such task; there are: {', '.join(sorted(_TASKS))}")
    return _TASKS[name]
