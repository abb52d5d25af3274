"""What the report's templates read: rows, places and words made from the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from react_ray.evaluate.marks import COLOURS, pieces
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
PLAYERS = {"discriminator": "D", "sample_generator": "G_x", "label_generator": "G_y"}
NARROW_MATRIX = 7
"""A matrix of more rows has the width of the page for itself."""
Part = Literal["test", "validation"]
History = Sequence[Mapping[str, float]]


def rival(metrics: Metrics) -> dict[str, Any] | None:
    """The other arm that comes nearest to the saved model, or passes it by most."""
    others = {name: arm.get("lead") for name, arm in metrics["arms"].items() if name != metrics["chosen"]}
    leads = {name: lead for name, lead in others.items() if lead}
    if not leads:
        return None
    name = min(leads, key=lambda key: leads[key][metrics["headline"]])
    low, high = leads[name]["interval"]
    verdict = "ahead" if low > 0 else "behind" if high < 0 else "level"
    return {"arm": name, "verdict": verdict, **leads[name]}


def arms(metrics: Metrics, part: Part) -> dict[str, Any]:
    """The arms, best first, with places in percent on an axis of the headline metric of ``part``."""
    metric, found = metrics["headline"], [arm[part] for arm in metrics["arms"].values()]
    figures = [one for one in found if one]
    if not figures:
        return {"rows": [], "axis": [], "measured": []}
    ends = [end for one in figures for end in (one[metric], *one[f"{metric}_interval"])]
    marks = [mark for mark in ticks(min(ends), max(ends), about=4) if -1e-9 <= mark <= 1 + 1e-9]
    low, high = min(*ends, marks[0]), max(*ends, marks[-1])
    rows: list[dict[str, Any]] = [
        {"name": name, "lead": None, **arm, "dot": _dot(arm[part], metric, low, high)}
        for name, arm in metrics["arms"].items()
    ]
    return {
        "rows": sorted(rows, key=lambda row: -row["dot"]["at"] if row["dot"] else 0),
        "axis": [Tick(_percent(mark, low, high), f"{mark:.3g}") for mark in marks],
        "measured": [name for name in ("test", "validation") if any(row[name] for row in rows)],
    }


def _dot(found: Figures | None, metric: str, low: float, high: float) -> dict[str, float] | None:
    if not found:
        return None
    start, end = (_percent(value, low, high) for value in found[f"{metric}_interval"])
    return {"at": _percent(found[metric], low, high), "left": start, "width": end - start}


def _percent(value: float, low: float, high: float) -> float:
    return 100 * (value - low) / ((high - low) or 1)


def sections(found: Sequence[Section]) -> dict[str, Any]:
    """Sections on classes and sections on mistakes, with the shares of matrices and the cuts of texts."""
    of_classes = [_drawn(section) for section in found if section["kind"] != "marked_texts"]
    mistakes = [_drawn(section) for section in found if section["kind"] == "marked_texts"]
    matrices = [section for section in of_classes if section["kind"] == "matrix"]
    wide = any(len(section["data"]["names"]) > NARROW_MATRIX for section in matrices)
    some = any(section["items"] for section in mistakes)
    return {"of_classes": of_classes, "mistakes": mistakes, "any_mistakes": some, "wide": wide}


def _drawn(section: Section) -> dict[str, Any]:
    data = section["data"]
    more: dict[str, Any] = {}
    if section["kind"] == "matrix":
        more["cells"] = [[(n, n / max(sum(row), 1)) for n in row] for row in data["counts"]]
    elif section["kind"] == "bars":
        more["longest"] = max((n for _, n, _ in data["rows"]), default=0) or 1
    elif section["kind"] == "marked_texts":
        labels = data["labels"]
        marked = {mark[2] for one in data["items"] for text in one["texts"] for mark in _marks(text)}
        more["legend"] = [(name, i % COLOURS) for i, name in enumerate(labels) if name in marked]
        more["items"] = [
            {
                **one,
                "texts": [
                    {"name": text["name"], "marked": bool(_marks(text)), "pieces": pieces(text, labels)}
                    for text in one["texts"]
                ],
            }
            for one in data["items"]
        ]
    return {**section, **more}


def _marks(text: Mapping[str, Any]) -> list[Any]:
    return [*text["above"], *text["below"]]


def tiles(metrics: Metrics, shown: Score | None) -> list[tuple[str, str, str]]:
    """Value, title and interval of the metrics that are not the headline."""
    if not shown:
        return []
    found = []
    for name in task_of(metrics).metrics:
        if name == metrics["headline"] or name not in shown:
            continue
        low, high = shown[f"{name}_interval"]
        form, title = (as_share, "right") if name == "accuracy" else (as_score, metric_title(name))
        found.append((form(shown[name]), title, f"{form(low)} to {form(high)}"))
    return found


def label_rows(quality: LabelQuality) -> list[dict[str, Any]]:
    """Generated labels of each class, most first, with lengths in percent of the longest.

    [] where a row has not one label of its own.
    """
    if not quality["per_class"]:
        return []
    total, balance = quality["generated"], quality["balance"] or {}
    longest = max(
        [*(found["generated"] / total for found in quality["per_class"].values()), *balance.values()]
    )
    rows = [
        {
            "name": name,
            **found,
            "expected": round(balance.get(name, 0) * total),
            "made_width": 100 * found["generated"] / total / longest,
            "kept_width": 100 * found["kept"] / total / longest,
            "mark": 100 * balance[name] / longest if name in balance else None,
        }
        for name, found in quality["per_class"].items()
    ]
    return sorted(rows, key=lambda row: -row["generated"])


def ordered(counts: Mapping[str, Mapping[str, int]]) -> dict[str, Mapping[str, int]]:
    """Parts in the order the run uses them."""
    return {part: counts[part] for part in PART_NAMES if part in counts}


def by_rows(classes: Sequence[str], counts: Mapping[str, Mapping[str, int]], most: int) -> Sequence[str]:
    """The classes as they are; where there are more than ``most``, those of most rows first."""
    if len(classes) <= most:
        return classes
    return sorted(classes, key=lambda name: -sum(of_part.get(name, 0) for of_part in counts.values()))


def finetune_charts(history: Mapping[str, History], titles: Mapping[str, str]) -> list[LineChart]:
    """Loss of each arm, and its validation score where there is one."""
    named = {titles.get(arm, arm): rows for arm, rows in history.items()}
    charts = [line_chart("Training loss", {arm: _points(rows, "loss") for arm, rows in named.items()})]
    for key in dict.fromkeys(key for rows in named.values() for row in rows for key in row):
        if key in METRICS:
            points = {arm: _points(rows, key) for arm, rows in named.items()}
            charts.append(line_chart(f"Validation {metric_title(key)}", points))
    return [chart for chart in charts if chart]


def lgan_charts(history: Mapping[str, History]) -> list[LineChart]:
    """Charts of the networks' losses in both phases, D's accuracy, and the parts of G_y's loss."""
    plain, game = history.get("pretrain") or [], history.get("lgan") or []
    keys = dict.fromkeys(key for row in game for key in row)
    parts = {
        key: key[6:].replace("_", " ") for key in keys if key.startswith("label_") and key not in PLAYERS
    }
    charts = [
        _chart("Phase 1: losses of the plain GAN", plain, PLAYERS),
        _chart("Phase 2: losses of the networks", game, PLAYERS),
        _chart("Phase 2: accuracy of D on pairs", game, {"discriminator_accuracy": "D"}),
        _chart("Phase 2: parts of G_y's loss", game, parts),
    ]
    return [chart for chart in charts if chart]


def _chart(title: str, rows: History, names: Mapping[str, str]) -> LineChart | None:
    return line_chart(title, {name: _points(rows, key) for key, name in names.items()})


def _points(rows: History, key: str) -> list[tuple[float, float]]:
    return [(row["step"], row[key]) for row in rows if key in row]


def as_score(value: float | None) -> str:
    """Three digits; a dash for what was not measured."""
    return "–" if value is None else f"{value:.3f}"


def as_difference(value: float) -> str:
    """Three digits and always a sign."""
    return f"{value:+.3f}".replace("-", "−")


def as_share(value: float | None) -> str:
    """Percent; a dash for what was not measured."""
    return "–" if value is None else f"{value:.1%}"


def as_time(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest:02d} s"
