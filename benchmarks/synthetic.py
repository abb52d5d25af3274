"""Made-up short texts of any number, streamed to disk, with all that real piles have wrong with them.

Six topics of ten words each among filler words. Some rows are copies of rows in the same file or in another
one, blank, too long or broken. How many of each there are is known, file by file: a run must find the same.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

__all__ = [
    "MAX_CHARS",
    "TOPICS",
    "Pile",
    "make_pile",
    "make_rows",
    "make_texts",
    "vocabulary",
    "write_labelled",
]

TOPICS = {
    "sport": "match goal team coach league player score season cup win",
    "money": "bank stock profit market trade share price fund loan tax",
    "weather": "rain cloud storm sunny wind snow cold heat fog frost",
    "kitchen": "bread oven soup onion butter salt recipe taste dinner sauce",
    "travel": "train ticket hotel beach flight luggage island museum harbour guide",
    "music": "guitar singer album concert drum melody chorus piano stage band",
}
FILLER = [
    f"{a}{b}{c}" for a in ("ba", "do", "ki", "lu", "me") for b in "nrst" for c in ("a", "el", "in", "o")
]
"""Words that say nothing of a topic."""
MAX_CHARS = 1000
"""Setting data.max_chars of the runs: rows of more are too long."""
WORDS = (12, 24)
OWN = 8
"""Words of its topic in a text."""
CHUNK = 50_000
SHARED = 1000
"""Rows at the start of the first file that others have copies of."""
COPIES, SHARED_COPIES, BLANK, LONG, BROKEN = 0.02, 0.01, 0.005, 0.001, 0.001
SUFFIXES = (".parquet", ".csv", ".jsonl")
LABELLED, TEST = 20, 100
"""Rows a topic."""


@dataclass(frozen=True)
class Pile:
    """A folder of input: labelled and test rows, the shards in ``pile``, and what is in them."""

    folder: Path
    rows: int

    @property
    def flags(self) -> list[str]:
        """The options of ``react-ray run``."""
        names = {"labeled": "labeled.csv", "unlabeled": "pile", "test": "test.csv"}
        flags = [word for name, path in names.items() for word in (f"--{name}", str(self.folder / path))]
        return [*flags, f"data.max_chars={MAX_CHARS}"]

    @property
    def files(self) -> dict[str, dict[str, int]]:
        """File name -> rows of each kind in it: rows, duplicate, empty text, too long, broken."""
        files: dict[str, dict[str, int]] = json.loads((self.folder / "made.json").read_text())["files"]
        return files

    @property
    def bytes(self) -> int:
        """Size of the shards."""
        return sum(path.stat().st_size for path in (self.folder / "pile").iterdir())


def make_pile(folder: Path, rows: int, shards: int = 12, seed: int = 0) -> Pile:
    """Write the pile, or find it: ``made.json`` is there when it is whole."""
    if not (folder / "made.json").exists():
        (folder / "pile").mkdir(parents=True, exist_ok=True)
        for name, each, number in (("labeled", LABELLED, -1), ("test", TEST, -2)):
            write_labelled(folder / f"{name}.csv", each, seed, number)
        sizes = [len(part) for part in np.array_split(np.empty(rows, bool), shards)]
        shared = _texts(_random(seed, 0, 0), min(SHARED, sizes[0]))[0]
        files = {}
        for number, size in enumerate(sizes):
            path = folder / "pile" / f"part-{number:03d}{SUFFIXES[number % len(SUFFIXES)]}"
            files[path.name] = _write_shard(path, size, seed, number, shared)
        content = {"rows": rows, "seed": seed, "files": files}
        (folder / "made.json").write_text(json.dumps(content, indent=1))
    return Pile(folder, rows)


def make_texts(rows: int, seed: int) -> pa.Array:
    """Distinct texts."""
    return _texts(_random(seed, 0, 0), rows)[0]


def make_rows(rows: int, seed: int) -> pa.Table:
    """Distinct texts (column text), each with its topic."""
    texts, topics = _texts(_random(seed, 0, 0), rows)
    return pa.table({"text": texts, "topic": pa.array(list(TOPICS)).take(pa.array(topics))})


def _random(seed: int, shard: int, chunk: int) -> np.random.Generator:
    return np.random.default_rng([seed, shard + 2, chunk])


def _texts(random: np.random.Generator, count: int) -> tuple[pa.Array, np.ndarray]:
    """Distinct texts (so many words in any order are never the same twice), and their topics."""
    topic = random.integers(len(TOPICS), size=count)
    length = random.integers(*WORDS, size=count)
    own = pa.array(" ".join(TOPICS.values()).split())
    words = []
    for place in range(WORDS[1] - 1):
        drawn = pa.array(FILLER).take(pa.array(random.integers(len(FILLER), size=count)))
        if place < OWN:
            drawn = own.take(pa.array(topic * 10 + random.integers(10, size=count)))
        words.append(pc.if_else(pa.array(place < length), drawn, None))
    return pc.binary_join_element_wise(*words, " ", null_handling="skip"), topic


def write_labelled(path: Path, each: int, seed: int, number: int) -> None:
    """``each`` rows a topic with its label, as csv; others for each ``number`` below 0."""
    texts, topics = _texts(_random(seed, number, 0), each * len(TOPICS) * 3)
    names = list(TOPICS)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for topic in range(len(TOPICS)):
            rows = np.flatnonzero(topics == topic)[:each].tolist()
            writer.writerows([texts[row].as_py(), names[topic]] for row in rows)


def _write_shard(path: Path, rows: int, seed: int, shard: int, shared: pa.Array) -> dict[str, int]:
    counts = dict.fromkeys(("rows", "duplicate", "empty text", "too long", "broken"), 0)
    half = path.with_name(f".{path.name}.half")
    with _Writer(path.suffix, half) as writer:
        for chunk, start in enumerate(range(0, rows, CHUNK)):
            random = _random(seed, shard, chunk)
            first = shard == chunk == 0
            texts, topics = _texts(random, min(CHUNK, rows - start))
            texts, broken = _spoil(random, texts, shared, len(shared) if first else 0, counts)
            writer.write(texts, np.array(list(TOPICS))[topics], broken, shard * 10**8 + start)
    half.replace(path)
    return counts


def _spoil(
    random: np.random.Generator, texts: pa.Array, shared: pa.Array, keep: int, counts: dict[str, int]
) -> tuple[pa.Array, np.ndarray]:
    """Spoil some rows behind the first ``keep``, which are the shared ones.

    Returns the texts (None: blank), and which rows are to be broken.
    """
    count = len(texts)
    order = keep + random.permutation(count - keep)
    shares = np.cumsum([COPIES, SHARED_COPIES, BLANK, LONG, BROKEN])
    copies, others, blank, long, broken, whole = np.split(
        order, np.round(shares * (count - keep)).astype(int)
    )
    source = np.arange(count)
    source[:keep] = count + np.arange(keep)
    source[copies] = random.choice(whole, len(copies)) if len(whole) else copies
    source[others] = count + random.integers(len(shared), size=len(others))
    texts = pa.concat_arrays([texts, shared]).take(pa.array(source))
    marks = np.zeros(count, np.int8)
    marks[blank], marks[long], marks[broken] = 1, 2, 3
    texts = pc.if_else(pa.array(marks == 1), None, texts)
    texts = pc.if_else(pa.array(marks == 2), pa.scalar("long " * (MAX_CHARS // 5 + 1)), texts)
    kinds = (copies, blank, long, broken)
    for name, found in zip(("duplicate", "empty text", "too long", "broken"), kinds, strict=True):
        counts[name] += len(found)
    counts["duplicate"] += len(others)
    counts["rows"] += count
    return texts, marks == 3


class _Writer:
    """A shard in the making: columns key, text, topic."""

    def __init__(self, suffix: str, path: Path):
        self.suffix, self.path = suffix, path
        self.schema = pa.schema({"key": pa.string(), "text": pa.binary(), "topic": pa.string()})

    def __enter__(self) -> _Writer:
        if self.suffix == ".parquet":
            self.parquet = pq.ParquetWriter(self.path, self.schema)
        else:
            self.file = self.path.open("w", newline="")
        if self.suffix == ".csv":
            self.file.write("key,text,topic\n")
        return self

    def __exit__(self, *_: object) -> None:
        (self.parquet if self.suffix == ".parquet" else self.file).close()

    def write(self, texts: pa.Array, topics: np.ndarray, broken: np.ndarray, start: int) -> None:
        keys = [f"{key:012d}" for key in range(start, start + len(texts))]  # in the order of files and rows
        if self.suffix == ".parquet":  # broken: bytes that are not UTF-8
            texts = pc.if_else(pa.array(broken), pa.scalar(b"caf\xe9"), texts.cast(pa.binary()))
            self.parquet.write_table(pa.table([keys, texts, pa.array(topics)], schema=self.schema))
            return
        rows = zip(keys, texts.to_pylist(), topics.tolist(), broken.tolist(), strict=True)
        self.file.writelines(_csv(rows) if self.suffix == ".csv" else _jsonl(rows))


def _csv(rows: Any) -> Iterator[str]:
    for key, text, topic, broken in rows:
        yield f"{key},too few fields\n" if broken else f"{key},{text or ''},{topic}\n"


def _jsonl(rows: Any) -> Iterator[str]:
    for key, text, topic, broken in rows:
        line = json.dumps({"key": key, "text": text, "topic": topic})
        yield (line[:-5] if broken else line) + "\n"


def vocabulary() -> list[str]:
    """The words of the pile and of the sentences that names of classes are read in."""
    prompts = "this is about a text the topic sentiment ."
    return " ".join([*TOPICS, *TOPICS.values(), *FILLER, prompts]).split()
