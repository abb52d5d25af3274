"""Preflight check of a saved model: complete, with the head of a known task; imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from react_ray.errors import ConfigError, InputError
from react_ray.models.folder import CONFIG, NO_CLASSIFIER, check_model, label_names, read_config
from react_ray.tasks import DEFAULT_TASK, get_task, task_names
from react_ray.tasks.task import Task

__all__ = ["KEY", "check_saved", "settings_in"]

KEY = "react_ray"
"""Key of this package's settings in config.json: the name of the task, and how answers are made."""
PROBLEMS = {
    None: DEFAULT_TASK,
    "single_label_classification": DEFAULT_TASK,
    "multi_label_classification": "multi-label-classification",
}
"""The task that transformers' ``problem_type`` stands for."""
ARCHITECTURES = {"ForTokenClassification": "token-classification"}


def check_saved(folder: Path) -> Task:
    """Check the model in ``folder`` and return its task.

    Raises InputError if the model is incomplete, or its head is not that of its task.
    """
    check_model(folder)
    config = read_config(folder)
    try:
        task = _task_of(config)
        _check_head(config, task)
        _check_outputs(label_names(config), task)
    except (InputError, ConfigError) as error:
        raise InputError(f"{folder}: {error}") from None
    return task


def settings_in(folder: Path) -> dict[str, Any]:
    """Return this package's settings in the configuration of a saved model, see :data:`KEY`."""
    settings = read_config(folder).get(KEY)
    return dict(settings) if isinstance(settings, Mapping) else {}


def _task_of(config: Mapping[str, Any]) -> Task:
    """Return the task named in the configuration, or implied by its architecture and ``problem_type``."""
    settings = config.get(KEY)
    if isinstance(settings, Mapping) and isinstance(settings.get("task"), str):
        return get_task(settings["task"])
    for end, name in ARCHITECTURES.items():
        if _is_for(config, end) and name in task_names():
            return get_task(name)
    problem = config.get("problem_type")
    implied = PROBLEMS.get(problem) if isinstance(problem, str | None) else None
    if implied not in task_names():
        raise InputError(f"{NO_CLASSIFIER}: problem_type in {CONFIG} is {json.dumps(problem)}")
    return get_task(str(implied))


def _architectures(config: Mapping[str, Any]) -> list[str]:
    names = config.get("architectures") or []
    return [str(name) for name in (names if isinstance(names, list) else [names])]


def _is_for(config: Mapping[str, Any], end: str) -> bool:
    return any(name.endswith(end) for name in _architectures(config))


def _check_head(config: Mapping[str, Any], task: Task) -> None:
    """Raise InputError if the model class is not that of the task."""
    ends = task.architectures or (task.auto_model.removeprefix("AutoModel"),)
    if _architectures(config) and not any(_is_for(config, end) for end in ends):
        raise InputError(
            f"this is not a trained classifier: architectures in {CONFIG} is "
            f"{', '.join(_architectures(config))}. Give the folder of a finished run, or a model saved as "
            f"...{ends[0]}"
        )


def _check_outputs(names: list[str], task: Task) -> None:
    """Raise InputError if the outputs are not those of the task, in order."""
    expected = task.output_names(task.classes_of(names))
    if expected and names != expected:
        raise InputError(
            f"its outputs are not those of {task.title}: id2label in {CONFIG} has {', '.join(names[:9])}, "
            f"expected are {', '.join(expected[:9]) or 'classes'}, in this order"
        )
