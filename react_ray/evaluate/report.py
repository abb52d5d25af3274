"""Report of a run: one self-contained HTML page."""

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
from react_ray.evaluate.tables import Rejected
from react_ray.evaluate.view import Part
from react_ray.evaluate.wording import arms_of, lede, metric_title, pipeline_code, python_code, task_of
from react_ray.folders import replace_file
from react_ray.tasks.sections import MOST_ROWS, Section

__all__ = ["ReportContent", "page_environment", "write_report"]

MAX_OPEN_ROWS = 30
"""Rows of a table that are shown at first; more can be unfolded."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class ReportContent(TypedDict, total=False):
    """Content of the page; all but ``metrics`` is optional.

    ``folder``            path of the run as the user gave it, for the commands to copy
    ``metrics``           content of metrics.json
    ``class_counts``      {part: {class: rows}}, see ``tables.class_counts``
    ``refused``           see ``tables.rejected_by_reason``
    ``sections``          see ``Task.sections``; of the test rows, or without them of the
                          validation rows
    ``finetune_history``  {arm: lines of its history.jsonl}: step, loss and, at some steps,
                          a metric of the validation rows
    ``lgan_history``      {phase: lines of its losses.json}: step and losses; the phases are
                          pretrain and lgan
    ``config``            resolved configuration as YAML
    ``machine``           {name: value}, for example {"cores": 2}
    """

    metrics: Required[Metrics]
    folder: str
    class_counts: Mapping[str, Mapping[str, int]]
    refused: Sequence[Rejected]
    sections: Sequence[Section]
    finetune_history: Mapping[str, Sequence[Mapping[str, float]]]
    lgan_history: Mapping[str, Sequence[Mapping[str, float]]]
    config: str
    machine: Mapping[str, Any]


def write_report(path: Path, content: ReportContent) -> None:
    """Write the page to ``path``, with texts and class names escaped because they are untrusted."""
    environment, titles = page_environment(), _titles(content["metrics"])
    environment.filters["arm"] = lambda name: titles.get(name, name)
    page = environment.get_template("report.html.j2").render(_context(content))
    replace_file(path, lambda temporary: temporary.write_text(page, encoding="utf-8"))


def page_environment() -> Environment:
    """Return the template environment of the pages, with escaping and filters."""
    loader = PackageLoader("react_ray.evaluate")
    environment = Environment(
        autoescape=True,
        loader=loader,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    environment.filters |= {
        "count": "{:,}".format,
        "metric": metric_title,
        "score": view.as_score,
        "seconds": view.as_time,
        "share": view.as_share,
        "wrap": _breakable,
        "signed": view.as_difference,
    }
    return environment


def _printable(value: Any) -> Any:
    """Replace characters that are not allowed in HTML."""
    return CONTROL.sub("\ufffd", value) if type(value) is str else value


def _breakable(name: str) -> Markup:
    """Allow line breaks in a class name after punctuation: card_|arrival."""
    return Markup(re.sub(r"([_/.:-])(?=\w)", r"\1<wbr>", str(escape(_printable(name)))))


def _titles(metrics: Metrics) -> dict[str, str]:
    return {name: title for name, (title, _) in arms_of(metrics).items()}


def _context(content: ReportContent) -> dict[str, Any]:
    """Return the variables of the templates."""
    metrics, folder = content["metrics"], content.get("folder") or "out"
    task, sections = task_of(metrics), content.get("sections")
    part: Part = "test" if metrics["test"] else "validation"
    shown, quality = metrics["test"] or metrics["validation"], metrics["label_quality"]
    return {
        "m": metrics,
        "part": part,
        "shown": shown,
        "title": Path(folder).resolve().name,
        "serve": command("serve", folder),
        "predict": command("predict", folder, "--input", "new.csv", "--output", "labelled.csv"),
        "python": python_code(metrics, folder),
        "pipeline": pipeline_code(metrics, f"{folder}/model"),
        "lede": lede(metrics),
        "nouns": task.nouns,
        "labeler": task.labeler,
        "one_label": task.answers == "label",
        "metric_tiles": view.tiles(metrics, shown),
        "about": {name: about for name, (_, about) in arms_of(metrics).items()},
        "rival": view.rival(metrics),
        "arms": view.arms(metrics, part),
        "parts": [name for name in view.PART_NAMES if metrics["rows"].get(name)],
        "part_names": view.PART_NAMES,
        "class_counts": view.ordered_parts(content.get("class_counts") or {}),
        "refused": content.get("refused") or [],
        "sections": view.sections(sections) if shown and sections else None,
        "most": MAX_OPEN_ROWS,
        "limit": MOST_ROWS,
        "counted_classes": view.largest_classes(
            metrics["classes"], content.get("class_counts") or {}, MOST_ROWS
        ),
        "calibration": calibration_chart(shown["reliability"]) if shown else None,
        "label_rows": view.label_rows(quality) if quality else [],
        "weights": calibration_chart(quality["reliability"]) if quality else None,
        "finetune_charts": view.finetune_charts(content.get("finetune_history") or {}, _titles(metrics)),
        "lgan_charts": view.lgan_charts(content.get("lgan_history") or {}),
        "config": content.get("config"),
        "machine": content.get("machine") or {},
    }
