"""The report: one offline page that shows what came out and how far to trust it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Required, TypedDict

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from react_ray.console.terminal import command
from react_ray.evaluate import view
from react_ray.evaluate.pictures import calibration_chart
from react_ray.evaluate.schema import Metrics
from react_ray.evaluate.tables import Mistake, Refused
from react_ray.evaluate.view import Part
from react_ray.folders import replace_file

__all__ = ["ReportContent", "page_environment", "write_report"]

MOST_CLASSES = 30
"""Longer tables show the first rows, and the others on demand."""
LIMIT_CLASSES = 300
"""Rows of a table at most, so that the page of thousands of classes opens at once."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class ReportContent(TypedDict, total=False):
    """What the page shows. Only ``metrics`` is needed: a section without content says so.

    ``folder``            of the run, as the user gave it, for the commands to copy
    ``metrics``           the content of metrics.json
    ``class_counts``      {part: {class: rows}}, see ``tables.class_counts``
    ``refused``           see ``tables.refused_by_reason``
    ``mistakes``          see ``tables.worst_mistakes``; of the test rows, without test
                          rows of the validation rows
    ``finetune_history``  {arm: lines of its history.jsonl}: step, loss and, at some steps,
                          macro_f1 or accuracy of the validation rows
    ``lgan_history``      {phase: lines of its losses.json}: step and one value a loss;
                          phases are pretrain and lgan
    ``config``            the resolved configuration as YAML
    ``machine``           {what: how much}, for example {"cores": 2}
    """

    metrics: Required[Metrics]
    folder: str
    class_counts: Mapping[str, Mapping[str, int]]
    refused: Sequence[Refused]
    mistakes: Sequence[Mistake]
    finetune_history: Mapping[str, Sequence[Mapping[str, float]]]
    lgan_history: Mapping[str, Sequence[Mapping[str, float]]]
    config: str
    machine: Mapping[str, Any]


def write_report(path: Path, content: ReportContent) -> None:
    """Write the page to ``path``; texts and class names in it are untrusted and escaped."""
    environment, titles = page_environment(), _titles(content["metrics"])
    environment.filters["arm"] = lambda name: titles.get(name, name)
    page = environment.get_template("report.html.j2").render(_context(content))
    replace_file(path, lambda half: half.write_text(page, encoding="utf-8"))


def page_environment() -> Environment:
    """Templates that escape what they are given, with the filters of the pages."""
    loader = PackageLoader("react_ray.evaluate")
    made = Environment(
        autoescape=True,
        loader=loader,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    made.filters |= {
        "count": "{:,}".format,
        "metric": view.metric_title,
        "score": view.as_score,
        "seconds": view.as_time,
        "share": view.as_share,
        "wrap": _breakable,
        "signed": view.as_difference,
    }
    return made


def _printable(value: Any) -> Any:
    """Text without the characters that no page may hold."""
    return CONTROL.sub("\ufffd", value) if type(value) is str else value


def _breakable(name: str) -> Markup:
    """A class name that may be cut into lines after its marks: card_|arrival."""
    return Markup(re.sub(r"([_/.:-])(?=\w)", r"\1<wbr>", str(escape(_printable(name)))))


def _titles(metrics: Metrics) -> dict[str, str]:
    return {name: title for name, (title, _) in view.arms_of(metrics).items()}


def _context(content: ReportContent) -> dict[str, Any]:
    """Everything the templates read."""
    metrics, folder = content["metrics"], content.get("folder") or "out"
    part: Part = "test" if metrics["test"] else "validation"
    shown, quality = metrics["test"] or metrics["validation"], metrics["label_quality"]
    return {
        "m": metrics,
        "part": part,
        "shown": shown,
        "title": Path(folder).resolve().name,
        "serve": command("serve", folder),
        "predict": command("predict", folder, "--input", "new.csv", "--output", "labelled.csv"),
        "quoted": repr(folder),
        "quoted_model": repr(f"{folder}/model"),
        "about": {name: about for name, (_, about) in view.arms_of(metrics).items()},
        "rival": view.rival(metrics),
        "arms": view.arms(metrics, part),
        "parts": [name for name in view.PART_NAMES if metrics["rows"].get(name)],
        "part_names": view.PART_NAMES,
        "class_counts": view.ordered(content.get("class_counts") or {}),
        "refused": content.get("refused") or [],
        "mistakes": content.get("mistakes") or [],
        "confusion": view.confusion(shown, metrics["classes"]) if shown else None,
        "worst_classes": sorted(shown["per_class"].items(), key=lambda item: item[1]["f1"]) if shown else [],
        "most": MOST_CLASSES,
        "limit": LIMIT_CLASSES,
        "counted_classes": view.by_rows(metrics["classes"], content.get("class_counts") or {}, LIMIT_CLASSES),
        "calibration": calibration_chart(shown["reliability"]) if shown else None,
        "label_rows": view.label_rows(quality) if quality else [],
        "weights": calibration_chart(quality["reliability"]) if quality else None,
        "finetune_charts": view.finetune_charts(content.get("finetune_history") or {}, _titles(metrics)),
        "lgan_charts": view.lgan_charts(content.get("lgan_history") or {}),
        "config": content.get("config"),
        "machine": content.get("machine") or {},
    }
