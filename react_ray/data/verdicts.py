"""Assignment of every input row to a part, to the unused or to the rejected rows; texts stay on disk.

The place of a row is its index among all rows of all shards. Memory holds the labelled rows, a byte for
each row, and the places of duplicates.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from react_ray.console.reporter import Progress
from react_ray.data.alternatives import merged_keys, with_targets
from react_ray.data.check import check_labelled, copy_reason, reference_reason
from react_ray.data.duplicates import PARTS, POOL, REJECTED, Keys, Verdict
from react_ray.data.read import SHOWN_CHARS
from react_ray.data.rejections import RejectedRows
from react_ray.data.shards import Shard, text_id
from react_ray.data.targets import Targets
from react_ray.tasks import Task

__all__ = ["CheckedRows"]

WINDOW = 100_000
"""Rows whose rejection reasons are in memory at a time."""

Refused = tuple[int, int, str]
"""Place, row in the file, reason."""


@dataclass(frozen=True)
class CheckedRows:
    """Shards and the result of all checks on their rows; rows of shard n have places from ``starts[n]`` on.

    ``labelled`` has, by place, row, id, key (of the target) and part of the rows for training and
    evaluation; ``reasons`` has, by place, why some of them are rejected, and ``merged`` the keys of targets
    that were merged from several rows.
    """

    shards: Sequence[Shard]
    starts: NDArray[np.int64]
    labelled: pd.DataFrame
    reasons: pd.Series
    merged: pd.Series
    verdict: Verdict
    targets: Targets

    @classmethod
    def of(
        cls,
        shards: Sequence[Shard],
        described: Collection[str],
        pool: int,
        folder: Path,
        task: Task,
        progress: Progress | None = None,
    ) -> CheckedRows:
        """Check all rows; ``folder`` is for temporary files."""
        starts = np.cumsum([0, *(shard.rows() for shard in shards)])
        targets = Targets(task)
        labelled = _labelled(shards, starts, targets)
        merged = merged_keys(labelled, shards, starts, targets)
        labelled.loc[merged.index, "key"] = merged
        reasons = check_labelled(labelled, targets, described)
        keys = Keys(folder, int(starts[-1]))
        for place, part, table in _parts(shards, starts, task.target.name):
            places = np.arange(place, place + len(table))
            rejected = reasons.index[slice(*reasons.index.searchsorted([place, place + len(table)]))]
            stays = ~np.isin(places, rejected)
            kept = table.filter(pa.array(stays))
            references = _references(kept[task.target.name], part[stays], task)
            keys.add(kept["id"].to_pylist(), places[stays], kept["row"].to_numpy(), part[stays], references)
            if progress:
                progress(place + len(table), int(starts[-1]), "rows compared,")
        return cls(shards, starts, labelled, reasons, merged, keys.deduplicate(pool), targets)

    @property
    def status(self) -> NDArray[np.uint8]:
        """Status of each row by its place: an index into PARTS, UNUSED or REJECTED."""
        return self.verdict.status

    def of_part(self, part: str) -> pd.DataFrame:
        """Return the labelled rows of a part."""
        return self.labelled[self.status[self.labelled.index] == PARTS.index(part)]

    def classes(self, part: str) -> Counter[str]:
        """Count the rows of a part by class."""
        return self.targets.count(self.of_part(part)["key"])

    def status_counts(self) -> NDArray[np.int64]:
        """Count the rows of each shard by status, shards x statuses."""
        cut = zip(self.starts[:-1], self.starts[1:], strict=True)
        return np.array([np.bincount(self.status[a:b], minlength=REJECTED + 1) for a, b in cut])

    def rejections(self) -> RejectedRows:
        """Collect and count all rejected rows, first those rejected by the reader."""
        rejections = RejectedRows()
        for shard in self.shards:
            for early in shard.refused():
                rejections.add(shard.input, shard.file, early["row"], early["reason"], early["names"])
        keys = self.labelled["key"]
        for number, shard in enumerate(self.shards):
            start, end = self.starts[number : number + 2].tolist()
            for window in range(start, end, WINDOW):
                for place, row, reason in self.refused(window, min(window + WINDOW, end)):
                    key = keys.get(place) if shard.input != "unlabeled" else None
                    names = self.targets.names(key) if isinstance(key, str) else ()
                    rejections.add(shard.input, shard.file, row, reason, names)
        return rejections

    def sift(
        self, columns: Sequence[str], refused: TextIO, progress: Progress | None = None
    ) -> Iterator[pa.Table]:
        """Yield ``columns`` of the used rows, with their part; write the rejected rows to ``refused``."""
        for number, shard in enumerate(self.shards):
            place, lost = int(self.starts[number]), _RejectedWriter(shard, refused)
            for table in shard.batches():
                status = self.status[place : place + len(table)]
                parts = pa.array(np.array([*PARTS, "", ""], object)[status], pa.string())
                table = with_targets(table.append_column("part", parts), place, self.merged, self.targets)
                yield table.select(columns).filter(pa.array(status <= POOL))
                late = self.refused(place, place + len(table))
                texts = table["text"].filter(pa.array(status == REJECTED)).to_pylist()
                lost.write(late, texts, table["row"][-1].as_py() if len(table) else 0)
                place += len(table)
                if progress:
                    progress(place, len(self.status), "rows sorted out,")
            lost.write([], [])

    def refused(self, start: int, end: int) -> list[Refused]:
        """Return the rows rejected by the checks, with places from ``start`` to before ``end``."""
        reasons = self.reasons.iloc[slice(*self.reasons.index.searchsorted([start, end]))]
        places = reasons.index.to_numpy()
        rows = self.labelled.loc[places, "row"].tolist()
        rejected: list[Refused] = list(zip(places.tolist(), rows, reasons.tolist(), strict=True))
        copies = self.verdict.copies
        for copy in copies[slice(*np.searchsorted(copies["place"], [start, end]))].tolist():
            place, row, part, kept_place, kept_row, kept_part = copy
            keeper = self.shards[int(np.searchsorted(self.starts, kept_place, "right")) - 1]
            if part == kept_part != POOL and self._key(place) != self._key(kept_place):
                reason = reference_reason(keeper.file, kept_row)
            else:
                is_merged = part == kept_part and place in self.merged.index
                reason = copy_reason(part, kept_part, keeper.file, kept_row, is_merged)
            rejected.append((place, row, reason))
        return sorted(rejected)

    def _key(self, place: int) -> Any:
        return self.labelled["key"].at[place]


def _references(column: pa.ChunkedArray, part: NDArray[np.int8], task: Task) -> NDArray[np.uint64]:
    """Return a hash of the target of labelled rows if several texts are right for an input, else 0."""
    hashes = np.zeros(len(part), np.uint64)
    if task.generates:
        for row in np.flatnonzero(part == PARTS.index("labeled")).tolist():
            hashes[row] = int(text_id(column[row].as_py())[:16], 16)
    return hashes


def _labelled(shards: Sequence[Shard], starts: NDArray[np.int64], targets: Targets) -> pd.DataFrame:
    """Return row, id, key and part of all labelled rows, by place."""
    frames, target = [], targets.task.target.name
    for place, part, table in _parts(shards, starts, target):
        indices = np.flatnonzero(part != POOL)
        if len(indices):
            rows = table.take(indices)
            plain = rows.select(["row", "id"]).to_pandas()
            keys = pd.Series(targets.keys(rows[target]), plain.index, "str")
            frames.append(plain.assign(key=keys, part=part[indices], place=place + indices))
    columns = {"row": "int64", "id": "str", "key": "str", "part": "int64", "place": "int64"}
    rows = pd.concat(frames) if frames else pd.DataFrame(columns=[*columns])
    rows = rows.astype(columns).set_index("place")
    return rows.assign(part=pd.Categorical.from_codes(rows["part"].to_numpy(), pd.Index(PARTS)))


def _parts(
    shards: Sequence[Shard], starts: NDArray[np.int64], target: str
) -> Iterator[tuple[int, NDArray[np.int8], pa.Table]]:
    """Yield tables of ids with the place of their first row and the part of each row (index into PARTS)."""
    for number, shard in enumerate(shards):
        place = int(starts[number])
        for table in shard.ids(target):
            part = np.full(len(table), PARTS.index(shard.input), np.int8)
            if shard.input == "labeled":  # a blank target makes a row of the pool
                part[pc.is_null(table[target]).to_numpy()] = POOL
            yield place, part, table
            place += len(table)


class _RejectedWriter:
    """Writer that merges rows rejected by the reader and by the checks, in the order of a shard."""

    def __init__(self, shard: Shard, target: TextIO):
        self.file, self.target = shard.file, target
        self.early = shard.refused()
        self.next = next(self.early, None)

    def write(self, late: Sequence[Refused], texts: Sequence[str], until: int | None = None) -> None:
        """Write rows rejected by the checks, and by the reader up to row ``until`` (None: all)."""
        checked = [
            {"file": self.file, "row": row, "reason": reason, "text": text}
            for (_, row, reason), text in zip(late, texts, strict=True)
        ]
        for row in heapq.merge(self._early(until), checked, key=itemgetter("row")):
            shown = {key: row[key] for key in ("file", "row", "reason")} | {"text": row["text"][:SHOWN_CHARS]}
            self.target.write(json.dumps(shown, ensure_ascii=False) + "\n")

    def _early(self, until: int | None) -> Iterator[dict[str, Any]]:
        while self.next is not None and (until is None or self.next["row"] <= until):
            yield self.next
            self.next = next(self.early, None)
