"""Geometry of the report's charts; templates/charts.html.j2 draws them as SVG.

Coordinates are SVG user units with the origin at the top left. Colours and fonts come from the page's style
sheet, so that charts follow its theme.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from react_ray.evaluate.schema import Bin

__all__ = [
    "CalibrationChart",
    "LineChart",
    "Mark",
    "Scatter",
    "calibration_chart",
    "line_chart",
    "scatter_chart",
    "ticks",
]

WIDTH, HEIGHT = 480.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 48.0, 22.0, 12.0, 40.0
MAX_POINTS = 160
Point = tuple[float, float]


@dataclass(frozen=True)
class Tick:
    """Position and text of a tick on an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Series:
    """A named line; it has ``dots`` if there are few points."""

    name: str
    path: str
    dots: tuple[Point, ...]


@dataclass(frozen=True)
class LineChart:
    """Lines over training steps; ``holes`` is the number of values that are not finite."""

    title: str
    series: tuple[Series, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    holes: int


@dataclass(frozen=True)
class Bar:
    """A bin of the reliability diagram: rectangle, relative number of rows, and note."""

    x: float
    y: float
    width: float
    height: float
    share: float
    note: str


@dataclass(frozen=True)
class CalibrationChart:
    """Reliability diagram: bars of accuracy over confidence, ends of the diagonal, and ticks."""

    bars: tuple[Bar, ...]
    start: Point
    end: Point
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Mark:
    """A point of a scatter plot; ``kind`` is its CSS class, ``note`` its tooltip."""

    x: float
    y: float
    kind: str
    note: str


@dataclass(frozen=True)
class Scatter:
    """Points over a number or over choices; ``path`` is an optional line through some of them."""

    title: str
    marks: tuple[Mark, ...]
    path: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def scatter_chart(
    title: str,
    marks: Sequence[Mark],
    *,
    line: Sequence[Point] = (),
    choices: Sequence[str] = (),
    log: bool = False,
) -> Scatter | None:
    """Lay out a scatter plot of ``marks`` in units of the data; None without marks.

    x is a number, on a logarithmic axis with ``log``, or an index into ``choices``.
    """
    if not marks:
        return None
    xs, ys = [mark.x for mark in marks], ticks(min(m.y for m in marks), max(m.y for m in marks))
    transform = math.log10 if log else float
    if choices:
        tick_values, tick_texts = [float(i) for i in range(len(choices))], list(choices)
        low, high = -0.5, len(choices) - 0.5
    else:
        tick_values = _log_ticks(min(xs), max(xs)) if log else ticks(min(xs), max(xs))
        tick_texts = [_number(x) for x in tick_values]
        low, high = transform(tick_values[0]), transform(tick_values[-1])
    x_at, y_at = _axis(low, high, LEFT + 8, WIDTH - RIGHT), _axis(ys[0], ys[-1], HEIGHT - BOTTOM, TOP)
    return Scatter(
        title,
        tuple(Mark(x_at(transform(mark.x)), y_at(mark.y), mark.kind, mark.note) for mark in marks),
        "M" + "L".join(f"{x_at(transform(x)):.1f} {y_at(y):.1f}" for x, y in line) if line else "",
        tuple(Tick(x_at(transform(x)), name) for x, name in zip(tick_values, tick_texts, strict=True)),
        tuple(Tick(y_at(y), _number(y)) for y in ys),
    )


def _log_ticks(low: float, high: float) -> list[float]:
    """Return ticks at 1, 2 and 5 times powers of ten that enclose [low, high]."""
    candidates = [m * 10.0**e for e in range(-12, 12) for m in (1, 2, 5)]
    first = max((i for i, value in enumerate(candidates) if value <= low * 1.001), default=0)
    last = min(
        (i for i, value in enumerate(candidates) if value >= high * 0.999), default=len(candidates) - 1
    )
    return candidates[first : last + 1]


def line_chart(title: str, series: Mapping[str, Sequence[Point]]) -> LineChart | None:
    """Lay out lines through (step, value) points; None without points."""
    finite = {name: _finite_points(points) for name, points in series.items()}
    holes = sum(len(series[name]) - len(points) for name, points in finite.items())
    thinned = {name: _downsample(points) for name, points in finite.items() if points}
    if not thinned:
        return None
    xs = [x for points in thinned.values() for x, _ in points]
    ys = [y for points in thinned.values() for _, y in points]
    x_ticks = [x for x in ticks(min(0, *xs), max(xs)) if x <= max(xs)]
    y_ticks = ticks(min(ys), max(ys))
    x_at = _axis(min(0, *xs), max(xs), LEFT, WIDTH - RIGHT)
    y_at = _axis(min(*ys, y_ticks[0]), max(*ys, y_ticks[-1]), HEIGHT - BOTTOM, TOP)
    return LineChart(
        title,
        tuple(_series(name, [(x_at(x), y_at(y)) for x, y in points]) for name, points in thinned.items()),
        tuple(Tick(x_at(x), _number(x)) for x in x_ticks),
        tuple(Tick(y_at(y), _number(y)) for y in y_ticks),
        holes,
    )


def calibration_chart(bins: Sequence[Bin]) -> CalibrationChart | None:
    """Lay out a reliability diagram; None without bins."""
    if not bins:
        return None
    x_at = _axis(0, 1, LEFT, WIDTH - RIGHT)
    y_at = _axis(0, 1, HEIGHT - BOTTOM, TOP)
    max_rows = max(b["n"] for b in bins)
    fifths = [i / 5 for i in range(6)]
    return CalibrationChart(
        tuple(_bar(b, x_at, y_at, max_rows) for b in bins),
        (x_at(0), y_at(0)),
        (x_at(1), y_at(1)),
        tuple(Tick(x_at(v), f"{v:.0%}") for v in fifths),
        tuple(Tick(y_at(v), f"{v:.0%}") for v in fifths),
    )


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return about ``about`` round numbers that enclose [low, high]."""
    if not high > low:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    raw = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(m * unit for m in (1, 2, 2.5, 5, 10) if m * unit >= raw * 0.999)
    return [i * step for i in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _bar(entry: Bin, x_at: Any, y_at: Any, max_rows: int) -> Bar:
    start, end, top = x_at(entry["low"]), x_at(entry["high"]), y_at(entry["accuracy"])
    note = f"{entry['n']} rows: confidence {entry['confidence']:.0%}, correct {entry['accuracy']:.0%}"
    return Bar(start + 1, top, end - start - 2, y_at(0) - top, math.sqrt(entry["n"] / max_rows), note)


def _finite_points(points: Sequence[Point]) -> list[Point]:
    return [(float(x), float(y)) for x, y in points if y is not None and math.isfinite(y)]


def _downsample(points: list[Point]) -> list[Point]:
    """Average groups of consecutive points, so that a long history stays small and legible."""
    group_size = math.ceil(len(points) / MAX_POINTS)
    groups = [points[i : i + group_size] for i in range(0, len(points), group_size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def _axis(low: float, high: float, start: float, end: float) -> Any:
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _series(name: str, points: list[Point]) -> Series:
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return Series(name, path, tuple(points) if len(points) <= 12 else ())


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if value else "0"
