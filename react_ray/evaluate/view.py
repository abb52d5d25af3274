"""View model of the report: table rows, positions and texts for the templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from react_ray.evaluate.marks import COLOURS, cut_into_pieces
from react_ray.evaluate.pictures import LineChart, Tick, line_chart, ticks
from react_ray.evaluate.schema import Figures, LabelQuality, Metrics, Score
from react_ray.evaluate.wording import METRICS, metric_title, task_of
from react_ray.tasks.sections import Section

__all__ = [
    "arms",
    "finetune_charts",
    "label_rows",
    "lgan_charts",
    "rival",
    "sections",
    "tiles",
]

PART_NAMES = {"labeled": "labelled", "unlabeled": "unlabelled", "validation": "validation", "test": "test"}
NETWORKS = {"discriminator": "D", "sample_generator": "G_x", "label_generator": "G_y"}
MAX_NARROW_NAMES = 7
"""A confusion matrix with more names gets the full width of the page."""
Part = Literal["test", "validation"]
History = Sequence[Mapping[str, float]]


def rival(metrics: Metrics) -> dict[str, Any] | None:
    """Return the best other arm: the one with the smallest lead of the saved model over it."""
    others = {name: arm.get("lead") for name, arm in metrics["arms"].items() if name != metrics["chosen"]}
    leads = {name: lead for name, lead in others.items() if lead}
    if not leads:
        return None
    name = min(leads, key=lambda key: leads[key][metrics["headline"]])
    low, high = leads[name]["interval"]
    verdict = "ahead" if low > 0 else "behind" if high < 0 else "level"
    return {"arm": name, "verdict": verdict, **leads[name]}


def arms(metrics: Metrics, part: Part) -> dict[str, Any]:
    """Return the arms, best first, with positions in percent on an axis of the headline metric."""
    metric, of_part = metrics["headline"], [arm[part] for arm in metrics["arms"].values()]
    figures = [entry for entry in of_part if entry]
    if not figures:
        return {"rows": [], "axis": [], "measured": []}
    ends = [end for entry in figures for end in (entry[metric], *entry[f"{metric}_interval"])]
    axis_ticks = [tick for tick in ticks(min(ends), max(ends), about=4) if -1e-9 <= tick <= 1 + 1e-9]
    low, high = min(*ends, axis_ticks[0]), max(*ends, axis_ticks[-1])
    rows: list[dict[str, Any]] = [
        {"name": name, "lead": None, **arm, "dot": _interval_mark(arm[part], metric, low, high)}
        for name, arm in metrics["arms"].items()
    ]
    return {
        "rows": sorted(rows, key=lambda row: -row["dot"]["at"] if row["dot"] else 0),
        "axis": [Tick(_percent(tick, low, high), f"{tick:.3g}") for tick in axis_ticks],
        "measured": [name for name in ("test", "validation") if any(row[name] for row in rows)],
    }


def _interval_mark(figures: Figures | None, metric: str, low: float, high: float) -> dict[str, float] | None:
    if not figures:
        return None
    start, end = (_percent(value, low, high) for value in figures[f"{metric}_interval"])
    return {"at": _percent(figures[metric], low, high), "left": start, "width": end - start}


def _percent(value: float, low: float, high: float) -> float:
    return 100 * (value - low) / ((high - low) or 1)


def sections(all_sections: Sequence[Section]) -> dict[str, Any]:
    """Prepare the sections of a task: those about classes, and those about mistakes."""
    class_sections = [_prepared(section) for section in all_sections if section["kind"] != "marked_texts"]
    mistakes = [_prepared(section) for section in all_sections if section["kind"] == "marked_texts"]
    matrices = [section for section in class_sections if section["kind"] == "matrix"]
    wide = any(len(section["data"]["names"]) > MAX_NARROW_NAMES for section in matrices)
    any_mistakes = any(section["items"] for section in mistakes)
    return {"of_classes": class_sections, "mistakes": mistakes, "any_mistakes": any_mistakes, "wide": wide}


def _prepared(section: Section) -> dict[str, Any]:
    data = section["data"]
    extra: dict[str, Any] = {}
    if section["kind"] == "matrix":
        extra["cells"] = [[(n, n / max(sum(row), 1)) for n in row] for row in data["counts"]]
    elif section["kind"] == "bars":
        extra["longest"] = max((n for _, n, _ in data["rows"]), default=0) or 1
    elif section["kind"] == "marked_texts":
        labels = data["labels"]
        marked = {mark[2] for item in data["items"] for text in item["texts"] for mark in _marks(text)}
        extra["legend"] = [(name, i % COLOURS) for i, name in enumerate(labels) if name in marked]
        extra["items"] = [
            {
                **item,
                "texts": [
                    {
                        "name": text["name"],
                        "marked": bool(_marks(text)),
                        "pieces": cut_into_pieces(text, labels),
                    }
                    for text in item["texts"]
                ],
            }
            for item in data["items"]
        ]
    return {**section, **extra}


def _marks(text: Mapping[str, Any]) -> list[Any]:
    return [*text["above"], *text["below"]]


def tiles(metrics: Metrics, shown: Score | None) -> list[tuple[str, str, str]]:
    """Return value, title and interval of the metrics other than the headline."""
    if not shown:
        return []
    entries = []
    for name in task_of(metrics).metrics:
        if name == metrics["headline"] or name not in shown:
            continue
        low, high = shown[f"{name}_interval"]
        form, title = (as_share, "correct") if name == "accuracy" else (as_score, metric_title(name))
        entries.append((form(shown[name]), title, f"{form(low)} to {form(high)}"))
    return entries


def label_rows(quality: LabelQuality) -> list[dict[str, Any]]:
    """Return the generated labels of each class, most frequent first, with bar lengths in percent.

    Empty for tasks without a single label per row.
    """
    if not quality["per_class"]:
        return []
    total, balance = quality["generated"], quality["balance"] or {}
    longest = max(
        [*(entry["generated"] / total for entry in quality["per_class"].values()), *balance.values()]
    )
    rows = [
        {
            "name": name,
            **entry,
            "expected": round(balance.get(name, 0) * total),
            "made_width": 100 * entry["generated"] / total / longest,
            "kept_width": 100 * entry["kept"] / total / longest,
            "mark": 100 * balance[name] / longest if name in balance else None,
        }
        for name, entry in quality["per_class"].items()
    ]
    return sorted(rows, key=lambda row: -row["generated"])


def ordered_parts(counts: Mapping[str, Mapping[str, int]]) -> dict[str, Mapping[str, int]]:
    """Sort the parts in the order of a run."""
    return {part: counts[part] for part in PART_NAMES if part in counts}


def largest_classes(
    classes: Sequence[str], counts: Mapping[str, Mapping[str, int]], max_classes: int
) -> Sequence[str]:
    """Return ``classes``, sorted by number of rows if there are more than ``max_classes``."""
    if len(classes) <= max_classes:
        return classes
    return sorted(classes, key=lambda name: -sum(part_counts.get(name, 0) for part_counts in counts.values()))


def finetune_charts(history: Mapping[str, History], titles: Mapping[str, str]) -> list[LineChart]:
    """Return charts of each arm's training loss and validation metrics."""
    named = {titles.get(arm, arm): rows for arm, rows in history.items()}
    charts = [line_chart("Training loss", {arm: _points(rows, "loss") for arm, rows in named.items()})]
    for key in dict.fromkeys(key for rows in named.values() for row in rows for key in row):
        if key in METRICS:
            points = {arm: _points(rows, key) for arm, rows in named.items()}
            charts.append(line_chart(f"Validation {metric_title(key)}", points))
    return [chart for chart in charts if chart]


def lgan_charts(history: Mapping[str, History]) -> list[LineChart]:
    """Return charts of the networks' losses in both phases, D's accuracy, and the terms of G_y's loss."""
    phase1, phase2 = history.get("pretrain") or [], history.get("lgan") or []
    keys = dict.fromkeys(key for row in phase2 for key in row)
    parts = {
        key: key[6:].replace("_", " ") for key in keys if key.startswith("label_") and key not in NETWORKS
    }
    charts = [
        _chart("Phase 1: losses of the plain GAN", phase1, NETWORKS),
        _chart("Phase 2: losses of the networks", phase2, NETWORKS),
        _chart("Phase 2: accuracy of D on pairs", phase2, {"discriminator_accuracy": "D"}),
        _chart("Phase 2: terms of G_y's loss", phase2, parts),
    ]
    return [chart for chart in charts if chart]


def _chart(title: str, rows: History, names: Mapping[str, str]) -> LineChart | None:
    return line_chart(title, {name: _points(rows, key) for key, name in names.items()})


def _points(rows: History, key: str) -> list[tuple[float, float]]:
    return [(row["step"], row[key]) for row in rows if key in row]


def as_score(value: float | None) -> str:
    """Format with three digits; a dash for None."""
    return "–" if value is None else f"{value:.3f}"


def as_difference(value: float) -> str:
    """Format with three digits and a sign."""
    return f"{value:+.3f}".replace("-", "−")


def as_share(value: float | None) -> str:
    """Format as percent; a dash for None."""
    return "–" if value is None else f"{value:.1%}"


def as_time(seconds: float) -> str:
    """Format as seconds, minutes or hours."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest:02d} s"
