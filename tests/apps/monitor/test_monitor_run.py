"""react-ray monitor run: each item once, with its label, whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from tiny_opinions import make_items, run_and_kill, write_jsonl

from react_ray.apps.monitor.query import Selection, names, texts, trends
from react_ray.apps.monitor.run import load_config, run
from react_ray.apps.monitor.store import Store
from react_ray.cli import main
from react_ray.errors import ConfigError, InputError


def follow(model: Path, input: Path, folder: Path, **settings: Any) -> Store:
    run(load_config((), {"sentiment": str(model), **settings}), input, folder, until_end=True, quiet=True)
    return Store(folder)


def counted(store: Store) -> Counter[str]:
    found: Counter[str] = Counter()
    for bucket in trends(store, Selection()):
        found.update({label: one["count"] for label, one in bucket["labels"].items()})
    return found


def closed(store: Store) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in store.rows("SELECT bucket, source, total, negative FROM closed")]


def wanted(items: list[dict[str, Any]]) -> Counter[str]:
    return Counter({"good": "positive", "bad": "negative"}[item["text"]] for item in items)


def test_a_stream_is_labelled_and_counted_by_day(opinions: Path, subjects: Path, tmp_path: Path) -> None:
    items = make_items(12)
    store = follow(
        opinions, write_jsonl(tmp_path / "in.jsonl", items), tmp_path / "store", topic=str(subjects)
    )
    assert counted(store) == wanted(items)
    assert names(store) == {
        "topic": ["complaint", "praise"],
        "source": ["forum", "shop"],
        "sentiment": ["negative", "positive"],
    }
    day = trends(store, Selection(source="forum"))[3]
    assert day["start"] == "2024-01-04T00:00:00Z"
    for one in day["labels"].values():
        assert 0 <= one["low"] <= one["share"] == one["count"] / day["total"] <= one["high"] <= 1
        assert one["low"] < one["high"]
    # the last day is open: later items may come
    assert sum(row[2] for row in closed(store)) == 11 * 4
    shown = texts(store, Selection(sentiment="negative", source="shop"), 2)
    assert [(one["text"], one["topic"]) for one in shown] == [("bad", "complaint")] * 2


def test_days_are_files_that_any_program_reads(opinions: Path, tmp_path: Path) -> None:
    items = make_items(5)
    store = follow(opinions, write_jsonl(tmp_path / "in.jsonl", items), tmp_path / "store")
    found = duckdb.sql(
        f"SELECT day, count(*) FROM '{store.folder}/items/*/*.parquet' GROUP BY day"
    ).fetchall()
    assert sorted((str(day), count) for day, count in found) == [
        (f"2024-01-0{day}", 4) for day in range(1, 6)
    ]
    assert {path.stat().st_mode & 0o077 for path in store.folder.rglob("*.parquet")} == {0}
    assert (store.folder / "journal.sqlite3").stat().st_mode & 0o077 == 0


def test_an_item_that_comes_again_is_not_counted_again(opinions: Path, tmp_path: Path) -> None:
    items = make_items(4)
    path = write_jsonl(tmp_path / "in.jsonl", [*items, *items[:5]])
    follow(opinions, path, tmp_path / "store")
    write_jsonl(path, [items[0], {**items[1], "id": "new", "time": "2024-01-09"}], "a")
    store = follow(opinions, path, tmp_path / "store")
    assert sum(counted(store).values()) == len(items) + 1
    path.unlink()
    write_jsonl(path, items)  # another file of the same name
    assert sum(counted(follow(opinions, path, tmp_path / "store")).values()) == len(items) + 1


@pytest.mark.parametrize("last_line", [False, True])
def test_half_a_line_waits_for_its_rest(tmp_path: Path, last_line: bool) -> None:
    from react_ray.apps.monitor.chunk import Reading
    from react_ray.apps.monitor.feed import Feed
    from react_ray.apps.monitor.store import Place

    path = tmp_path / "in.jsonl"
    line = json.dumps({"id": "1", "text": "太慢了", "time": 1714521600}, ensure_ascii=False).encode()
    path.write_bytes(line + b"\n" + line[:20])
    feed = Feed(path, Reading())
    chunks = list(feed.chunks(Place("f"), path, last_line))
    assert [item.text for chunk in chunks for item in chunk.items] == ["太慢了"]
    assert not any(chunk.rejections for chunk in chunks)
    with path.open("ab") as file:
        file.write(line[20:] + b"\n" + line)
    chunks = list(feed.chunks(chunks[-1].place, path, last_line))
    assert [item.id for chunk in chunks for item in chunk.items] == ["1"] * (1 + last_line)


def test_files_of_the_same_days_are_counted_in_any_order(opinions: Path, tmp_path: Path) -> None:
    items = make_items(12)
    folder = tmp_path / "in"
    folder.mkdir()
    for source in ("forum", "shop"):
        rows = [item for item in reversed(items) if item["source"] == source]  # the newest first
        pd.DataFrame(rows).to_csv(folder / f"{source}.csv", index=False)
    store = follow(opinions, folder, tmp_path / "store", batch=4)
    assert sum(row[2] for row in closed(store)) == 11 * 4


def test_a_file_that_grows_does_not_keep_others_waiting(tmp_path: Path) -> None:
    from react_ray.apps.monitor.chunk import Reading
    from react_ray.apps.monitor.feed import Feed
    from react_ray.apps.monitor.store import Place

    for name in "ab":
        write_jsonl(tmp_path / f"{name}.jsonl", make_items(1))
    seen = []
    for chunks in Feed(tmp_path, Reading(rows=1)).read(Place, until_end=False):
        seen += [Path(chunk.place.file).name for chunk in chunks]
        write_jsonl(tmp_path / "a.jsonl", make_items(1), "a")
        assert len(seen) < 20, "the first file is read for ever"
    assert set(seen) == {"a.jsonl", "b.jsonl"}


def test_a_late_item_is_in_the_trend_and_in_no_closed_count(opinions: Path, tmp_path: Path) -> None:
    items = make_items(6)
    late = {"id": "late", "text": "bad", "time": "2024-01-02T05:00:00Z"}
    path = write_jsonl(tmp_path / "in.jsonl", items)
    before = closed(follow(opinions, path, tmp_path / "store"))
    write_jsonl(path, [late], "a")
    store = follow(opinions, path, tmp_path / "store")
    assert closed(store) == before
    assert trends(store, Selection())[1]["total"] == 5
    assert counted(store) == wanted([*items, late])


def test_order_within_the_lateness_changes_nothing(opinions: Path, tmp_path: Path) -> None:
    items = make_items(8, per_day=6)
    mixed = [*items[6:12], *items[:6], *items[18:24], *items[12:18], *items[24:]]
    found = []
    for name, rows in (("in order", items), ("mixed", mixed)):
        path = write_jsonl(tmp_path / f"{name}.jsonl", rows)
        found.append(closed(follow(opinions, path, tmp_path / name, lateness_hours=48.0, batch=3)))
    assert found[0] == found[1]
    assert found[0]


def test_columns_and_formats(opinions: Path, tmp_path: Path) -> None:
    items = make_items(3)
    folder = tmp_path / "in"
    folder.mkdir()
    frame = pd.DataFrame(items).rename(columns={"text": "post", "time": "date"})
    frame[:4].to_csv(folder / "a.csv", index=False)
    frame[4:8].to_parquet(folder / "b.parquet")
    write_jsonl(folder / "c.jsonl", frame[8:].to_dict("records"))
    words = ["monitor", "run", "--sentiment", opinions, "--input", folder, "--store", tmp_path / "store"]
    words += ["--until-end", "--column", "text=post", "--column", "time=date", "--quiet"]
    for _ in range(2):
        assert main([str(word) for word in words]) == 0
    assert counted(Store(tmp_path / "store")) == wanted(items)


def test_bad_rows_are_set_aside_with_a_reason_and_without_their_text(opinions: Path, tmp_path: Path) -> None:
    good = make_items(1)
    bad = [
        {"id": "x", "time": "2024-01-01"},
        {"id": "x", "text": "secret", "time": "yesterday"},
        {"id": "x", "text": "secret"},
        {"text": "secret", "time": "2024-01-01"},
        {"id": "x", "text": "secret", "time": "2090-01-01"},
        {"id": "x", "text": "secret", "time": 10**400},
        {"id": "x", "text": "secret", "time": 2024},
    ]
    path = write_jsonl(tmp_path / "in.jsonl", [*good, *bad])
    with path.open("a") as file:
        file.write("{not json\n[1]\n" + '"' + "x" * (1 << 20) + '"\n')
    write_jsonl(path, [{**good[0], "id": "last"}], "a")
    store = follow(opinions, path, tmp_path / "store")
    assert sum(counted(store).values()) == len(good) + 1
    kinds = [row["reason"].split(":")[0] for row in store.rows("SELECT reason FROM rejected ORDER BY row")]
    assert kinds == [
        *("no text", "not a time", "no time", "no id", "time ahead", "not a time", "not a time"),
        *("not JSON", "not an object", "too long"),
    ]
    assert not any("secret" in row["reason"] for row in store.rows("SELECT reason FROM rejected"))


def test_a_table_that_grows_is_rejected_row_by_row_once(opinions: Path, tmp_path: Path) -> None:
    path, rows = tmp_path / "in.csv", make_items(1, per_day=3)
    for count in (1, 2):
        bad = [{**rows[0], "id": f"bad-{number}", "time": "never"} for number in range(count)]
        pd.DataFrame([*rows, *bad]).to_csv(path, index=False)
        result = run(
            load_config((), {"sentiment": str(opinions), "batch": 2}),
            path,
            tmp_path / "store",
            until_end=True,
            quiet=True,
        )
        assert result.rejected == count
        kept = Store(tmp_path / "store").rows("SELECT file, row FROM rejected ORDER BY row")
        assert [tuple(row) for row in kept] == [(str(path), number) for number in range(4, 4 + count)]
    pd.DataFrame(rows).to_csv(path, index=False)
    assert follow(opinions, path, tmp_path / "store").rejected() == 0
    assert sum(counted(Store(tmp_path / "store")).values()) == len(rows)


def test_a_second_owner_and_changed_buckets_are_refused(opinions: Path, tmp_path: Path) -> None:
    from react_ray.apps.monitor.store import owner_of

    path = write_jsonl(tmp_path / "in.jsonl", make_items(2))
    with owner_of(tmp_path / "store"), pytest.raises(InputError, match="another process works on this store"):
        follow(opinions, path, tmp_path / "store")
    follow(opinions, path, tmp_path / "store")
    with pytest.raises(ConfigError, match="was made with bucket=day"):
        follow(opinions, path, tmp_path / "store", bucket="hour")
    with pytest.raises(InputError, match="--negative bearish: the labels are positive, negative"):
        follow(opinions, path, tmp_path / "other", negative="bearish")


def test_a_folder_is_followed_until_it_is_stopped(opinions: Path, tmp_path: Path) -> None:
    items = make_items(4)
    folder = tmp_path / "in"
    folder.mkdir()
    path = write_jsonl(folder / "a.jsonl", items[:5])
    words = ["monitor", "run", "--sentiment", opinions, "--input", folder, "--store", tmp_path / "store"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "react_ray.cli", *map(str, words), "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            wait_for_items(tmp_path / "store", 5)
            write_jsonl(path, items[5:9], "a")
            write_jsonl(folder / "b.jsonl", items[9:])
            wait_for_items(tmp_path / "store", len(items))
        finally:
            process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert "new items: 16; in the store: 16" in output
    assert counted(Store(tmp_path / "store")) == wanted(items)


def wait_for_items(folder: Path, count: int) -> None:
    end = time.monotonic() + 120
    while not (folder / "journal.sqlite3").exists() or sum(counted(Store(folder)).values()) < count:
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.1)


def test_a_killed_process_loses_and_doubles_nothing(opinions: Path, tmp_path: Path) -> None:
    items = make_items(20, per_day=10)
    path = write_jsonl(tmp_path / "in.jsonl", [*items, *items[::7]])
    run_and_kill(opinions, path, tmp_path / "store", len(items) + len(items[::7]))
    store = Store(tmp_path / "store")
    ids = [one["id"] for one in texts(store, Selection(), 10_000)]
    assert sorted(ids) == sorted(item["id"] for item in items)
    assert counted(store) == wanted(items)
    untouched = follow(opinions, path, tmp_path / "untouched", lateness_hours=0.0)
    assert closed(store) == closed(untouched)
    listed = {row["file"] for row in store.rows("SELECT file FROM days")}
    assert listed == {str(p.relative_to(store.folder)) for p in store.folder.rglob("*.parquet")}
