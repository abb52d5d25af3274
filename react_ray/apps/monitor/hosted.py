"""The monitor as an application on Ray Serve: routes, the page, metrics."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Query
from prometheus_client import Counter
from pydantic import BaseModel, ConfigDict, Field

from react_ray import Host, HostConfig, HostedApp
from react_ray.apps.monitor.settings import MonitorServeConfig

if TYPE_CHECKING:
    from react_ray.apps.monitor.service import MonitorService

__all__ = ["MonitorApp", "load", "open_service"]

logger = logging.getLogger("react_ray.monitor")
REFRESH_S = 5.0
GAUGES = {
    "waiting": ("react_ray_monitor_items_waiting", "Items without a label"),
    "stored": ("react_ray_monitor_items_stored", "Labelled items in the store"),
    "alerts": ("react_ray_monitor_alerts", "Alerts in the store"),
    "unsent": ("react_ray_monitor_alerts_unsent", "Alerts that the webhook has not received"),
    "last_surge": ("react_ray_monitor_last_surge_timestamp_seconds", "Bucket of the latest surge"),
    "last_drift": ("react_ray_monitor_last_drift_timestamp_seconds", "Bucket of the latest drift alert"),
    "latest": ("react_ray_monitor_latest_item_timestamp_seconds", "Latest time of an item"),
}
Name = Annotated[str | None, Query(max_length=500)]
Time = Annotated[str | None, Query(max_length=40, description="As 2024-05-01T00:00:00Z")]


class StreamItems(BaseModel):
    """Items of the stream."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"items": [{"id": "1", "text": "too slow", "source": "forum"}]}]},
    )
    items: list[dict[str, Any]] = Field(
        min_length=1, description="Objects with id, text, and time (default: now) and source where known"
    )


class MonitorApp(HostedApp):
    """Routes of the monitor; the store is the owner's."""

    title = "Opinion monitoring"
    description = "Sentiment of a stream of texts: trends, surges, alerts."

    def __init__(self, host: Host):
        assert isinstance(host.config, MonitorServeConfig)
        self.page = (resources.files("react_ray.apps.monitor") / "page.html").read_text(encoding="utf-8")
        self._owner, self._config = host.owner, host.config
        self._numbers = dict.fromkeys(GAUGES, 0.0)
        self._refreshing: asyncio.Task[None] | None = None
        for key, (name, meaning) in GAUGES.items():
            host.metrics.watch(name, meaning, partial(self._number, key))
        self._items = Counter("react_ray_monitor_items", "Items that came in", ["result"], registry=None)
        host.metrics.add(self._items)

    async def ready(self) -> bool:
        """Return whether the owner answers and labels."""
        state = await self._owner.call("state")
        self._numbers = state["numbers"]
        self._refresh_on()
        return not state["problem"]

    def close(self) -> None:
        """End the task that reads numbers for the metrics."""
        if self._refreshing is not None:
            self._refreshing.cancel()

    def add_routes(self, app: FastAPI) -> None:
        """Add the routes."""
        config, owner = self._config, self._owner

        @app.post("/ingest", summary="Store items, each id once; acknowledged when they are on the disk")
        async def ingest(body: StreamItems) -> dict[str, Any]:
            if len(body.items) > config.max_items:
                raise HTTPException(413, f"{len(body.items):,} items, at most {config.max_items:,} at once")
            if await owner.call("waiting") > config.max_waiting:
                raise HTTPException(503, "too many items wait for their labels; try again later")
            counts: dict[str, Any] = await owner.call("ingest", body.items)
            self._refresh_on()
            for result in ("stored", "known"):
                self._items.labels(result).inc(counts[result])
            self._items.labels("rejected").inc(len(counts["rejected"]))
            return counts

        @app.get("/trends", summary="Count and share of each sentiment by bucket, with 95 % intervals")
        async def trends(
            topic: Name = None,
            source: Name = None,
            start: Time = None,
            end: Time = None,
            bucket: Literal["hour", "day"] | None = None,
        ) -> dict[str, Any]:
            fields = {"topic": topic, "source": source, "start": start, "end": end}
            answer: dict[str, Any] = await owner.call("trends", fields, bucket)
            return answer

        @app.get("/alerts", summary="Alerts with the texts behind them, the latest first")
        async def alerts(
            limit: Annotated[int, Query(ge=1, le=200)] = 50, before: Time = None
        ) -> list[dict[str, Any]]:
            answer: list[dict[str, Any]] = await owner.call("alerts", limit, before)
            return answer

        @app.get("/texts", summary="Items with their labels, the latest first")
        async def texts(
            topic: Name = None,
            source: Name = None,
            sentiment: Name = None,
            start: Time = None,
            end: Time = None,
            limit: Annotated[int, Query(ge=1, le=500)] = 50,
        ) -> list[dict[str, Any]]:
            fields = {"topic": topic, "source": source, "sentiment": sentiment, "start": start, "end": end}
            answer: list[dict[str, Any]] = await owner.call("texts", fields, limit)
            return answer

        @app.get("/about", summary="Topics, sources and sentiments to filter by")
        async def about() -> dict[str, Any]:
            answer: dict[str, Any] = await owner.call("about")
            return answer

    def _number(self, key: str) -> float:
        return float(self._numbers[key])

    def _refresh_on(self) -> None:
        """Keep reading the numbers for the metrics from now on."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            try:
                self._numbers = (await self._owner.call("state"))["numbers"]
            except Exception as error:  # the owner is being started again
                logger.warning("the numbers of the store cannot be read: %s", type(error).__name__)


def load(folder: Path, host: Host) -> MonitorApp:
    """Load the application of a replica."""
    return MonitorApp(host)


def open_service(folder: Path, config: HostConfig) -> MonitorService:
    """Open the store, which one process owns."""
    from react_ray.apps.monitor.service import MonitorService

    assert isinstance(config, MonitorServeConfig)
    return MonitorService(folder, config)
