"""New messages of a Kafka topic; how far each partition is read is in the store, not in Kafka.

No consumer group is joined and no offset is committed: items and offsets change in one transaction of
the store, so that a run which is killed goes on at the message after the last one that was stored.
"""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from react_ray import ConfigError, InputError
from react_ray.apps.monitor.chunk import MAX_BYTES, Chunk, Reading
from react_ray.apps.monitor.store import Place

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

__all__ = ["SCHEME", "KafkaTopic", "read_properties"]

logger = logging.getLogger("react_ray.monitor")
SCHEME = "kafka://"
ADDRESS = re.compile(r"kafka://(?P<servers>[^/\s]+)/(?P<topic>[A-Za-z0-9._-]{1,249})")
REACH_S, POLL_S, PARTITIONS_EVERY_S, SILENT_S = 15.0, 0.5, 30.0, 60.0
LOG_EVERY_S = 60.0
BUFFER_KB = 16 * 1024
PAUSE_BYTES = 8 << 20
"""Bytes of a partition that wait for the others before it is not read on."""


class KafkaTopic:
    """A topic whose messages are JSON objects, as the lines of a jsonl file.

    A message without id has its partition and offset as id, one without time the time of Kafka. Partitions
    that are added later are read from their beginning.

    Parameters
    ----------
    address
        kafka://HOST:PORT[,HOST:PORT...]/TOPIC
    reading
        Names of columns, rows of a chunk, times that are accepted.
    properties
        Further settings of librdkafka, such as security.protocol.

    Raises
    ------
    InputError
        There is no such topic, no broker answers, or confluent-kafka is not installed.
    ConfigError
        A property is unknown, or one that the monitor sets.
    """

    in_order: ClassVar[bool] = True

    def __init__(self, address: str, reading: Reading, properties: dict[str, str] | None = None):
        parsed = ADDRESS.fullmatch(address)
        if parsed is None:
            raise InputError(f"{address}: expected brokers and a topic, as {SCHEME}localhost:9092/opinions")
        self.address, self.topic, self._reading = address, parsed["topic"], reading
        self._read: dict[int, _Partition] = {}
        self._listed = -PARTITIONS_EVERY_S
        self._consumer = _consumer(parsed["servers"], properties or {})
        try:
            self._partitions()
        except InputError:
            self.close()
            raise

    def read(self, place_of: Callable[[str], Place], until_end: bool) -> Iterator[list[Chunk]]:
        """Yield new messages in the order of their times in Kafka; with ``until_end``, to all ends."""
        while True:
            self._assign_new(place_of)
            messages = self._earliest()
            if not messages:
                self._take(self._consumer.consume(self._reading.rows, POLL_S))
                messages = self._earliest()
            if messages:
                yield self._chunks(messages)
            elif not until_end or all(reader.ended and not reader.waiting for reader in self._read.values()):
                return

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()

    def _partitions(self) -> tuple[str, list[int]]:
        """Return the id of the cluster, and the partitions."""
        from confluent_kafka import KafkaException

        try:
            cluster = self._consumer.list_topics(self.topic, timeout=REACH_S)
        except KafkaException as error:
            raise InputError(f"{self.address}: no broker answers ({error.args[0].str()})") from None
        topic = cluster.topics[self.topic]
        if topic.error is not None:
            raise InputError(f"{self.address}: {topic.error.str()}")
        return str(cluster.cluster_id), sorted(topic.partitions)

    def _assign_new(self, place_of: Callable[[str], Place]) -> None:
        """Begin to read partitions that are not read yet."""
        if time.monotonic() - self._listed < PARTITIONS_EVERY_S:
            return
        try:
            cluster, partitions = self._partitions()
        except InputError as error:
            if not self._read:
                raise
            logger.warning("partitions cannot be listed: %s", error)
            return
        finally:
            self._listed = time.monotonic()
        for number in partitions:
            if number not in self._read:
                place = self._begin(number, place_of(f"kafka:{cluster}/{self.topic}-{number}"))
                self._read[number] = _Partition(place, place.position)
                self._assign(number)

    def _assign(self, number: int) -> None:
        from confluent_kafka import TopicPartition

        partition = self._read[number]
        partition.paused, partition.heard = False, time.monotonic()
        self._consumer.incremental_assign([TopicPartition(self.topic, number, partition.next)])

    def _begin(self, partition: int, place: Place) -> Place:
        """Return the place, or the beginning of what the partition still has where it does not fit."""
        from confluent_kafka import KafkaException, TopicPartition

        try:
            low, high = self._consumer.get_watermark_offsets(TopicPartition(self.topic, partition), REACH_S)
        except KafkaException as error:
            raise InputError(f"{self.address}: no broker answers ({error.args[0].str()})") from None
        if low <= place.position <= high:
            return place
        if place.rows:
            logger.warning(
                "%s-%d: offset %d is next, and Kafka has %d to %d: reading from %d",
                *(self.topic, partition, place.position, low, high, low),
            )
        return replace(place, position=low)

    def _take(self, messages: Sequence[Message]) -> None:
        """Let messages wait for their turn; a partition of which too much waits is not read meanwhile."""
        from confluent_kafka import KafkaError, TopicPartition

        for message in messages:
            error, number, offset = message.error(), message.partition(), message.offset()
            partition = None if number is None else self._read.get(number)
            if partition is not None and error is None and offset is not None:
                partition.add(message, offset)
            elif partition is not None and error is not None and error.code() == KafkaError._PARTITION_EOF:
                partition.ended = True
            elif error is not None and not _passes(error):
                raise InputError(f"{self.address}: {error.str()}")
        for number, partition in self._read.items():
            if not partition.paused and partition.size > PAUSE_BYTES:
                partition.paused = True
                self._consumer.incremental_unassign([TopicPartition(self.topic, number)])
            elif partition.paused and partition.size < PAUSE_BYTES / 4:
                self._assign(number)

    def _earliest(self) -> list[tuple[int, Message]]:
        """Return the earliest messages of all partitions, up to the first one that more may come before.

        Otherwise a partition that is read faster than others would close buckets before their texts come.
        """
        messages: list[tuple[int, Message]] = []
        while len(messages) < self._reading.rows:
            if any(reader.may_be_earlier() for reader in self._read.values()):
                break
            heads = [
                (_milliseconds(reader.waiting[0]), number)
                for number, reader in self._read.items()
                if reader.waiting
            ]
            if not heads:
                break
            number = min(heads)[1]
            messages.append((number, self._read[number].take()))
        return messages

    def _chunks(self, messages: Sequence[tuple[int, Message]]) -> list[Chunk]:
        chunks: dict[int, Chunk] = {}
        for number, message in messages:
            place = self._read[number].place
            chunk = chunks.setdefault(number, Chunk(place))
            value, offset = message.value(), message.offset() or 0
            if value is not None and len(value) > MAX_BYTES:
                chunk.reject(offset, f"too long: the message has more than {MAX_BYTES:,} bytes")
            elif value is not None:  # without a value, it deletes a key
                defaults = {"id": f"{self.topic}/{number}/{offset}", "time": _milliseconds(message) or None}
                chunk.add_json(value, offset, self._reading, defaults)
            place = replace(place, position=offset + 1, rows=place.rows + 1)
            self._read[number].place = chunk.place = place
        return list(chunks.values())


@dataclass
class _Partition:
    """A partition: its place in the store, and messages that are not stored yet."""

    place: Place
    next: int
    """Offset after the last message that waits."""
    waiting: deque[Message] = field(default_factory=deque)
    size: int = 0
    """Bytes of the messages that wait."""
    ended: bool = False
    paused: bool = False
    heard: float = 0.0

    def add(self, message: Message, offset: int) -> None:
        """Let a message wait, once."""
        self.heard = time.monotonic()
        if offset >= self.next:
            self.waiting.append(message)
            self.size += len(message)
            self.next, self.ended = offset + 1, False

    def take(self) -> Message:
        """Return the first message that waits."""
        message = self.waiting.popleft()
        self.size -= len(message)
        return message

    def may_be_earlier(self) -> bool:
        """Return whether messages may come that are earlier than those that wait elsewhere."""
        silent = time.monotonic() - self.heard > SILENT_S  # its broker is down: the others go on
        return not self.waiting and not self.ended and not silent


def read_properties(file: Path | None) -> dict[str, str]:
    """Read settings of librdkafka, ``name=value`` a line. Raises InputError for another line."""
    if file is None:
        return {}
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: {type(error).__name__}; expected a file with name=value lines") from None
    properties = {}
    for number, line in enumerate(lines, 1):
        if line and not line.startswith(("#", "!")):
            name, equals, value = line.partition("=")
            if not equals:
                raise InputError(f"{file}, line {number}: expected name=value, as security.protocol=ssl")
            properties[name.strip()] = value.strip()
    return properties


def _consumer(servers: str, properties: dict[str, str]) -> Any:
    try:
        from confluent_kafka import Consumer, KafkaException
    except ImportError:
        raise InputError("Kafka needs confluent-kafka: pip install 'react-ray[kafka]'") from None
    settings = {
        "bootstrap.servers": servers,
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
    }
    if both := sorted(settings.keys() & properties.keys()):
        raise ConfigError(f"{both[0]} is set by the monitor: leave it out of the properties")
    defaults = {"group.id": "react-ray-monitor", "queued.max.messages.kbytes": BUFFER_KB, "log_level": 0}
    try:
        return Consumer({**defaults, **properties, **settings, "error_cb": _Log()})
    except KafkaException as error:
        raise ConfigError(f"properties of Kafka: {error.args[0].str()}") from None


class _Log:
    """Log of errors that librdkafka tries again after: each kind once a minute."""

    def __init__(self) -> None:
        self._logged: dict[int, float] = {}

    def __call__(self, error: KafkaError) -> None:
        now = time.monotonic()
        if now - self._logged.get(error.code(), -LOG_EVERY_S) >= LOG_EVERY_S:
            self._logged[error.code()] = now
            logger.warning("kafka: %s", error.str())


def _passes(error: KafkaError) -> bool:
    """Return whether librdkafka tries again by itself."""
    return bool(error.retriable()) or error.code() in (error._TRANSPORT, error._ALL_BROKERS_DOWN)


def _milliseconds(message: Message) -> int:
    """Return the time of Kafka; 0 where it has none."""
    kind, milliseconds = message.timestamp()
    return milliseconds if kind else 0
