"""Geometry of the report's pictures; the marks are drawn by templates/charts.html.

Coordinates are SVG user units with the origin at the top left. Colours and fonts come
from the page's style sheet, so pictures follow its theme, and text stays text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from react_ray.evaluate.schema import Bin

__all__ = [
    "Calibration",
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
MOST_POINTS = 160
Point = tuple[float, float]


@dataclass(frozen=True)
class Tick:
    """A value on an axis: where, and how it is written."""

    at: float
    text: str


@dataclass(frozen=True)
class Series:
    """A named line; ``dots`` are drawn when there are few points."""

    name: str
    path: str
    dots: tuple[Point, ...]


@dataclass(frozen=True)
class LineChart:
    """Lines over training steps; ``holes`` counts values that are not numbers."""

    title: str
    series: tuple[Series, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    holes: int


@dataclass(frozen=True)
class Bar:
    """A bin of the reliability diagram: a box from the bottom, its share of rows, a note."""

    x: float
    y: float
    width: float
    height: float
    share: float
    note: str


@dataclass(frozen=True)
class Calibration:
    """Accuracy over confidence, with the diagonal's ends and ticks of both axes."""

    bars: tuple[Bar, ...]
    start: Point
    end: Point
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Mark:
    """A point of a scatter plot; ``kind`` is the class of its style, ``note`` is shown on hovering."""

    x: float
    y: float
    kind: str
    note: str


@dataclass(frozen=True)
class Scatter:
    """Points over a quantity or over choices; ``path`` is a line through some of them, or empty."""

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
    """``marks`` in the data's own units, drawn; None without one.

    x is a number, with ``log`` on a scale of powers of ten, with ``choices`` an index into these.
    """
    if not marks:
        return None
    xs, ys = [mark.x for mark in marks], ticks(min(m.y for m in marks), max(m.y for m in marks))
    change = math.log10 if log else float
    if choices:
        where, named = [float(i) for i in range(len(choices))], list(choices)
        low, high = -0.5, len(choices) - 0.5
    else:
        where = _powers(min(xs), max(xs)) if log else ticks(min(xs), max(xs))
        named = [_number(x) for x in where]
        low, high = change(where[0]), change(where[-1])
    x_at, y_at = _scale(low, high, LEFT + 8, WIDTH - RIGHT), _scale(ys[0], ys[-1], HEIGHT - BOTTOM, TOP)
    return Scatter(
        title,
        tuple(Mark(x_at(change(mark.x)), y_at(mark.y), mark.kind, mark.note) for mark in marks),
        "M" + "L".join(f"{x_at(change(x)):.1f} {y_at(y):.1f}" for x, y in line) if line else "",
        tuple(Tick(x_at(change(x)), name) for x, name in zip(where, named, strict=True)),
        tuple(Tick(y_at(y), _number(y)) for y in ys),
    )


def _powers(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten around [low, high]."""
    known = [m * 10.0**e for e in range(-12, 12) for m in (1, 2, 5)]
    first = max((i for i, value in enumerate(known) if value <= low * 1.001), default=0)
    last = min((i for i, value in enumerate(known) if value >= high * 0.999), default=len(known) - 1)
    return known[first : last + 1]


def line_chart(title: str, series: Mapping[str, Sequence[Point]]) -> LineChart | None:
    """Lines through (step, value) points; None without a point."""
    finite = {name: _finite(points) for name, points in series.items()}
    holes = sum(len(series[name]) - len(points) for name, points in finite.items())
    thinned = {name: _thin(points) for name, points in finite.items() if points}
    if not thinned:
        return None
    xs = [x for points in thinned.values() for x, _ in points]
    ys = [y for points in thinned.values() for _, y in points]
    x_ticks = [x for x in ticks(min(0, *xs), max(xs)) if x <= max(xs)]
    y_ticks = ticks(min(ys), max(ys))
    x_at = _scale(min(0, *xs), max(xs), LEFT, WIDTH - RIGHT)
    y_at = _scale(min(*ys, y_ticks[0]), max(*ys, y_ticks[-1]), HEIGHT - BOTTOM, TOP)
    return LineChart(
        title,
        tuple(_draw(name, [(x_at(x), y_at(y)) for x, y in points]) for name, points in thinned.items()),
        tuple(Tick(x_at(x), _number(x)) for x in x_ticks),
        tuple(Tick(y_at(y), _number(y)) for y in y_ticks),
        holes,
    )


def calibration_chart(bins: Sequence[Bin]) -> Calibration | None:
    """Boxes as high as the share of rows that is right; None without bins."""
    if not bins:
        return None
    x_at = _scale(0, 1, LEFT, WIDTH - RIGHT)
    y_at = _scale(0, 1, HEIGHT - BOTTOM, TOP)
    most = max(b["n"] for b in bins)
    fifths = [i / 5 for i in range(6)]
    return Calibration(
        tuple(_bar(b, x_at, y_at, most) for b in bins),
        (x_at(0), y_at(0)),
        (x_at(1), y_at(1)),
        tuple(Tick(x_at(v), f"{v:.0%}") for v in fifths),
        tuple(Tick(y_at(v), f"{v:.0%}") for v in fifths),
    )


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers within [low, high] rounded outwards, some ``about`` of them."""
    if not high > low:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    raw = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(m * unit for m in (1, 2, 2.5, 5, 10) if m * unit >= raw * 0.999)
    return [i * step for i in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _bar(found: Bin, x_at: Any, y_at: Any, most: int) -> Bar:
    left, right, top = x_at(found["low"]), x_at(found["high"]), y_at(found["accuracy"])
    note = f"{found['n']} rows: sure to {found['confidence']:.0%}, right {found['accuracy']:.0%}"
    return Bar(left + 1, top, right - left - 2, y_at(0) - top, math.sqrt(found["n"] / most), note)


def _finite(points: Sequence[Point]) -> list[Point]:
    return [(float(x), float(y)) for x, y in points if y is not None and math.isfinite(y)]


def _thin(points: list[Point]) -> list[Point]:
    """Means over stretches of equal length, so that a long history stays light and legible."""
    size = math.ceil(len(points) / MOST_POINTS)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(group[-1][0], sum(y for _, y in group) / len(group)) for group in groups]


def _scale(low: float, high: float, start: float, end: float) -> Any:
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def _draw(name: str, points: list[Point]) -> Series:
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return Series(name, path, tuple(points) if len(points) <= 12 else ())


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if value else "0"
