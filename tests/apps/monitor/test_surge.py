"""Detection of surges: stated false alarms, and alarms where texts surge."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from react_ray.apps.monitor.evaluate import OURS, load_config, measure
from react_ray.apps.monitor.settings import SurgeSettings
from react_ray.apps.monitor.surge import Counts, Detector, alarms_a_month, expected, onsets, scan
from react_ray.cli import main
from react_ray.errors import InputError

SETTINGS = SurgeSettings(simulations=60)


def draw_counts(days: int, seed: int = 0, per_day: float = 20.0, per: int = 1) -> Counts:
    """Texts of a weekly rhythm, a third of them negative; a bucket is more spread than a Poisson count."""
    draw = np.random.default_rng(seed)
    rhythm = np.where(np.arange(days * per) // per % 7 < 5, 1.3, 0.25)
    total = draw.poisson(draw.gamma(5, per_day / per / 5, days * per) * rhythm).astype(float)
    return Counts(total, draw.binomial(total.astype(int), 0.33).astype(float), per)


@pytest.mark.parametrize("per", [1, 24])
@pytest.mark.parametrize("rate", [1.0, 3.0])
def test_false_alarms_are_as_stated(rate: float, per: int) -> None:
    days = 365 if per == 1 else 60
    settings = SETTINGS.model_copy(update={"history": 28})
    found = []
    for seed in range(6):
        counts = draw_counts(2 * days, seed, per_day=20.0 * (1 if per == 1 else 12), per=per)
        detector = Detector.fit(counts[: days * per], settings, rate)
        assert detector is not None
        found.append(alarms_a_month(detector.statistic(counts)[days * per :] > 1, settings.quiet, per))
    assert rate / 2 < np.mean(found) < rate * 2


@pytest.mark.parametrize("per_day", [0.5, 2.0])
def test_few_negative_texts_raise_no_alarm(per_day: float) -> None:
    every, enough = [], []
    for seed in range(6):
        counts = draw_counts(730, seed, per_day)
        detector = Detector.fit(counts[:365], SETTINGS, 1.0)
        assert detector is not None
        lower = replace(detector, settings=SETTINGS.model_copy(update={"min_texts": 1}))
        every.append(alarms_a_month(lower.statistic(counts)[365:] > 1, SETTINGS.quiet, 1))
        enough.append(alarms_a_month(detector.statistic(counts)[365:] > 1, SETTINGS.quiet, 1))
        windows = detector.windows(counts)
        for width, place in np.argwhere(windows > 1):
            assert counts.negative[place - width : place + 1].sum() >= SETTINGS.min_texts
    assert 0.5 < np.mean(every) < 2
    assert all(few <= many for few, many in zip(enough, every, strict=True))
    assert np.mean(enough) < 0.8 * np.mean(every)


def test_a_weekday_is_expected_to_be_as_its_weekdays_before() -> None:
    level, share = expected(draw_counts(200), SETTINGS)
    assert (
        level[150:].reshape(-1)[np.arange(150, 200) % 7 < 5].mean()
        > 3 * level[150:][np.arange(150, 200) % 7 >= 5].mean()
    )
    assert abs(share[150:].mean() - 0.33) < 0.03


@pytest.mark.parametrize("kind", ["more texts", "a larger share"])
def test_a_surge_is_found_and_what_it_was_expected_to_be_is_named(kind: str) -> None:
    counts = draw_counts(300)
    detector = Detector.fit(counts[:200], SETTINGS, 1.0)
    assert detector is not None
    total, negative = counts.total.copy(), counts.negative.copy()
    if kind == "more texts":
        total[250:254] *= 4
        negative[250:254] *= 4
    else:
        negative[250:254] = total[250:254] * 0.9
    surged = Counts(total, negative)
    assert detector.statistic(counts)[253] <= 1
    assert detector.statistic(surged)[253] > 1
    level, share = expected(surged, SETTINGS)
    assert level[253] < negative[253]
    assert 0.2 < share[253] < 0.5


def test_what_comes_later_changes_no_alarm() -> None:
    counts = draw_counts(300)
    detector = Detector.fit(counts[:150], SETTINGS, 1.0)
    assert detector is not None
    np.testing.assert_allclose(detector.statistic(counts)[:200], detector.statistic(counts[:200]))


def test_a_short_history_has_no_detector_and_an_empty_one_no_alarm() -> None:
    assert Detector.fit(draw_counts(20), SETTINGS, 1.0) is None
    nothing = Counts(np.zeros(200), np.zeros(200))
    detector = Detector.fit(nothing, SETTINGS, 1.0)
    assert detector is not None
    assert np.isfinite(detector.statistic(nothing)).all()
    assert (detector.statistic(nothing) <= 1).all()


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=30), st.integers(1, 9))
def test_the_scan_is_the_largest_of_all_sums(values: list[float], longest: int) -> None:
    found = scan(np.array(values), longest)
    padded = [0.0] * longest + values  # before the first bucket there is nothing
    for place in range(len(values)):
        end = longest + place + 1
        sums = [sum(padded[end - width : end]) / width**0.5 for width in range(1, longest + 1)]
        assert found[place] == pytest.approx(max(sums), abs=1e-9)


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 6))
def test_an_alarm_is_not_repeated_while_it_lasts(over: list[bool], quiet: int) -> None:
    found = onsets(np.array(over, bool), quiet).tolist()
    for place, begins in enumerate(found):
        assert begins == (over[place] and not any(over[max(0, place - quiet) : place]))


def test_evaluation_compares_all_methods_at_equal_false_alarms(tmp_path: Path) -> None:
    counts = draw_counts(400, per_day=8)
    first = np.datetime64("2023-01-01")
    rows = [
        {"time": str(first + day), "label": "neg" if number < counts.negative[day] else "pos"}
        for day in range(len(counts))
        for number in range(int(counts.total[day]))
    ]
    pd.DataFrame([*rows, {"time": "never", "label": "neg"}]).to_csv(tmp_path / "rows.csv", index=False)
    words = ["monitor", "evaluate", "--input", tmp_path / "rows.csv", "--output", tmp_path, "--quiet"]
    words += ["repetitions=60", "surge.simulations=40", "sizes=[1,3]"]
    assert main([str(word) for word in words]) == 0
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["rejected"] == 1
    assert found["rows"] == len(rows)
    names = {OURS, "fixed_count", "fixed_share", "z_count", "z_share"}
    assert found["delay"].keys() == found["false_alarms_per_month"].keys() == names
    assert all(0 < rate <= 1 for rate in found["false_alarms_per_month"].values())
    for name in (OURS, "fixed_count"):
        sizes = found["equal_false_alarms"][name]["sizes"]
        assert 1 <= sizes["3"]["delay"] <= sizes["1"]["delay"] <= 8
    assert found["delay"][OURS] < found["delay"]["fixed_count"], "with a rhythm of the week"
    assert found["equal_false_alarms"][OURS]["sizes"]["1"]["interval"] == [0.0, 0.0]


def test_evaluation_is_repeatable_and_needs_time() -> None:
    config = load_config((), {"repetitions": 10, "surge": {"simulations": 20}})
    counts = draw_counts(200)
    assert measure(counts, config) == measure(counts, config)
    with pytest.raises(InputError, match="the rows span 50 days; at least 68 are needed"):
        measure(counts[:50], config)
    with pytest.raises(InputError, match=r"^days=100: .* days=99 at most"):
        measure(counts, config.model_copy(update={"days": 100}))
    assert measure(counts, config.model_copy(update={"days": 99, "sizes": (1.0,)}))["days"] == 99
