"""The one process behind the service that writes and labels; replicas call its methods."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path
from typing import Any

from react_ray import InputError, ReactRayError
from react_ray.apps.monitor.items import Item, parse_item, parse_time
from react_ray.apps.monitor.outbox import alerts
from react_ray.apps.monitor.query import Selection, names, texts, trends
from react_ray.apps.monitor.run import SETTINGS, StreamOwner
from react_ray.apps.monitor.settings import MonitorConfig, MonitorServeConfig
from react_ray.apps.monitor.store import JOURNAL, Store, StoreOwnedError, owner_of

__all__ = ["MonitorService"]

logger = logging.getLogger("react_ray.monitor")
PAUSE_S, RETRY_S = 1.0, 10.0


class MonitorService:
    """Takes items, answers queries, and labels what was taken in a thread.

    While ``react-ray monitor run`` works on the store, that process labels; this one takes its place when it
    ends. Raises InputError if there is no store in ``folder``.
    """

    def __init__(self, folder: Path, config: MonitorServeConfig):
        if not (folder / JOURNAL).is_file():
            raise InputError(f"{folder}: no store there; begin one with react-ray monitor run")
        self._store, self._limits = Store(folder), config
        saved = self._store.get(SETTINGS)
        if saved is None:
            raise InputError(f"{folder}: the store has no settings; begin it with react-ray monitor run")
        self._config = MonitorConfig.model_validate(saved)
        self._negative: str = self._store.get("negative", "")
        self._problem = ""
        self._new, self._end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="monitor", daemon=True)
        self._thread.start()

    async def ingest(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Store items; they are on the disk when this returns."""
        return await asyncio.to_thread(self._ingest, rows)

    def _ingest(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        items: list[Item] = []
        rejected = []
        for index, row in enumerate(rows):
            try:
                items.append(parse_item(row, self._config.span))
            except ValueError as error:
                rejected.append({"index": index, "reason": str(error)})
        stored = self._store.append(items)
        self._new.set()
        return {"stored": stored, "known": len(items) - stored, "rejected": rejected}

    async def waiting(self) -> int:
        """Return the number of items without a label."""
        return int(self._store.rows("SELECT count(*) FROM items WHERE sentiment IS NULL")[0][0])

    async def trends(self, fields: dict[str, Any], bucket: str | None) -> dict[str, Any]:
        """Return counts and shares of each sentiment by bucket."""
        of, bucket = _selection(fields), bucket or self._config.bucket
        buckets = await asyncio.to_thread(trends, self._store, of, bucket)
        return {"bucket": bucket, "negative": self._negative, "buckets": buckets[-self._limits.max_buckets :]}

    async def texts(self, fields: dict[str, Any], limit: int) -> list[dict[str, Any]]:
        """Return items, the latest first."""
        return await asyncio.to_thread(texts, self._store, _selection(fields), limit)

    async def alerts(self, limit: int, before: str | None) -> list[dict[str, Any]]:
        """Return alerts with their texts, the latest first."""
        time = None if before is None else _time(before)
        return await asyncio.to_thread(alerts, self._store, self._config, self._negative, limit, time)

    async def about(self) -> dict[str, Any]:
        """Return names to filter by, and how surges are found."""
        options = await asyncio.to_thread(names, self._store)
        surge = self._config.surge.false_alarms_per_month
        return {
            **options,
            "negative": self._negative,
            "bucket": self._config.bucket,
            "false_alarms_per_month": surge,
        }

    async def state(self) -> dict[str, Any]:
        """Return numbers for metrics, and the problem of the thread that labels, if there is one."""
        query = (
            "SELECT (SELECT count(*) FROM items WHERE sentiment IS NULL) AS waiting, "
            "(SELECT count(*) FROM items WHERE sentiment IS NOT NULL) "
            "+ (SELECT ifnull(sum(rows), 0) FROM days) AS stored, "
            "(SELECT count(*) FROM alerts) AS alerts, "
            "(SELECT count(*) FROM alerts WHERE sent = 0) AS unsent, "
            "(SELECT ifnull(max(bucket), 0) FROM alerts WHERE kind = 'surge') AS last_surge, "
            "(SELECT ifnull(max(bucket), 0) FROM alerts WHERE kind <> 'surge') AS last_drift"
        )
        numbers = dict(self._store.rows(query)[0])
        numbers["latest"] = self._store.get("latest", 0)
        if self._config.webhook is None:
            numbers["unsent"] = 0
        return {"numbers": numbers, "problem": self._problem}

    def close(self) -> None:
        """End the thread; a step that it has begun is finished."""
        self._end.set()
        self._new.set()
        self._thread.join()
        self._store.close()

    def _work(self) -> None:
        """Label what comes, until the end; a problem is kept for /readyz, and tried again."""
        while not self._end.is_set():
            try:
                with owner_of(self._store.folder):
                    self._label()
            except StoreOwnedError:
                self._problem = ""  # another process labels
            except Exception as error:
                public = isinstance(error, ReactRayError | OSError)  # others may name the text they failed on
                self._problem = str(error) if public else type(error).__name__
                logger.error("labelling has stopped: %s", self._problem)
            self._end.wait(RETRY_S)

    def _label(self) -> None:
        """Label as the owner, by a connection of its own, so that requests do not wait for it."""
        store = Store(self._store.folder)
        try:
            self._config = MonitorConfig.model_validate(store.get(SETTINGS))  # a run may have changed them
            owner = StreamOwner(store, self._config)
            self._negative, self._problem = owner.labeler.negative, ""
            while not self._end.is_set():
                self._new.clear()
                owner.work()
                self._new.wait(PAUSE_S)
        finally:
            store.close()


def _selection(fields: dict[str, Any]) -> Selection:
    times = {name: _time(fields[name]) for name in ("start", "end") if fields.get(name) is not None}
    return Selection(fields.get("topic"), fields.get("source"), fields.get("sentiment"), **times)


def _time(text: str) -> float:
    try:
        return parse_time(text)
    except ValueError as error:
        raise InputError(str(error)) from None
