"""The picture of the servers' speed: what is drawn is what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.serving.picture import draw_bars

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def figures(equal: float, mixed: float) -> dict[str, dict[str, float]]:
    return {"equal c=32": {"rps": equal}, "mixed c=32": {"rps": mixed}}


def test_bars_are_as_long_as_the_medians_and_lines_go_from_least_to_most() -> None:
    rounds = [
        {"engine": {}, "no-op Serve": {}, "a <b>": figures(rate, 40), "slow": figures(50, 20)}
        for rate in (80, 100, 240)
    ]
    picture = ElementTree.fromstring(draw_bars({"rounds": rounds, "cores": 2}))
    _, _, _, *drawn = picture.iter(f"{SVG}rect")  # after the paper and the two of the legend
    bars = [float(bar.attrib["width"]) for bar in drawn]
    assert [bar / bars[0] for bar in bars] == pytest.approx([1, 0.4, 0.5, 0.2], abs=0.01)
    lines = [path.attrib["d"] for path in picture.iter(f"{SVG}path") if path.attrib["stroke"] == "#222"]
    least, most = (float(part.split()[0]) for part in lines[0].removeprefix("M").split("H"))
    assert (most - least) / bars[0] == pytest.approx(1.6, abs=0.01)
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert {"a <b>", "slow", "100", "40", "50", "20"} <= set(texts)
    assert "no-op Serve" not in texts  # it has no model


def test_the_picture_in_the_docs_is_of_the_figures_that_are_kept() -> None:
    kept = json.loads((ROOT / "benchmarks" / "results" / "serving.json").read_text())
    assert (ROOT / "docs" / "pictures" / "serving.svg").read_text() == draw_bars(kept)
