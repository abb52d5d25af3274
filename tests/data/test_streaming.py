"""Piles that do not fit into the chunks they are worked on in: nothing lost, nothing moved, memory flat."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from react_ray.config.settings import DataConfig
from react_ray.data.duplicates import PARTS, UNUSED, Keys
from react_ray.data.prepare import prepare
from react_ray.data.shards import text_id
from react_ray.tasks import DEFAULT_TASK

LABELLED = [("match today", "sport"), ("share price", "money")]


def tiny_chunks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("react_ray.data.read.BATCH_ROWS", 6)
    patch.setattr("react_ray.data.duplicates.FILE_ROWS", 9)
    patch.setattr("react_ray.data.verdicts.WINDOW", 5)


def write_pile(folder: Path) -> list[tuple[str, list[str | None]]]:
    """Files of each kind, with copies inside of files and across; file name -> texts (None: broken)."""
    (folder / "pile").mkdir(parents=True)
    random = np.random.default_rng(0)
    piles: list[tuple[str, list[str | None]]] = []
    for number, ending in enumerate(("csv", "jsonl", "parquet", "csv")):
        texts: list[str | None] = [f"text {n}" for n in random.integers(400, size=150)]
        texts[7], texts[20], texts[99] = "", "long " * 20, "match today"
        if ending != "parquet":
            texts[50] = None
        piles.append((f"{number}.{ending}", texts))
    for name, texts in piles:
        path = folder / "pile" / name
        if name.endswith("parquet"):
            pd.DataFrame({"text": texts}).to_parquet(path, index=False)
        elif name.endswith("csv"):
            path.write_text("text,n\n" + "".join("broken\n" if t is None else f"{t},1\n" for t in texts))
        else:
            path.write_text(
                "".join("{broken\n" if t is None else json.dumps({"text": t}) + "\n" for t in texts)
            )
    pd.DataFrame(LABELLED, columns=["text", "label"]).to_csv(folder / "labeled.csv", index=False)
    return piles


def run(folder: Path, output: str, **settings: Any) -> dict[str, Any]:
    out = folder / output
    out.mkdir()
    config = {"labeled": str(folder / "labeled.csv"), "unlabeled": str(folder / "pile"), "max_chars": 80}
    return prepare(DataConfig(**{**config, **settings}), out, task=DEFAULT_TASK)


def test_every_row_of_every_file_is_accounted_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_chunks(monkeypatch)
    piles = write_pile(tmp_path)
    summary = run(tmp_path, "out", pool=100)
    rows = pq.read_table(tmp_path / "out" / "rows.parquet").to_pandas()
    refused = [json.loads(line) for line in (tmp_path / "out" / "refused.jsonl").open()]
    usable = [t for _, texts in piles for t in texts if t and len(t) <= 80 and t != "match today"]
    distinct = list(dict.fromkeys(usable))
    assert summary["parts"]["unlabeled"] == 100
    assert summary["unused"] == len(distinct) - 100
    assert summary["refused"]["duplicate"] == len(usable) - len(distinct)
    assert summary["refused"]["also labelled"] == 4
    for file in summary["files"]:
        name = Path(file["file"]).name
        assert file["read"] == file["rows"] + file["unused"] + file["refused"]
        assert file["read"] == (2 if name == "labeled.csv" else 150)
        assert file["refused"] == sum(Path(row["file"]).name == name for row in refused)
        assert file["rows"] == sum(Path(path).name == name for path in rows["file"])
    places = [(Path(row["file"]).name, row["row"]) for row in refused]
    assert places == sorted(places), "the list is in the order of files and rows"
    pool = [text for text in distinct if text in set(rows["text"])]
    assert rows["text"].tolist() == ["match today", "share price", *pool], "in the order of files and rows"
    assert set(pool) == set(sorted(distinct, key=text_id)[:100])


def test_a_copy_names_the_first_row_with_its_text_in_whatever_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_chunks(monkeypatch)
    piles = write_pile(tmp_path)
    run(tmp_path, "out")
    first: dict[str, tuple[str, int]] = {}
    expected = []
    for name, texts in piles:
        for row, text in enumerate(texts, start=1):
            if not text or len(text) > 80 or text == "match today":
                continue
            if text in first:
                expected.append((name, row, f"{first[text][0]}, row {first[text][1]}"))
            first.setdefault(text, (name, row))
    refused = [json.loads(line) for line in (tmp_path / "out" / "refused.jsonl").open()]
    found = [
        (Path(row["file"]).name, row["row"], row["reason"].rpartition("/")[2])
        for row in refused
        if row["reason"].startswith("duplicate: the same text is ")
    ]
    assert found == expected
    assert len({name for name, _, kept in found if name != kept.split(",")[0]}) == 3, "copies of other files"


def test_the_size_of_chunks_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pile(tmp_path)
    whole = run(tmp_path, "whole", pool=150)
    tiny_chunks(monkeypatch)
    assert run(tmp_path, "tiny", pool=150) == whole
    for name in ("rows.parquet", "refused.jsonl", "labels.json", "summary.json"):
        assert (tmp_path / "tiny" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_memory_does_not_grow_with_the_pile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's and numpy's; Arrow's holds a row group."""
    monkeypatch.setattr("react_ray.data.read.BATCH_ROWS", 200)
    monkeypatch.setattr("react_ray.data.lines.CHUNK_BYTES", 4096)
    monkeypatch.setattr("react_ray.data.duplicates.FILE_ROWS", 500)
    monkeypatch.setattr("react_ray.data.verdicts.WINDOW", 500)
    peaks = {}
    for rows in (1_000, 8_000):
        folder = tmp_path / str(rows)
        (folder / "pile").mkdir(parents=True)
        pd.DataFrame(LABELLED, columns=["text", "label"]).to_csv(folder / "labeled.csv", index=False)
        texts = [f"text {n % (rows * 9 // 10)}" for n in range(rows)]  # one in ten is a copy
        pd.DataFrame({"text": texts}).to_csv(folder / "pile" / "a.csv", index=False)
        run(folder, "warm", pool=100)
        tracemalloc.start()
        run(folder, "out", pool=100)
        peaks[rows] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[8_000] - peaks[1_000] < 40 * 7_000, peaks


@pytest.mark.parametrize("rows", [0, 1, 40, 700])
def test_keys_find_copies_and_draw_the_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """Against a plain reckoning, with more files than rows and fewer."""
    monkeypatch.setattr("react_ray.data.duplicates.FILE_ROWS", 30)
    random = np.random.default_rng(rows)
    texts = [f"text {n}" for n in random.integers(max(1, rows // 2), size=rows)]
    parts = random.choice(4, size=rows, p=[0.1, 0.1, 0.1, 0.7]).astype(np.int8)
    keys = Keys(tmp_path / "keys", rows)
    for start in range(0, rows, 100):
        here = np.arange(start, min(start + 100, rows))
        keys.add(
            [text_id(texts[n]) for n in here], here, here + 1, parts[here], np.zeros(len(here), np.uint64)
        )
    verdict = keys.deduplicate(pool=20)
    kept = {}
    for place in sorted(range(rows), key=lambda n: (parts[n], n)):
        kept.setdefault(texts[place], place)
    pool = sorted(
        (n for n in kept.values() if PARTS[parts[n]] == "unlabeled"), key=lambda n: text_id(texts[n])
    )
    fates = {place: int(parts[place]) for place in kept.values()} | dict.fromkeys(pool[20:], UNUSED)
    assert {n: int(fate) for n, fate in enumerate(verdict.status) if n in fates} == fates
    copies = [(n, kept[texts[n]]) for n in range(rows) if n not in fates]
    assert list(zip(verdict.copies["place"], verdict.copies["kept_place"], strict=True)) == copies
    assert Counter(verdict.copies["row"] - verdict.copies["place"]) in ({}, {1: len(copies)})
    assert list((tmp_path / "keys").iterdir()) == [], "nothing is left on disk"
