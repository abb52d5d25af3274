"""Records of requests and answers as parquet files by day: for audits, drift and training.

Files are ``FOLDER/date=YYYY-MM-DD/part-REPLICA-N.parquet``, readable by their owner only. They are
written by a thread; a request only appends its rows to a list of limited length, so a slow or full disk
loses rows (which are counted) but never affects an answer.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import threading
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from react_ray.folders import make_private_folder, replace_file

__all__ = ["Recorder"]

FLUSH_ROWS = 10_000
FLUSH_S = 60.0
MOST_ROWS, MOST_CHARS = 5 * FLUSH_ROWS, 32 << 20
"""Rows, and characters of their texts, in memory at a time; what comes on top is dropped."""

BEFORE = [("time", pa.timestamp("us", tz="UTC")), ("request_id", pa.string())]
BEHIND = [("label", pa.string()), ("score", pa.float32()), ("tokens", pa.int32())]
"""Columns before and behind the hashes of the inputs; the inputs themselves come last."""

logger = logging.getLogger("ray.serve")


class _Row(NamedTuple):
    time: datetime
    request_id: str
    hashes: tuple[str, ...]
    label: str
    score: float
    tokens: int
    inputs: tuple[str, ...]
    """Empty where they are not recorded."""


class Recorder:
    """Writer of the rows of one replica to ``folder``; ``dropped`` counts rows that were lost.

    ``names`` are the columns that identify an input.
    """

    def __init__(
        self,
        folder: str | Path,
        with_text: bool,
        write_every_s: float = FLUSH_S,
        names: Sequence[str] = ("text",),
    ):
        self.dropped = 0
        self._names = names
        self._folder = Path(folder)
        self._replica = uuid.uuid4().hex[:12]  # not Serve's name: that may come again
        self._with_text = with_text
        self._every = write_every_s
        self._numbers = itertools.count()
        self._rows: list[_Row] = []
        self._writing = 0
        self._chars = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def add(self, request_id: str, inputs: Sequence[str], label: str, score: float, tokens: int) -> None:
        """Add a row: a text for each of the columns, and the answer."""
        hashes = tuple(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in inputs)
        texts = tuple(inputs) if self._with_text else ()
        size = sum(map(len, texts))
        with self._lock:
            if len(self._rows) + self._writing >= MOST_ROWS or self._chars + size > MOST_CHARS:
                self.dropped += 1
                return
            self._chars += size
            self._rows.append(_Row(datetime.now(UTC), request_id, hashes, label, score, tokens, texts))
            full = len(self._rows) >= FLUSH_ROWS
        if full:
            self._wake.set()

    def collect(self) -> Iterator[Metric]:
        """Return the numbers of dropped and waiting rows, for Prometheus."""
        yield CounterMetricFamily(
            "react_ray_record_dropped",
            "Texts that were not recorded: disk slow, full or gone",
            value=self.dropped,
        )
        waiting = len(self._rows) + self._writing
        yield GaugeMetricFamily("react_ray_record_waiting", "Texts to be recorded", value=waiting)

    def close(self, within_s: float = 10.0) -> None:
        """Write the remaining rows, but wait at most ``within_s`` seconds for the disk."""
        self._ended = True
        self._wake.set()
        self._thread.join(within_s)

    def _work(self) -> None:
        while not self._ended:
            self._wake.wait(self._every)
            self._wake.clear()
            self._flush()
        self._flush()

    def _flush(self) -> None:
        with self._lock:
            rows, self._rows = self._rows, []
            self._writing = len(rows)
        for day, of_day in itertools.groupby(rows, key=lambda row: row.time.date()):
            day_rows = list(of_day)
            try:
                self._write(self._folder / f"date={day}", day_rows)
            except Exception as error:  # whatever the disk or the text did, the next rows get their chance
                logger.error("%d texts could not be recorded in %s: %s", len(day_rows), self._folder, error)
                with self._lock:
                    self.dropped += len(day_rows)
        with self._lock:
            self._writing = 0
            self._chars = sum(len(text) for row in self._rows for text in row.inputs)

    def _write(self, folder: Path, rows: list[_Row]) -> None:
        make_private_folder(self._folder)
        make_private_folder(folder)
        hashes = [(f"{name}_sha256", pa.string()) for name in self._names]
        inputs = [(name, pa.string()) for name in self._names] if self._with_text else []
        schema = pa.schema([*BEFORE, *hashes, *BEHIND, *inputs])
        cells = [(*row[:2], *row.hashes, *row[3:6], *row.inputs) for row in rows]
        columns = zip(*cells, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        table = pa.Table.from_arrays(arrays, schema=schema)
        path = folder / f"part-{self._replica}-{next(self._numbers)}.parquet"
        replace_file(
            path, lambda temporary: pq.write_table(table, temporary, compression="zstd"), private=True
        )
