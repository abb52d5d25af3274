"""Results of a run in its output folder: model, metrics, report and data.

Files are written under temporary names and renamed, so they are never partial.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from react_ray.config.masking import mask
from react_ray.config.settings import SCRATCH, Config
from react_ray.config.yaml_text import read_yaml
from react_ray.console.terminal import command
from react_ray.evaluate.model_card import write_model_card
from react_ray.evaluate.report import ReportContent, write_report
from react_ray.evaluate.schema import Metrics
from react_ray.evaluate.tables import class_counts, rejected_by_reason
from react_ray.evaluate.wording import metric_title
from react_ray.folders import replace_file, replacement_of_folder
from react_ray.pipeline.arms import choice_of, model_of, models_of
from react_ray.pipeline.context import base_model_of, encoder_weights, encoders_of
from react_ray.pipeline.store import RECORD, Store, folder_size
from react_ray.tasks import get_task
from react_ray.tasks.labels import LabelMap
from react_ray.version import __version__

__all__ = ["complete_model", "publish", "replace_folder", "summarise"]


def publish(config: Config, stages: dict[str, Path], store: Store) -> Metrics:
    """Write the results of finished stages to ``config.output``; metrics.json is written last."""
    output = Path(config.output)
    metrics = _metrics(config, stages, store)
    (output / "metrics.json").unlink(missing_ok=True)  # an earlier run's figures are not this model's
    replace_folder(model_of(stages), output / "model", lambda folder: complete_model(folder, stages, metrics))
    replace_folder(stages["generate"] / "augmented", output / "augmented")
    for aside in (stages["prepare"] / "refused.jsonl", stages["generate"] / "left_out.parquet"):
        replace_file(output / aside.name, partial(shutil.copyfile, aside), private=True)
    replace_file(output / "config.yaml", config.save)
    write_report(output / "report.html", _report(config, stages, metrics))
    text = json.dumps(metrics, ensure_ascii=False, indent=2, allow_nan=False)
    replace_file(output / "metrics.json", lambda path: path.write_text(text, encoding="utf-8"))
    return metrics


def complete_model(folder: Path, stages: dict[str, Path], metrics: Metrics) -> None:
    """Add the model card and the exported files to the folder of a model."""
    labels = LabelMap.load(stages["prepare"] / "labels.json")
    write_model_card(folder, metrics, descriptions=labels.descriptions)
    shutil.copytree(stages["export"], folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(RECORD))


def summarise(output: Path, metrics: Any) -> str:
    """Summarize the result in a few lines for the terminal."""
    if "stopped_after" in metrics:
        return f"stopped after {metrics['stopped_after']}; the same command without --until continues"
    lines, title = [], metric_title(metrics["headline"])
    part = "test" if metrics["test"] else "validation"
    for name, arm in sorted(metrics["arms"].items(), key=lambda item: _headline(metrics, item[1], part)):
        chosen = "  <- chosen" if name == metrics["chosen"] else ""
        if arm[part]:
            lines.append(f"  {name:16} {title} {_headline(metrics, arm, part):.3f} on {part} rows{chosen}")
    saved = metrics[part]
    if saved:
        low, high = saved[f"{metrics['headline']}_interval"]
        figure = f"{title} {saved[metrics['headline']]:.3f}"
        lines.append(f"  saved model      {figure} (95 % interval {low:.3f} to {high:.3f})")
    else:
        lines.append(
            "  nothing was measured: there are no test rows, and too few labels for a validation split"
        )
    if metrics["unused"]:
        lines.append(
            f"not used: {metrics['unused']:,} unlabelled rows beyond data.pool; to label all:\n"
            f"  {_predict_command(output)}"
        )
    refused = metrics["refused"]
    if refused:
        kinds = ", ".join(f"{reason}: {count:,}" for reason, count in refused.items())
        lines.append(f"rejected: {sum(refused.values()):,} rows ({kinds}), see {output / 'refused.jsonl'}")
    encoders = metrics.get("encoders", {})
    if len(encoders) > 1 and get_task(metrics["task"]).labeler != "proposals":  # which uses none
        weighed = (f"{name} ({weight:.2f})" if weight else name for name, weight in encoders.items())
        lines.append(f"encoders, with their weights: {', '.join(weighed)}")
    cut = metrics["cut"]
    if cut["texts"]:
        read = cut["windows"] * cut["max_length"]
        lines.append(
            f"cut: {cut['texts']:.1%} of the texts, {cut['tokens']:.1%} of their tokens, are beyond the "
            f"{read:,} tokens that the model reads (counted in {cut['rows']:,} rows)"
        )
    lines += metrics.get("notes", [])
    lines += [f"warning: {warning}" for warning in metrics["warnings"]]
    cache = output / "cache"
    lines += [
        f"chosen: {metrics['chosen']}. {metrics['why']}",
        f"report: {output / 'report.html'}",
        f"model:  {output / 'model'}   ({command('serve', output)})",
        f"cache:  {cache}, {folder_size(cache) / 1e6:.0f} MB   ({command('clean', output)})",
    ]
    return "\n".join(lines)


def _predict_command(output: Path) -> str:
    """Return the command that labels the whole unlabelled pool of a run, in the format of the input."""
    data = read_yaml(output / "config.yaml")["data"]  # where addresses stand without their secrets
    source = str(data["unlabeled"] or data["labeled"])
    named = data["columns"].items()
    columns = {name: column for name, column in named if name not in ("label", "truth") and column != name}
    ending = re.search(r"\.(csv|tsv|jsonl|ndjson|parquet)(\.gz)?$", source)
    words = [
        ("--text-column", column) if name == "text" else ("--column", f"{name}={column}")
        for name, column in columns.items()
    ]
    target = output / f"labelled.{ending[1] if ending else 'parquet'}"
    return command(
        "predict", output, "--input", source, "--output", target, *(word for pair in words for word in pair)
    )


def _headline(metrics: Any, arm: Any, part: str) -> float:
    return arm[part][metrics["headline"]] if arm[part] else 0.0


def _metrics(config: Config, stages: dict[str, Path], store: Store) -> Metrics:
    figures = _read_json(stages["evaluate"] / "figures.json")
    rows = _read_json(stages["prepare"] / "summary.json")
    choice = choice_of(stages)
    parts, weights = rows["parts"], encoder_weights(stages)
    return {
        "version": __version__,
        "task": config.task,
        "headline": get_task(config.task).metrics[0],
        "seed": config.seed,
        "model": config.model if config.model == SCRATCH else mask(base_model_of(stages)),
        "encoders": {mask(name): weights.get(name) for name in encoders_of(stages)},
        "classes": list(LabelMap.load(stages["prepare"] / "labels.json").names),
        "labels_used": parts.get("labeled", 0) + parts.get("validation", 0),
        "rows": parts,
        "unused": rows["unused"],
        "refused": rows["refused"],
        "notes": [f"{file['file']}: {note}" for file in rows["files"] for note in file.get("notes", ())],
        "warnings": rows["warnings"],
        "test": figures["test"],
        "validation": figures["validation"],
        "arms": figures["arms"],
        "chosen": choice["chosen"],
        "why": choice["why"],
        "label_quality": figures["label_quality"],
        "cut": figures["cut"],
        "seconds": store.seconds,
        "reused": store.reused,
    }


def _report(config: Config, stages: dict[str, Path], metrics: Metrics) -> ReportContent:
    task = get_task(config.task)
    rows = pq.read_table(stages["prepare"] / "rows.parquet", columns=["part", task.target.name])
    named = [
        (part, name)
        for part, target in zip(*(rows[name].to_pylist() for name in rows.column_names), strict=True)
        if target is not None
        for name in dict.fromkeys(task.names_in(target))
    ]
    with (stages["prepare"] / "refused.jsonl").open(encoding="utf-8") as refused:
        reasons = rejected_by_reason(json.loads(line) for line in refused)
    models = models_of(stages)
    phases = {
        phase: stages[phase] / "players" / "losses.json" for phase in ("pretrain", "lgan") if phase in stages
    }
    return {
        "metrics": metrics,
        "folder": config.output,
        "class_counts": class_counts(
            [part for part, _ in named], [name for _, name in named], metrics["classes"]
        ),
        "refused": reasons,
        "sections": _read_json(stages["evaluate"] / "figures.json").get("sections", []),
        "finetune_history": {
            arm: _read_lines(model.parent / "history.jsonl") for arm, model in models.items()
        },
        "lgan_history": {phase: _read_json(stages[phase] / "players" / "losses.json") for phase in phases},
        "config": (Path(config.output) / "config.yaml").read_text(encoding="utf-8"),
        "machine": {"cores": os.cpu_count(), "platform": platform.platform(terse=True)},
    }


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _read_lines(path: Path) -> list[dict[str, float]]:
    """Read a jsonl file; empty if the arm was not trained."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def replace_folder(source: Path, target: Path, change: Callable[[Path], object] = lambda _: None) -> None:
    """Replace a folder by a copy of another; readers never see a partial copy."""
    with replacement_of_folder(target) as copy:
        shutil.copytree(source, copy, dirs_exist_ok=True)
        change(copy)
