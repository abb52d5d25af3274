"""Report page of a search: all trials, the best score over time, and the score over each setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from react_ray.evaluate.pictures import Mark, Scatter, scatter_chart
from react_ray.evaluate.report import page_environment
from react_ray.evaluate.view import metric_title
from react_ray.folders import replace_file
from react_ray.version import __version__

__all__ = ["SearchContent", "write_search_page"]


class SearchContent(TypedDict):
    """Content of the page.

    ``trials``   dictionaries of the journal: number, values, status, score, seconds, failure
    ``space``    {key: list of choices, or {low, high, log}}
    ``metric``   name of the score; ``repeats`` is the number of seeds of a trial
    """

    title: str
    about: str
    metric: str
    repeats: int
    trials: Sequence[Mapping[str, Any]]
    space: Mapping[str, Any]


def write_search_page(path: Path, content: SearchContent) -> None:
    """Write the page to ``path``, with names and failures escaped."""
    scored = [trial for trial in content["trials"] if trial["score"] is not None]
    shown = [
        {**trial, "shown": {key: as_value(trial["values"][key]) for key in content["space"]}}
        for trial in content["trials"]
    ]
    page = (
        page_environment()
        .get_template("search.html.j2")
        .render(
            **{key: content[key] for key in ("title", "about", "repeats")},
            metric=metric_title(content["metric"]),
            version=__version__,
            progress=_progress(scored),
            settings=[
                (key, _setting(key, values, scored)) for key, values in content["space"].items() if scored
            ],
            keys=list(content["space"]),
            trials=sorted(shown, key=best_first),
        )
    )
    replace_file(path, lambda temporary: temporary.write_text(page, encoding="utf-8"))


def best_first(trial: Mapping[str, Any]) -> tuple[bool, float]:
    """Sort key of trials: complete ones by score, then those that were stopped or failed."""
    return trial["status"] != "complete", -(trial["score"] or 0.0)


def as_value(value: Any) -> str:
    """Format the value of a setting."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _progress(trials: Sequence[Mapping[str, Any]]) -> Scatter | None:
    best, line = 0.0, []
    for trial in trials:
        if trial["status"] == "complete":
            best = max(best, trial["score"])
            line.append((float(trial["number"]), best))
    return scatter_chart("Score of each trial", [_mark(t, float(t["number"])) for t in trials], line=line)


def _setting(key: str, values: Any, trials: Sequence[Mapping[str, Any]]) -> Scatter | None:
    if isinstance(values, Mapping):
        marks = [_mark(trial, float(trial["values"][key])) for trial in trials]
        return scatter_chart(key, marks, log=values["log"])
    choices = list(dict.fromkeys([as_value(v) for v in [*values, *(t["values"][key] for t in trials)]]))
    marks = [_mark(trial, float(choices.index(as_value(trial["values"][key])))) for trial in trials]
    return scatter_chart(key, marks, choices=choices)


def _mark(trial: Mapping[str, Any], x: float) -> Mark:
    settings = ", ".join(f"{key} {as_value(value)}" for key, value in trial["values"].items())
    return Mark(
        x, trial["score"], trial["status"], f"trial {trial['number']}: {trial['score']:.3f} ({settings})"
    )
