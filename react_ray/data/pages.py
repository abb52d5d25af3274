"""Sizes declared by the page headers of a parquet file, checked before Arrow allocates them.

A column chunk is a sequence of pages, each after a header in Thrift's compact protocol. A page of a few
hundred bytes may declare gigabytes, or millions of values in one list, and the footer need not mention it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["ChunkPages", "read_pages"]

HEADER_BYTES = 1 << 20
"""Maximum size of a page header, which may hold statistics; in most files it has some hundred bytes."""
DICTIONARY_PAGE = 2
MAX_DEPTH = 16


@dataclass
class ChunkPages:
    """Largest sizes that the pages of a column chunk declare, in bytes and values."""

    page_bytes: int = 0
    page_values: int = 0
    value_bytes: int = 0
    dictionary_bytes: int = 0


def read_pages(stream: pa.NativeFile, chunk: pq.ColumnChunkMetaData, block: int = 1 << 13) -> ChunkPages:
    """Read the headers of all pages of a column chunk; ValueError where they are damaged.

    ``block`` is the number of bytes to read at a time.
    """
    largest = ChunkPages()
    place = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset:
        place = min(place, chunk.dictionary_page_offset)
    end = place + chunk.total_compressed_size
    window, start = b"", 0
    while place < end:
        header, length = None, block
        while header is None:
            if not start <= place <= place + length <= start + len(window):
                stream.seek(place)
                window, start = stream.read(length), place
            header = _parse(window, place - start)
            if header is None and (length > HEADER_BYTES or len(window) < length):
                raise ValueError("a page header is damaged")
            length *= 4
        fields, behind = header
        _add(largest, fields)
        packed = fields.get(3)
        if not isinstance(packed, int) or packed < 0:
            raise ValueError("a page header is damaged")
        place = start + behind + packed
    return largest


def _add(largest: ChunkPages, fields: dict[int, Any]) -> None:
    size = fields.get(2, 0)
    details = fields.get(5) or fields.get(8) or fields.get(7) or {}
    values = details.get(1, 0) if isinstance(details, dict) else None
    if not isinstance(size, int) or not isinstance(values, int) or size < 0:
        raise ValueError("a page header is damaged")
    largest.page_bytes = max(largest.page_bytes, size)
    if fields.get(1) == DICTIONARY_PAGE:
        largest.dictionary_bytes = max(largest.dictionary_bytes, size)
    else:
        largest.page_values = max(largest.page_values, values)
        largest.value_bytes = max(largest.value_bytes, size // max(values, 1))


def _parse(data: bytes, place: int) -> tuple[dict[int, Any], int] | None:
    """Return the fields of a header and its end; None where ``data`` is too short."""
    reader = _Thrift(data, place)
    try:
        return reader.struct(), reader.place
    except IndexError:
        return None


class _Thrift:
    """Reader of Thrift's compact protocol; keeps integers and structs, skips other values."""

    def __init__(self, data: bytes, place: int):
        self.data, self.place = data, place

    def struct(self, depth: int = 0) -> dict[int, Any]:
        if depth > MAX_DEPTH:
            raise ValueError("a page header is damaged")
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._number()
            kind = head & 15
            fields[number] = self._value(kind, depth) if kind > 2 else 2 - kind
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._number()
        if kind == 12:
            return self.struct(depth + 1)
        if kind in (9, 10):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            for _ in range(count):
                self._value(max(head & 15, 3), depth + 1)
            return None
        sizes = {7: 8, 13: 16}
        size = self._varint() if kind == 8 else sizes.get(kind)
        if size is None:
            raise ValueError("a page header is damaged")
        self.place += size
        if self.place > len(self.data):
            raise IndexError
        return None

    def _byte(self) -> int:
        byte = self.data[self.place]
        self.place += 1
        return byte

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a page header is damaged")

    def _number(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
