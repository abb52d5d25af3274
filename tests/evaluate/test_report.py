"""The page: whole, offline, safe, and plain about what is missing."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pages import HOSTILE, Page, assert_offline_and_inert

import react_ray
from react_ray.evaluate.pictures import calibration_chart, line_chart, ticks
from react_ray.evaluate.report import write_report
from react_ray.evaluate.tables import rejected_by_reason


@pytest.fixture
def show(tmp_path: Path) -> Callable[[Any], Page]:
    def write(content: Any) -> Page:
        path = tmp_path / "report.html"
        write_report(path, content)
        assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
        return Page(path.read_text(encoding="utf-8"))

    return write


def test_the_whole_page(show: Callable[[Any], Page], make_content: Callable[..., Any]) -> None:
    content = make_content(validation=40)
    page = show(content)
    assert_offline_and_inert(page)
    sections = [
        "methods",
        "classes",
        "mistakes",
        "confidence",
        "data",
        "labels",
        "learning",
        "cost",
        "use",
        "settings",
    ]
    assert list(page.sections) == sections
    assert f"{content['metrics']['test']['macro_f1']:.3f}" in page.text
    assert "The generated labels help." in page.text
    assert all(
        title in page.sections["methods"] for title in ("Frozen probe", "Labels only", "Generated labels")
    )
    assert "今日股市上涨，比赛进球" in page.sections["mistakes"]
    assert "体育" in page.sections["classes"]
    assert "empty text" in page.sections["data"]
    assert "of 90 with known truth" in page.sections["labels"]
    assert "Training loss" in page.sections["learning"]
    assert "1 min 15 s" in page.sections["cost"]
    assert "react-ray serve 'out/my run'" in page.sections["use"]
    assert "model: embedded" in page.sections["settings"]
    links = {attributes["href"] for tag, attributes in page.elements if tag == "a"}
    assert links == {f"#{section}" for section in page.sections}


def test_the_style_loads_nothing(tmp_path: Path, make_content: Callable[..., Any]) -> None:
    write_report(tmp_path / "report.html", make_content())
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r"url\(|@import|@font-face", source)
    assert "default-src 'none'" in source
    assert "prefers-color-scheme: dark" in source
    assert "@media print" in source


def test_pages_name_fonts_for_chinese() -> None:
    """Where the system's own font lacks them, a browser would pick Japanese forms of the characters."""
    package = Path(react_ray.__file__).parent
    shared = package / "serve" / "protocols" / "static" / "style.css"
    pages = [page for folder in ("serve", "apps") for page in (package / folder).rglob("*.html")]
    texts = {page: page.read_text(encoding="utf-8") for page in pages}
    alone = [page for page, text in texts.items() if '<link rel="stylesheet" href="style.css">' not in text]
    assert len(alone) < len(pages)
    for page in [shared, package / "evaluate" / "templates" / "style.css", *alone]:
        fonts = re.search(r"body \{[^}]*font: [^;]*;", page.read_text(encoding="utf-8"))
        assert fonts, page
        for font in ("PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC"):
            assert font in fonts[0], page


def test_texts_and_names_are_shown_and_never_run(
    show: Callable[[Any], Page], make_content: Callable[..., Any]
) -> None:
    content = make_content((HOSTILE, "b", "رياضة"), text=HOSTILE)
    content["metrics"]["why"] = HOSTILE
    content["refused"] = rejected_by_reason([{"file": HOSTILE, "row": 1, "reason": HOSTILE, "text": HOSTILE}])
    content |= {"folder": HOSTILE, "config": HOSTILE, "machine": {HOSTILE: HOSTILE}}
    content["finetune_history"] = {HOSTILE: [{"step": 1, "loss": 1.0}]}
    page = show(content)
    assert_offline_and_inert(page)
    for section in ("classes", "mistakes", "data", "labels", "settings", "cost"):
        assert HOSTILE in page.sections[section], section


def test_characters_no_page_may_hold(show: Callable[[Any], Page], make_content: Callable[..., Any]) -> None:
    page = show(make_content(("a\x00b", "half", "whole 😀"), text="null \x00 and \ud83d"))
    assert "\x00" not in page.text
    assert "a\ufffdb" in page.sections["classes"]
    assert "whole 😀" in page.sections["classes"]


def test_the_share_of_texts_and_tokens_that_the_model_does_not_read_is_said(
    show: Callable[[Any], Page], make_content: Callable[..., Any]
) -> None:
    content = make_content()
    said = " ".join(show(content).sections["data"].split())
    assert "12.5% of the texts are longer than the 128 tokens that the model reads" in said
    assert "does not read 31.0% of all tokens (counted in 400 rows)" in said
    content["metrics"]["cut"] |= {"texts": 0.0, "tokens": 0.0}
    assert "longer than the" not in show(content).sections["data"]


def test_without_a_test_file_the_validation_rows_are_shown_and_named(
    show: Callable[[Any], Page], make_content: Callable[..., Any]
) -> None:
    page = show(make_content(test=0, validation=60))
    assert "macro-F1 on 60 validation rows" in page.text
    assert "There was no test file" in page.text
    assert "chose the checkpoint" in page.text
    assert "There was no test file" in page.sections["data"]


def test_nothing_measured_is_said_plainly(
    show: Callable[[Any], Page], make_content: Callable[..., Any]
) -> None:
    metrics = make_content(test=0, pool=0)["metrics"] | {
        "arms": {},
        "seconds": {},
        "reused": [],
        "refused": {},
    }
    page = show({"metrics": metrics})
    assert "Not measured: there was no test file" in page.text
    for section in ("methods", "classes", "mistakes", "confidence", "labels", "learning", "cost", "settings"):
        assert re.search(r"\b(No|None|Not)\b", page.sections[section]), section
    assert "all rows were used" in page.sections["data"]


def test_a_ranking_is_told_only_where_there_is_one(
    show: Callable[[Any], Page], make_content: Callable[..., Any]
) -> None:
    content = make_content()
    assert "0.5 is chance" in show(content).sections["labels"]
    content["metrics"]["label_quality"] |= {"auroc_weight": None, "auroc_score": None}
    assert "0.5 is chance" not in show(content).sections["labels"]


def test_labels_without_truth(show: Callable[[Any], Page], make_content: Callable[..., Any]) -> None:
    page = show(make_content(known=False))
    assert "Their accuracy is unknown" in page.sections["labels"]
    assert "Calibration of the weights" not in page.sections["labels"]


def test_a_few_test_rows_come_with_a_warning(
    show: Callable[[Any], Page], make_content: Callable[..., Any]
) -> None:
    assert "one row moves accuracy by 5.0%" in show(make_content(test=20)).text
    assert "one row moves" not in show(make_content(test=120)).text


def test_two_classes_have_a_matrix_and_many_have_pairs(
    show: Callable[[Any], Page], make_content: Callable[..., Any]
) -> None:
    assert "Confusion matrix" in show(make_content(("no", "yes"))).sections["classes"]
    many = show(make_content(tuple(f"intent_{i}_" + "long" * 20 for i in range(150)), test=600, pool=300))
    assert "Confusion matrix" not in many.sections["classes"]
    assert "Classes mixed up most" in many.sections["classes"]
    assert "better classes" in many.sections["classes"]


def test_the_page_of_a_thousand_classes_is_small_and_says_what_is_left_out(
    tmp_path: Path, make_content: Callable[..., Any]
) -> None:
    content = make_content(tuple(f"intent {i}" for i in range(1000)), test=1500, pool=1200)
    assert content["metrics"]["test"]["confusion"] is None
    content["class_counts"]["labeled"]["intent 999"] = 70
    path = tmp_path / "report.html"
    write_report(path, content)
    assert path.stat().st_size < 1_000_000
    page = Page(path.read_text(encoding="utf-8"))
    for section in ("data", "classes", "labels"):
        assert "and 700 more" in page.sections[section], section
    assert "Classes mixed up most" in page.sections["classes"]
    rows = page.sections["data"].split("Rows of each class")[1]
    assert rows.index("intent 999") < rows.index("intent 0")  # the class with most rows comes first
    assert len(json.dumps(content["metrics"])) < 1_000_000


def test_a_win_within_chance_is_not_called_a_win(
    show: Callable[[Any], Page], make_content: Callable[..., Any]
) -> None:
    content = make_content()
    arms = content["metrics"]["arms"]
    arms["labels_only"]["lead"] = {"macro_f1": 0.2, "interval": [0.1, 0.3]}
    for lead, words in (
        ({"macro_f1": 0.01, "interval": [-0.02, 0.04]}, "No clear difference from Frozen probe: +0.010"),
        ({"macro_f1": 0.05, "interval": [0.02, 0.08]}, "the next is Frozen probe, 0.050 below"),
        ({"macro_f1": -0.05, "interval": [-0.08, -0.02]}, "Frozen probe is better on these rows, by 0.050"),
    ):
        arms["probe"]["lead"] = lead
        assert words in " ".join(show(content).text.split())


def test_an_arm_this_version_does_not_know(
    show: Callable[[Any], Page], make_content: Callable[..., Any]
) -> None:
    content = make_content()
    content["metrics"]["arms"]["new_arm"] = {"validation": None, "test": None}
    content["metrics"]["chosen"] = "new_arm"
    assert "new_arm" in show(content).sections["methods"]


def test_lines_stay_in_the_picture_and_bad_values_are_counted() -> None:
    steps = range(1, 1001)
    values = [math.nan if i == 3 else math.inf if i == 4 else 1 / i for i in steps]
    chart = line_chart("Loss", {"a": list(zip(steps, values, strict=True)), "b": [(5, -2.0)], "c": []})
    assert chart is not None
    assert chart.holes == 2
    assert [line.name for line in chart.series] == ["a", "b"]
    places = [(float(x), float(y)) for x, y in re.findall(r"([\d.-]+) ([\d.-]+)", chart.series[0].path)]
    assert len(places) < 200
    assert all(40 <= x <= 480 and 0 <= y <= 250 for x, y in places)
    assert places[0][1] < places[-1][1], "a falling loss falls in the picture"
    assert line_chart("Loss", {"a": [(1, math.nan)]}) is None


def test_the_diagonal_is_where_confidence_is_accuracy() -> None:
    bins: list[Any] = [{"low": 0.4, "high": 0.6, "n": 5, "confidence": 0.5, "accuracy": 0.5}]
    chart = calibration_chart(bins)
    assert chart is not None
    (x0, y0), (x1, y1), bar = chart.start, chart.end, chart.bars[0]
    middle = bar.x + bar.width / 2
    assert bar.y == pytest.approx(y0 + (middle - x0) / (x1 - x0) * (y1 - y0))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.83, 0.91), (-3, 1e15), (5, 5), (0, 0), (1e-7, 2e-7)])
def test_ticks_are_few_and_hold_the_range(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 2 <= len(found) <= 9
    assert found[0] <= low
    assert found[-1] >= high


def test_without_generated_labels_the_page_says_so_and_warnings_are_shown(
    make_content: Callable[..., Any], tmp_path: Path
) -> None:
    content = make_content(pool=0)
    content["metrics"]["warnings"] = ["class names that differ only in case: 'a', 'A'"]
    write_report(tmp_path / "report.html", content)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "With changed copies" in page
    assert "fine-tuned on labels generated by the label GAN" not in page
    assert "class names that differ only in case" in page
