from __future__ import annotations

from pathlib import Path
from typing import Any

from react_ray.evaluate.search_page import write_search_page


def trial(number: int, score: float | None, **more: Any) -> dict[str, Any]:
    values = {"finetune.lr": 10.0 ** -(number + 3), "finetune.freeze": "<b>"}
    status = "failed" if score is None else "complete"
    return {
        "number": number,
        "values": values,
        "score": score,
        "status": status,
        "seconds": 61.0,
        "failure": "",
        **more,
    }


def page(path: Path, *trials: dict[str, Any]) -> str:
    space = {"finetune.lr": {"low": 1e-5, "high": 1e-3, "log": True}, "finetune.freeze": ["<b>", "none"]}
    write_search_page(
        path / "search.html",
        {
            "title": "a <i>",
            "about": "2 trials",
            "metric": "macro_f1",
            "repeats": 2,
            "trials": trials,
            "space": space,
        },
    )
    return (path / "search.html").read_text(encoding="utf-8")


def test_every_trial_is_in_every_picture_and_in_the_table(tmp_path: Path) -> None:
    text = page(tmp_path, trial(0, 0.5), trial(1, 0.75), trial(2, 0.25, status="stopped"))
    assert text.count("<svg") == 3  # over time, and one for each setting
    assert text.count('class="mark complete"') == 2 * 3
    assert text.count('class="mark stopped"') == 3
    rows = [text.index(f"<tr><td>{number}</td>") for number in (1, 0, 2)]
    assert rows == sorted(rows)  # best first, stopped ones last
    assert "1 min 01 s" in text


def test_names_and_failures_are_escaped(tmp_path: Path) -> None:
    text = page(tmp_path, trial(0, 0.5), trial(1, None, failure="<script>x</script>"))
    assert "<script>" not in text
    assert "<b>" not in text
    assert "&lt;script&gt;" in text


def test_a_search_without_a_score_has_a_page(tmp_path: Path) -> None:
    assert "No trial has a score" in page(tmp_path, trial(0, None, failure="too bad"))
