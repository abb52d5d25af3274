"""What the report's templates read: rows, places and words made from the figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from react_ray.evaluate.pictures import LineChart, Tick, line_chart, ticks
from react_ray.evaluate.schema import Figures, LabelQuality, Metrics, Score

__all__ = ["arms", "arms_of", "confusion", "finetune_charts", "label_rows", "lgan_charts", "rival"]

ARMS = {
    "probe": ("Frozen probe", "a linear model on the frozen encoder, labelled rows only"),
    "self_training": ("Self-training", "the frozen probe, fed with its own confident labels"),
    "label_generator": ("Label generator", "the label GAN itself, on frozen features"),
    "labels_only": ("Labels only", "the pretrained model, fine-tuned on the labelled rows only"),
    "lgan": ("With made labels", "the pretrained model, fine-tuned on labels made by the label GAN"),
}
WITHOUT_GENERATED = (
    "With changed copies",
    "the pretrained model, fine-tuned on labelled rows and copies of them",
)
"""The arm ``lgan`` where no generated label was there to train on."""
PART_NAMES = {"labeled": "labelled", "unlabeled": "unlabelled", "validation": "validation", "test": "test"}
PLAYERS = {"discriminator": "D", "sample_generator": "G_x", "label_generator": "G_y"}
MATRIX_CLASSES = 20
"""Up to here the confusion matrix is shown whole, above it the pairs mixed up most."""
MOST_PAIRS = 20
Part = Literal["test", "validation"]
History = Sequence[Mapping[str, float]]


def arms_of(metrics: Metrics) -> dict[str, tuple[str, str]]:
    """Title of each arm of this run, and what it is."""
    quality = metrics["label_quality"]
    return ARMS if quality and quality["kept"] else {**ARMS, "lgan": WITHOUT_GENERATED}


def rival(metrics: Metrics) -> dict[str, Any] | None:
    """The other arm that comes nearest to the saved model, or passes it by most."""
    others = {name: arm.get("lead") for name, arm in metrics["arms"].items() if name != metrics["chosen"]}
    leads = {name: lead for name, lead in others.items() if lead}
    if not leads:
        return None
    name = min(leads, key=lambda key: leads[key]["macro_f1"])
    low, high = leads[name]["interval"]
    verdict = "ahead" if low > 0 else "behind" if high < 0 else "level"
    return {"arm": name, "verdict": verdict, **leads[name]}


def arms(metrics: Metrics, part: Part) -> dict[str, Any]:
    """The arms, best first, with places in percent on an axis of macro-F1 of ``part``."""
    found = [arm[part] for arm in metrics["arms"].values()]
    figures = [one for one in found if one]
    if not figures:
        return {"rows": [], "axis": [], "measured": []}
    ends = [end for one in figures for end in (one["macro_f1"], *one["macro_f1_interval"])]
    marks = [mark for mark in ticks(min(ends), max(ends), about=4) if -1e-9 <= mark <= 1 + 1e-9]
    low, high = min(*ends, marks[0]), max(*ends, marks[-1])
    rows: list[dict[str, Any]] = [
        {"name": name, "lead": None, **arm, "dot": _dot(arm[part], low, high)}
        for name, arm in metrics["arms"].items()
    ]
    return {
        "rows": sorted(rows, key=lambda row: -row["dot"]["at"] if row["dot"] else 0),
        "axis": [Tick(_percent(mark, low, high), f"{mark:.3g}") for mark in marks],
        "measured": [name for name in ("test", "validation") if any(row[name] for row in rows)],
    }


def _dot(found: Figures | None, low: float, high: float) -> dict[str, float] | None:
    if not found:
        return None
    start, end = (_percent(value, low, high) for value in found["macro_f1_interval"])
    return {"at": _percent(found["macro_f1"], low, high), "left": start, "width": end - start}


def _percent(value: float, low: float, high: float) -> float:
    return 100 * (value - low) / ((high - low) or 1)


def confusion(shown: Score, classes: Sequence[str]) -> dict[str, Any]:
    """Rows of (n, share of the row) unless there are too many, and the pairs mixed up most."""
    matrix = shown["confusion"] or []
    cells = shown.get("cells") or [[i, j, n] for i, row in enumerate(matrix) for j, n in enumerate(row) if n]
    totals: Counter[int] = Counter()
    for i, _, n in cells:
        totals[i] += n
    pairs: list[dict[str, Any]] = [
        {"truth": classes[i], "predicted": classes[j], "n": n, "share": n / totals[i]}
        for i, j, n in cells
        if i != j
    ]
    pairs.sort(key=lambda pair: (-pair["n"], -pair["share"]))
    rows = [[(n, n / max(sum(row), 1)) for n in row] for row in matrix]
    return {"rows": rows if len(classes) <= MATRIX_CLASSES else [], "pairs": pairs[:MOST_PAIRS]}


def label_rows(quality: LabelQuality) -> list[dict[str, Any]]:
    """Generated labels of each class, most first, with lengths in percent of the longest."""
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
    for key, title in (("macro_f1", "Validation macro-F1"), ("accuracy", "Validation accuracy")):
        charts.append(line_chart(title, {arm: _points(rows, key) for arm, rows in named.items()}))
    return [chart for chart in charts if chart]


def lgan_charts(history: Mapping[str, History]) -> list[LineChart]:
    """The players' losses in both phases, D's accuracy, and the parts of G_y's loss."""
    plain, game = history.get("pretrain") or [], history.get("lgan") or []
    keys = dict.fromkeys(key for row in game for key in row)
    parts = {
        key: key[6:].replace("_", " ") for key in keys if key.startswith("label_") and key not in PLAYERS
    }
    charts = [
        _chart("Phase 1: losses of the plain GAN", plain, PLAYERS),
        _chart("Phase 2: losses of the players", game, PLAYERS),
        _chart("Phase 2: share of pairs D tells right", game, {"discriminator_accuracy": "D"}),
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
