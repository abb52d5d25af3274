"""Follow a stream: read, label, count, and move items into their days."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from react_ray.apps.monitor.chunk import Reading, Source
from react_ray.apps.monitor.days import compact, expire, remove_leftovers
from react_ray.apps.monitor.feed import Feed
from react_ray.apps.monitor.items import DAY
from react_ray.apps.monitor.kafka import SCHEME, KafkaTopic, read_properties
from react_ray.apps.monitor.labels import Labeler
from react_ray.apps.monitor.outbox import deliver
from react_ray.apps.monitor.settings import MonitorConfig
from react_ray.apps.monitor.store import JOURNAL, Store, owner_of
from react_ray.apps.monitor.watch import Watcher
from react_ray.config.file import load_settings
from react_ray.console.reporter import Reporter, quiet_libraries
from react_ray.errors import ConfigError, InputError

__all__ = ["SETTINGS", "RunResult", "StreamOwner", "load_config", "run"]

SETTINGS = "settings"
FIXED = ("bucket",)
"""Settings that a store keeps: what it counted before would not fit."""
IDLE_S = 1.0
EXPIRE_EVERY_S = 3600.0


@dataclass(frozen=True)
class RunResult:
    """What a run read, and what the store holds."""

    folder: Path
    read: int
    stored: int
    rejected: int
    alerts: int
    unsent: int

    def summary(self) -> str:
        """Summarize the result in a few lines."""
        lines = [f"new items: {self.read:,}; in the store: {self.stored:,}; alerts: {self.alerts:,}"]
        if self.rejected:
            place = self.folder / JOURNAL
            lines.append(f"rejected rows: {self.rejected:,}, see the table rejected of {place}")
        if self.unsent:
            lines.append(
                f"alerts not received by the webhook: {self.unsent:,}; the next run or serve sends them"
            )
        return "\n".join([*lines, f"store: {self.folder}   (react-ray monitor serve {self.folder})"])


def load_config(overrides: Iterable[str], flags: Mapping[str, Any]) -> MonitorConfig:
    """Load the settings of a monitor: ``key=value``, then flags by dotted key. Raises ConfigError."""
    return load_settings(MonitorConfig, overrides, flags)


class StreamOwner:
    """The one process that labels, counts, moves and deletes the items of a store."""

    def __init__(self, store: Store, config: MonitorConfig):
        self.store, self.config = store, config
        remember(store, config)
        remove_leftovers(store)
        self.labeler = Labeler(config)
        store.put("negative", self.labeler.negative)
        self.watch = Watcher(store, config, self.labeler.negative)
        self._expired = 0.0

    def work(self, close: bool = True) -> int:
        """Do what there is to do once; return the number of items that were labelled.

        Without ``close``, buckets stay open: earlier items are still to be read.
        """
        labelled = self.labeler.label(self.store)
        if close:
            self.watch.close()
        deliver(self.store, self.config, self.labeler.negative)
        compact(self.store, self.config.compact_rows)
        if self.config.retention_days is not None and time.time() - self._expired >= EXPIRE_EVERY_S:
            self._expired = time.time()
            expire(self.store, self._expired - self.config.retention_days * DAY)
        return labelled


def remember(store: Store, config: MonitorConfig) -> None:
    """Keep the settings in the store. Raises ConfigError if one is changed that has to stay."""
    saved = store.get(SETTINGS, {})
    now = config.model_dump(mode="json")
    for name in FIXED:
        if name in saved and saved[name] != now[name]:
            raise ConfigError(
                f"{name} = {now[name]}: {store.folder} was made with {name}={saved[name]}; keep it, or "
                "give another folder with --store"
            )
    store.put(SETTINGS, now)


def run(
    config: MonitorConfig,
    input: str | Path,
    folder: Path,
    *,
    until_end: bool = False,
    kafka_config: Path | None = None,
    verbose: bool = False,
    quiet: bool = False,
) -> RunResult:
    """Read ``input`` into the store ``folder`` until it is stopped, or with ``until_end`` to its end.

    ``input`` is a file, a folder, or kafka://HOST:PORT/TOPIC; ``kafka_config`` has properties of librdkafka.
    Raises InputError if a model or the input cannot be used, or another process works on the store.
    """
    quiet_libraries(verbose)
    reporter = Reporter(quiet)
    with closing(_source(config, str(input), kafka_config)) as source, owner_of(folder):
        store = Store(folder)
        try:
            owner = StreamOwner(store, config)
            with reporter.step("read"):
                read = _follow(owner, source, until_end)
            compact(store)
            return _result(store, read, config)
        finally:
            store.close()


def _source(config: MonitorConfig, input: str, kafka_config: Path | None) -> Source:
    reading = Reading(config.columns, config.batch, config.span)
    if input.startswith(SCHEME):
        return KafkaTopic(input, reading, read_properties(kafka_config))
    if kafka_config is not None:
        raise InputError(
            f"--kafka-config is for an input of Kafka, which begins with {SCHEME}; it was {input}"
        )
    feed = Feed(Path(input), reading)
    feed.files()
    return feed


def _follow(owner: StreamOwner, source: Source, until_end: bool) -> int:
    """Read what is there, and what comes until Ctrl-C or SIGTERM; a step that was begun is finished."""
    store, read, stop = owner.store, 0, threading.Event()
    with nullcontext() if until_end else _set_by_signals(stop):
        while not stop.is_set():
            before = read
            for chunks in source.read(store.place_of, until_end):
                items = [item for chunk in chunks for item in chunk.items]
                rejections = [rejection for chunk in chunks for rejection in chunk.rejections]
                again = [chunk.place.file for chunk in chunks if chunk.again]
                read += store.append(items, rejections, [chunk.place for chunk in chunks], again)
                owner.work(close=source.in_order)
                if stop.is_set():
                    return read
            owner.work()
            if until_end:
                break
            if read == before:
                stop.wait(IDLE_S)
    return read


@contextmanager
def _set_by_signals(stop: threading.Event) -> Iterator[None]:
    """Context manager: SIGINT and SIGTERM set ``stop``, if this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _result(store: Store, read: int, config: MonitorConfig) -> RunResult:
    stored = store.rows("SELECT (SELECT count(*) FROM items) + (SELECT ifnull(sum(rows), 0) FROM days)")[0][0]
    alerts, unsent = store.rows("SELECT count(*), ifnull(sum(sent = 0), 0) FROM alerts")[0]
    return RunResult(store.folder, read, stored, store.rejected(), alerts, unsent if config.webhook else 0)
