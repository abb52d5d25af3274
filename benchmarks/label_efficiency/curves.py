"""Curves as one SVG: a small panel a data set, drawn by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from html import escape

from react_ray.evaluate.pictures import ticks

__all__ = ["draw_curves"]

Points = Sequence[tuple[str, float]]
COLUMNS = 3
WIDTH, HEIGHT = 260.0, 190.0
LEFT, RIGHT, TOP, BOTTOM = 34.0, 8.0, 24.0, 26.0
LINE = 15.0
COLOURS = (
    "#8a8a8a", "#b5651d", "#c79a00", "#4c78a8", "#54a24b", "#2a8f8f", "#a0c878",
    "#9467bd", "#e377c2", "#d62728", "#222222", "#1f4e9e", "#ff7f0e", "#7f0000",
)  # fmt: skip
THICK, DASHED = ("ours", "weight"), "ceiling"


def draw_curves(panels: Mapping[str, Mapping[str, Points]], names: Sequence[str]) -> str:
    """The picture: data set -> line -> (place on the x axis, value).

    ``names`` are all lines there may be, in the order of their colours. Places are numbers, or "all".
    """
    colours = dict(zip(names, itertools.cycle(COLOURS)))
    colours = {name: colours[name] for name in names if any(name in lines for lines in panels.values())}
    sizes = sorted(
        {size for lines in panels.values() for line in lines.values() for size, _ in line}, key=_order
    )
    rows = math.ceil(len(panels) / COLUMNS)
    legend = math.ceil(len(colours) / COLUMNS) * LINE + 10
    width, height = COLUMNS * WIDTH, rows * HEIGHT + legend
    body = [
        f'<g transform="translate({place % COLUMNS * WIDTH:.0f} {place // COLUMNS * HEIGHT:.0f})">'
        f"{_panel(name, panels[name], colours, sizes)}</g>"
        for place, name in enumerate(sorted(panels))
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" font-family="sans-serif" font-size="10">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(body)}'
        f'<g transform="translate(0 {rows * HEIGHT:.0f})">{_legend(colours)}</g></svg>\n'
    )


def _order(size: str) -> float:
    return math.inf if size == "all" else float(size)


def _panel(name: str, lines: Mapping[str, Points], colours: Mapping[str, str], sizes: Sequence[str]) -> str:
    """Axes and lines; the ceiling goes across."""
    values = [score for line in lines.values() for _, score in line]
    marks = ticks(min(values), max(values), 4)
    low, high = marks[0], marks[-1]
    step = (WIDTH - LEFT - RIGHT) / max(len(sizes) - 1, 1)
    x_at = {size: LEFT + step * place for place, size in enumerate(sizes)}

    def y_at(score: float) -> float:
        return HEIGHT - BOTTOM - (score - low) / (high - low) * (HEIGHT - BOTTOM - TOP)

    drawn = [f'<text x="{LEFT}" y="14" font-weight="bold">{escape(name)}</text>']
    for mark in marks:
        drawn.append(f'<path d="M{LEFT} {y_at(mark):.1f}H{WIDTH - RIGHT}" stroke="#e4e4e4"/>')
        drawn.append(f'<text x="{LEFT - 4}" y="{y_at(mark) + 3:.1f}" text-anchor="end">{mark:g}</text>')
    for size, x in x_at.items():
        drawn.append(f'<text x="{x:.1f}" y="{HEIGHT - 12}" text-anchor="middle">{size}</text>')
    for method, colour in colours.items():
        points = [(x_at[size], y_at(score)) for size, score in lines.get(method, ())]
        if points and method == DASHED:
            points = [(LEFT, points[0][1]), (WIDTH - RIGHT, points[0][1])]
        if points:
            drawn.append(_line(method, colour, points))
    return "".join(drawn)


def _line(method: str, colour: str, points: Sequence[tuple[float, float]]) -> str:
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dots = (
        ""
        if method == DASHED
        else "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.8" fill="{colour}"/>' for x, y in points)
    )
    return f'<path d="{path}" fill="none" {_stroke(method, colour)}/>{dots}'


def _stroke(method: str, colour: str) -> str:
    dashes = ' stroke-dasharray="4 3"' if method == DASHED else ""
    return f'stroke="{colour}" stroke-width="{2.4 if method in THICK else 1.2}"{dashes}'


def _legend(colours: Mapping[str, str]) -> str:
    drawn = []
    for place, (method, colour) in enumerate(colours.items()):
        x, y = place % COLUMNS * WIDTH + LEFT, place // COLUMNS * LINE + 8
        drawn.append(f'<path d="M{x:.0f} {y:.0f}h22" {_stroke(method, colour)}/>')
        drawn.append(f'<text x="{x + 28:.0f}" y="{y + 3:.0f}">{escape(method)}</text>')
    return "".join(drawn)
