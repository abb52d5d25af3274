"""Alerts of closed buckets: surges by topic and source, drift, each once."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from react_ray.apps.monitor.items import DAY, Item
from react_ray.apps.monitor.settings import MonitorConfig
from react_ray.apps.monitor.store import Labelled, Store
from react_ray.apps.monitor.watch import Watcher

START = 1_704_067_200
CONFIG = MonitorConfig(sentiment="unused", lateness_hours=0, surge={"simulations": 40, "history": 28})


def feed(store: Store, days: range, per_day: int = 20, **surge: Any) -> None:
    """Items of two sources, a third negative; on the days of a surge most of the forum's are."""
    for day in days:
        draw = np.random.default_rng([day, 7])
        items, labels = [], []
        for number in range(int(draw.poisson(per_day))):
            source = "forum" if number % 2 else "shop"
            high = day in surge.get("on", ()) and source == surge.get("source", source)
            negative = draw.random() < (0.95 if high else 0.33)
            score = 0.3 if day in surge.get("unsure", ()) else 0.9
            items.append(Item(f"{day}-{number}", f"text {number}", START + day * DAY + number, source))
            labels.append(("negative" if negative else "positive", score))
        store.append(items)
        rows = store.unlabelled(10_000)
        store.label([Labelled(row["seq"], *label) for row, label in zip(rows, labels, strict=True)])


def alerts(store: Store) -> list[dict[str, Any]]:
    rows = store.rows("SELECT id, content FROM alerts ORDER BY bucket, topic, source")
    return [{"id": row["id"], **json.loads(row["content"])} for row in rows]


def test_a_surge_of_a_source_is_an_alert_of_that_source_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    watch = Watcher(store, CONFIG, "negative")
    feed(store, range(120), on=range(110, 116), source="forum", per_day=40)
    watch.close()
    feed(store, range(120, 122), per_day=40)
    watch.close()
    found = [one for one in alerts(store) if one["kind"] == "surge" and one["bucket"] >= START + 108 * DAY]
    assert "forum" in {one["source"] for one in found}
    assert "shop" not in {one["source"] for one in found}
    assert len({one["source"] for one in found}) == len(found), "one alert of each series"
    [forum] = [one for one in found if one["source"] == "forum"]
    assert START + 110 * DAY <= forum["bucket"] <= START + 112 * DAY
    assert forum["statistic"] > 1
    assert forum["count"] > forum["expected"]
    first = forum["bucket"] - (forum["buckets"] - 1) * DAY
    query = "SELECT sum(total), sum(negative) FROM closed WHERE source = 'forum' AND bucket BETWEEN ? AND ?"
    assert tuple(store.rows(query, [first, forum["bucket"]])[0]) == (forum["total"], forum["count"])
    assert forum["count"] / forum["total"] > forum["expected_share"]


@pytest.mark.parametrize(("texts", "found"), [(2, []), (8, [(8, 8)])])
def test_an_alert_rests_on_enough_negative_texts(
    tmp_path: Path, texts: int, found: list[tuple[int, int]]
) -> None:
    store = Store(tmp_path)
    items = [Item(f"{day}", "fine", START + day * DAY) for day in range(0, 120, 3)]
    items += [Item(f"bad-{number}", "bad", START + 115 * DAY + number) for number in range(texts)]
    store.append(sorted(items, key=lambda item: item.time))
    rows = store.unlabelled(1_000)
    store.label([Labelled(row["seq"], "negative" if row["text"] == "bad" else "positive", 1) for row in rows])
    Watcher(store, CONFIG, "negative").close()
    assert [(one["count"], one["total"]) for one in alerts(store)] == found


def test_alerts_do_not_depend_on_when_buckets_are_closed(tmp_path: Path) -> None:
    found = []
    for name, step in (("at once", 110), ("day by day", 10)):
        store = Store(tmp_path / name)
        for first in range(0, 110, step):
            feed(store, range(first, first + step), on=range(100, 106))
            Watcher(store, CONFIG, "negative").close()  # as after a restart
        found.append(alerts(store))
    assert found[0] == found[1]
    assert found[0]


def test_few_alerts_without_a_surge(tmp_path: Path) -> None:
    store = Store(tmp_path)
    feed(store, range(240), per_day=10)
    Watcher(store, CONFIG, "negative").close()
    assert len([one for one in alerts(store) if one["kind"] == "surge"]) <= 16, "8 months at 1 a month"
    assert not [one for one in alerts(store) if one["kind"] != "surge"]


@pytest.mark.parametrize("kind", ["unsure", "labels"])
def test_drift_is_an_alert(tmp_path: Path, kind: str) -> None:
    store = Store(tmp_path)
    days = range(150, 175)
    feed(store, range(175), per_day=10, **{"unsure" if kind == "unsure" else "on": days})
    Watcher(store, CONFIG, "negative").close()
    found = [one for one in alerts(store) if one["kind"] == kind]
    assert 1 <= len(found) <= 2
    assert found[0]["bucket"] >= START + 150 * DAY
    assert found[0]["statistic"] >= 0.2
    if kind == "unsure":
        assert not [one for one in alerts(store) if one["kind"] == "labels"]


def test_a_time_ahead_of_the_clock_closes_no_bucket_of_the_present(tmp_path: Path) -> None:
    store, now = Store(tmp_path), time.time()
    watch = Watcher(store, CONFIG.model_copy(update={"bucket": "hour"}), "negative")
    for item in (Item("ahead", "text", now + 23 * 3600), Item("current", "text", now)):
        store.append([item])
        store.label([Labelled(row["seq"], "negative", 0.9) for row in store.unlabelled(9)])
        assert 0 < watch.close() <= now
    assert store.rows("SELECT count(*) FROM items WHERE late")[0][0] == 0


def test_a_bucket_waits_for_its_labels(tmp_path: Path) -> None:
    store = Store(tmp_path)
    watch = Watcher(store, CONFIG, "negative")
    store.append([Item("a", "text", START), Item("b", "text", START + 2 * DAY)])
    assert watch.close() == 0
    store.label([Labelled(row["seq"], "negative", 0.9) for row in store.unlabelled(9)])
    assert watch.close() == START + 2 * DAY
    assert [tuple(row) for row in store.rows("SELECT bucket, total, negative FROM closed")] == [(START, 1, 1)]
