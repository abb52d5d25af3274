"""The files for Prometheus and Grafana beside what the service really says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from service_client import Guarded

pytestmark = pytest.mark.ray

FOLDER = Path(__file__).parents[2] / "deploy" / "monitoring"


def expressions() -> list[str]:
    board = json.loads((FOLDER / "grafana.json").read_text(encoding="utf-8"))
    alerts = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))
    rules = [rule for group in alerts["groups"] for rule in group["rules"]]
    assert all(rule["annotations"].keys() == {"summary", "description"} for rule in rules)
    shown = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return [*shown, *(rule["expr"] for rule in rules)]


def samples(guarded: Guarded) -> list[Sample]:
    text = guarded.ask("GET", "/metrics").body.decode()
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def send(guarded: Guarded, texts: list[str]) -> None:
    for start in range(0, len(texts), 100):
        body = json.dumps({"inputs": texts[start : start + 100]}).encode()
        assert guarded.ask("POST", "/predict", body=body).status == 200


def test_every_series_that_is_drawn_or_watched_exists(guarded: Guarded) -> None:
    send(guarded, [f"text {number}" for number in range(100)])
    there = samples(guarded)
    named = [
        match
        for expression in expressions()
        for match in re.findall(r"\b((?:react_ray|process)_\w+)(?:\{([^}]*)\})?", expression)
    ]
    assert len(named) > 25
    for name, selector in named:
        fixed = {k: v for k, v in re.findall(r'(\w+)="([^"$]+)"', selector) if k in ("route", "le")}
        assert [s for s in there if s.name == name and fixed.items() <= s.labels.items()], (name, fixed)


def test_every_series_of_the_service_is_in_the_list_of_the_documents(guarded: Guarded) -> None:
    text = (FOLDER.parents[1] / "docs" / "serving.md").read_text(encoding="utf-8")
    names = {re.sub(r"_(bucket|count|sum)$", "", sample.name) for sample in samples(guarded)}
    assert {name for name in names if name.startswith("react_ray_")} <= set(
        re.findall(r"react_ray_\w+", text)
    )


def test_drift_shows_when_other_texts_come_and_goes_when_they_are_gone(guarded: Guarded) -> None:
    def lengths() -> tuple[float, float]:
        found = {s.name: s.value for s in samples(guarded) if s.labels.get("of") == "lengths"}
        return found["react_ray_drift"], found["react_ray_drift_p_value"]

    known = [f"text {number}" for number in range(500)]  # what the reference was made from
    send(guarded, known * 2)
    assert lengths()[0] < 0.05
    send(guarded, ["a much longer text than any of those before"] * 500)
    index, p_value = lengths()
    assert index > 0.25
    assert p_value < 0.001
    send(guarded, known * 2)
    assert lengths()[0] < 0.05
