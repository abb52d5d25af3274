"""Limit of the fields of a protobuf message, checked before it is parsed."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from react_ray.serve.limits.refusal import RefusalError

__all__ = ["check_fields"]

VARINT, LENGTH = 0, 2
FIXED = {1: 8, 5: 4}
"""Kinds of values on the wire; the last ones have a size of their own."""
TEXTS = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)


def check_fields(raw: bytes, message: Any, most: int) -> None:
    """Raise RefusalError 413 if ``raw`` has more than ``most`` fields, 400 if it is not a ``message``.

    A nested message of two bytes takes a hundred when it is parsed. Packed numbers of one byte take
    eight, so each of them counts.
    """
    remaining = most
    waiting: list[tuple[int, int, Any]] = [(0, len(raw), message.DESCRIPTOR)]
    while waiting:
        at, end, descriptor = waiting.pop()
        while at < end:
            tag, at = _varint(raw, at, end)
            start, at = _value(raw, at, end, tag & 7)
            field = descriptor.fields_by_number.get(tag >> 3)
            remaining -= 1
            if tag & 7 == LENGTH and field is not None:
                if field.message_type:
                    waiting.append((start, at, field.message_type))
                elif field.type not in TEXTS:
                    remaining -= at - start
            if remaining < 0:
                raise RefusalError(413, f"the message has over {most} fields")
        if at != end:
            raise RefusalError(400, f"the message is no {message.DESCRIPTOR.name}")


def _value(raw: bytes, at: int, end: int, kind: int) -> tuple[int, int]:
    """Return start and end of the value at ``at``."""
    if kind == VARINT:
        return at, _varint(raw, at, end)[1]
    if kind == LENGTH:
        size, at = _varint(raw, at, end)
        return at, at + size
    if kind not in FIXED:
        raise RefusalError(400, "the message is no protobuf: it has a field of an unknown kind")
    return at, at + FIXED[kind]


def _varint(raw: bytes, at: int, end: int) -> tuple[int, int]:
    """Return the number at ``at``, and the start of the next field."""
    value = shift = 0
    while at < end and shift < 64:
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise RefusalError(400, "the message is no protobuf: a number does not end")
