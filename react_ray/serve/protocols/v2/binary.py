"""Binary tensors: the binary tensor extension over HTTP, and raw contents over gRPC."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from starlette.datastructures import Headers

from react_ray.serve.limits.refusal import RefusalError, clipped
from react_ray.serve.protocols.v2.tensors import InferAnswer, InferRequest, OutputTensor

__all__ = ["HEADER", "binary_answer", "decoded", "fill", "header_length", "joined", "split", "wants_binary"]

HEADER = "inference-header-content-length"
"""Header with the number of bytes of JSON in a body; tensors follow them."""
Raw = bytes | bytearray


def header_length(headers: Headers, body: Raw) -> int | None:
    """Return the length of the JSON at the start of ``body``; None if it is only JSON.

    Raises RefusalError 400 for an invalid header.
    """
    header = headers.get(HEADER)
    if header is None:
        return None
    length = int(header) if header.isascii() and header.isdecimal() and len(header) < 19 else -1
    if not 0 <= length <= len(body):
        raise RefusalError(
            400, f"{HEADER} is {clipped(header)!r}; expected a number up to {len(body)}, the size of the body"
        )
    return length


def fill(request: InferRequest, binary: Raw | None, most: int) -> None:
    """Add the tensors in ``binary`` (None: the body is only JSON) to ``request``; RefusalError 422.

    Binary tensors have the parameter ``binary_data_size``, and at most ``most`` items.
    """
    at = 0
    for index, tensor in enumerate(request.inputs):
        size = (tensor.parameters or {}).get("binary_data_size")
        if size is None and tensor.data is not None:
            continue
        if size is None or binary is None:
            raise RefusalError(
                422, f"inputs.{index}.data is missing; tensors go as JSON, or as bytes after it with {HEADER}"
            )
        if type(size) is not int or not 0 <= size <= len(binary) - at:
            raise RefusalError(422, f"inputs.{index}: binary_data_size does not fit the {len(binary)} bytes")
        tensor.data = decoded(split(binary[at : at + size], most))
        at += size
    if binary is not None and at != len(binary):
        raise RefusalError(422, f"{len(binary) - at} bytes of the body belong to no tensor")


def split(raw: Raw, most: int) -> list[Raw]:
    """Split a BYTES tensor into items, each after its length as a little-endian 32-bit number.

    RefusalError 413 for more than ``most`` items, 422 if they do not fill ``raw``.
    """
    items: list[Raw] = []
    at = 0
    while at < len(raw):
        end = at + 4 + int.from_bytes(raw[at : at + 4], "little")
        if end > len(raw) or at + 4 > len(raw):
            raise RefusalError(422, f"raw contents end within item {len(items)}")
        if len(items) == most:
            raise RefusalError(413, f"over {most} texts; at most {most} are taken in a request")
        items.append(raw[at + 4 : end])
        at = end
    return items


def decoded(items: Sequence[Raw]) -> list[Any]:
    """Decode items to texts; RefusalError 400 if one is not UTF-8."""
    texts: list[Any] = []
    for index, item in enumerate(items):
        try:
            texts.append(item.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise RefusalError(400, f"item {index} is not UTF-8 at byte {error.start}") from None
    return texts


def wants_binary(request: InferRequest, answer: InferAnswer) -> set[str]:
    """Return the outputs of ``answer`` to send as bytes, as the output or the request specifies."""
    everything = bool((request.parameters or {}).get("binary_data_output"))
    if not request.outputs:
        return {tensor.name for tensor in answer.outputs} if everything else set()
    as_binary = {
        output.name: (output.parameters or {}).get("binary_data", everything) for output in request.outputs
    }
    return {name for name, binary in as_binary.items() if binary}


def binary_answer(answer: InferAnswer, names: set[str]) -> Iterator[bytes]:
    """Move the data of the tensors ``names`` to bytes; the tensors get ``binary_data_size`` instead."""
    for tensor in answer.outputs:
        if tensor.name in names and tensor.data is not None:
            raw = joined(tensor)
            tensor.data, tensor.parameters = None, {"binary_data_size": len(raw)}
            yield raw


def joined(tensor: OutputTensor) -> bytes:
    """Return the data of a tensor as bytes."""
    if tensor.datatype == "FP32":
        return np.asarray(tensor.data, "<f4").tobytes()
    items = [text.encode() for text in tensor.data or []]
    return b"".join(struct.pack("<I", len(item)) + item for item in items)
