"""Items and interactions from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from react_ray import InputError
from react_ray.apps.recommend.read import Liked, read_interactions, read_items

ITEMS = "item,text,price\na,A story,3\nb,,x\nc,另一个故事,\na,Again,1\n,no id,1\nd,,2\n"
LOG = (
    "user,item,rating,time\n"
    "u,c,5,1700000030\nu,a,1,1700000010\nv,a,4,2024-05-01T12:00:00\nv,zz,4,5\nv,d,4,yesterday\n"
    ",a,3,1\nu,a,5,1700000020\n"
)


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_bad_items_are_set_aside_with_their_row_and_reason(tmp_path: Path) -> None:
    catalogue, rejected = read_items(write(tmp_path / "items.csv", ITEMS), {}, ["price"])
    assert catalogue.ids == ["a", "c", "d"]
    assert catalogue.texts == ["A story", "另一个故事", ""]
    assert catalogue.features[0, 0] == 3
    assert pd.isna(catalogue.features[1, 0])
    assert [(row["row"], row["reason"].partition(":")[0]) for row in rejected.rows] == [
        (2, "not a number"), (4, "duplicate item"), (5, "no item"),
    ]  # fmt: skip


def test_interactions_are_in_the_order_of_time_each_pair_once(tmp_path: Path) -> None:
    found, users, rejected = read_interactions(
        write(tmp_path / "log.csv", LOG), {}, ["a", "c", "d"], Liked(min_rating=4)
    )
    assert users == ["u", "v"]
    assert list(zip(found.user.tolist(), found.item.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 0)]
    assert found.positive.tolist() == [True, True, True]  # the user liked item a the second time
    assert found.time is not None
    assert found.time[2] == pd.Timestamp("2024-05-01T12:00:00Z").timestamp()
    kinds = {"unknown item": 1, "not a time": 1, "no user": 1}
    assert rejected.kinds == kinds
    assert rejected.rows[0]["row"] == 4


def test_events_decide_what_counts_as_liked(tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", "user,item,event\nu,a,view\nu,b,buy\n")
    found, _, _ = read_interactions(log, {}, ["a", "b"], Liked(events=["buy"]))
    assert {int(i): bool(p) for i, p in zip(found.item, found.positive, strict=True)} == {0: False, 1: True}
    with pytest.raises(InputError, match="no interaction counts as liked, of 2"):
        read_interactions(log, {}, ["a", "b"], Liked(events=["rent"]))


def test_without_times_the_seed_draws_the_order(tmp_path: Path) -> None:
    names = [str(number) for number in range(30)]
    log = write(tmp_path / "log.csv", "user,item\n" + "".join(f"u,{name}\n" for name in names))
    first, again, other = (read_interactions(log, {}, names, Liked(), seed)[0] for seed in (0, 0, 1))
    assert first.time is None
    assert first.item.tolist() == again.item.tolist() != other.item.tolist()


def test_times_of_some_rows_only_are_an_error(tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", "user,item,time\nu,a,1\nu,b,\n")
    with pytest.raises(InputError, match="1 of 2 interactions have no time"):
        read_interactions(log, {}, ["a", "b"], Liked())


@pytest.mark.parametrize(
    ("times", "order", "rejected"),
    [
        (["2024-05-01", "20240504", "2024-05-02"], "acb", 0),  # one notation, or another, of the same days
        (["20240504", "20240430", "20240502"], "bca", 0),
        (["2024-05-01", "2024", "1714694400"], "ac", 1),  # a year is no time; seconds are
        (["7", "2024", "20240532"], "abc", 0),  # numbers alone: an order
    ],
)
def test_the_column_says_what_its_times_are(
    tmp_path: Path, times: list[str], order: str, rejected: int
) -> None:
    rows = "".join(f"u,{item},{time}\n" for item, time in zip("abc", times, strict=True))
    log = write(tmp_path / "log.csv", f"user,item,time\n{rows}")
    found, _, bad = read_interactions(log, {}, list("abc"), Liked())
    assert "".join("abc"[item] for item in found.item) == order
    assert bad.kinds == ({"not a time": rejected} if rejected else {})
    assert found.time is not None
    assert (found.time.max() - found.time.min() <= 4 * 86_400) == (order != "abc")


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        ({"item": "\ud800", "text": "x"}, "not UTF-8"),
        ({"item": "b", "text": "\ud800"}, "not UTF-8"),
        ({"item": "b", "text": "x", "colour": "\ud800"}, "not UTF-8"),
        ({"item": "b", "text": "x", "price": 10**400}, "not a number"),
    ],
)
def test_cells_that_no_file_can_keep_are_rejected(tmp_path: Path, bad: dict[str, Any], kind: str) -> None:
    good = {"item": "a", "text": "x", "price": 1, "colour": "red"}
    path = write(tmp_path / "items.jsonl", f"{json.dumps(good)}\n{json.dumps(bad)}\n")
    catalogue, rejected = read_items(path, {}, ["price"], ["colour"])
    assert (catalogue.ids, rejected.kinds) == (["a"], {kind: 1})


def test_a_user_who_is_not_utf8_is_rejected(tmp_path: Path) -> None:
    rows = [{"user": user, "item": "a"} for user in ("u", "\udc9f")]
    log = write(tmp_path / "log.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    _, users, rejected = read_interactions(log, {}, ["a"], Liked())
    assert (users, rejected.kinds) == (["u"], {"not UTF-8": 1})


def test_parquet_with_other_names_of_columns(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    frame = pd.DataFrame(
        {"who": [1, 2], "item": [7.0, 8.0], "at": pd.to_datetime(["2024-01-02", "2024-01-01"])}
    )
    frame.to_parquet(path)
    found, users, _ = read_interactions(str(path), {"user": "who", "time": "at"}, ["7", "8"], Liked())
    assert users == ["1", "2"]
    assert found.item.tolist() == [0, 1]
