"""Requests a second of every server as bars, in one SVG that is drawn from the records alone."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from html import escape
from typing import Any

from benchmarks.serving.table import NOT_MODELS
from react_ray.evaluate.pictures import ticks

__all__ = ["draw_bars"]

KINDS = {"equal": ("texts of equal length", "#1f4e9e"), "mixed": ("texts of mixed lengths", "#9db8dd")}
WIDTH, LEFT, RIGHT, TOP, BOTTOM = 720.0, 120.0, 60.0, 34.0, 40.0
BAR, GAP = 13.0, 12.0


def draw_bars(kept: dict[str, Any]) -> str:
    """Two bars a server, at 32 callers: the median over the rounds, and a line from the least to the most."""
    rounds = kept["rounds"]
    names = [name for name in rounds[0] if name not in ("engine", *NOT_MODELS)]
    found = {
        (name, kind): [figures[name][f"{kind} c=32"]["rps"] for figures in rounds]
        for name in names
        for kind in KINDS
    }
    marks = ticks(0, max(max(values) for values in found.values()))
    step = len(KINDS) * BAR + GAP
    foot = TOP + len(names) * step

    def x_at(rate: float) -> float:
        return LEFT + rate / marks[-1] * (WIDTH - LEFT - RIGHT)

    drawn = [_legend(), *(_mark(x_at(mark), f"{mark:g}", foot) for mark in marks)]
    for row, name in enumerate(names):
        top = TOP + row * step + GAP / 2
        drawn.append(f'<text x="{LEFT - 8}" y="{top + BAR + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        for place, (kind, (_, colour)) in enumerate(KINDS.items()):
            values = found[name, kind]
            places = [x_at(value) for value in (min(values), statistics.median(values), max(values))]
            drawn.append(_bar(places, top + place * BAR, colour, f"{statistics.median(values):.0f}"))
    said = f"requests/s, 32 callers, {kept['cores']} cores; the line is from the slowest round to the fastest"
    drawn.append(f'<text x="{LEFT}" y="{foot + 32:.0f}" fill="#555">{said}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {foot + BOTTOM:.0f}" '
        f'width="{WIDTH:.0f}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(drawn)}</svg>\n'
    )


def _bar(places: Sequence[float], top: float, colour: str, text: str) -> str:
    least, middle, most = places
    return (
        f'<rect x="{LEFT}" y="{top:.1f}" width="{middle - LEFT:.1f}" height="{BAR - 1}" fill="{colour}"/>'
        f'<path d="M{least:.1f} {top + BAR / 2:.1f}H{most:.1f}" stroke="#222"/>'
        f'<text x="{most + 5:.1f}" y="{top + BAR - 3:.1f}" font-size="11">{text}</text>'
    )


def _mark(x: float, text: str, foot: float) -> str:
    return (
        f'<path d="M{x:.1f} {TOP}V{foot:.1f}" stroke="#e4e4e4"/>'
        f'<text x="{x:.1f}" y="{foot + 14:.1f}" text-anchor="middle" fill="#555">{text}</text>'
    )


def _legend() -> str:
    drawn = []
    for place, (meaning, colour) in enumerate(KINDS.values()):
        x = LEFT + place * 190
        drawn.append(f'<rect x="{x}" y="12" width="12" height="12" fill="{colour}"/>')
        drawn.append(f'<text x="{x + 18}" y="22">{meaning}</text>')
    return "".join(drawn)
