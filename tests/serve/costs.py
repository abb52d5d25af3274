"""What one request costs: the longest time in which nobody else is answered, and its memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fakes import FakeModel as Model

from react_ray.serve.protocols.v2 import inference_pb2 as wire

__all__ = ["BODIES", "Cost", "Model", "bodies", "context", "cost_of", "least_cost", "messages", "request"]

CHUNK = 1 << 16
JSON = "application/json"


@dataclass
class Cost:
    status: int
    answer: bytes
    blocked_s: float
    memory: int
    """Bytes at most above those before; 0 where the system does not tell."""


def cost_of(work: Callable[[], Awaitable[tuple[int, bytes]]]) -> Cost:
    """Do the work in an event loop that is watched."""

    async def watched() -> Cost:
        longest, running = 0.0, True

        async def tick() -> None:
            nonlocal longest
            last = time.thread_time()
            while running:
                await asyncio.sleep(0)
                now = time.thread_time()
                longest, last = max(longest, now - last), now

        ticking = asyncio.create_task(tick())
        await asyncio.sleep(0.001)
        longest = 0.0
        before = _reset_peak()
        status, answer = await work()
        memory = _status("VmHWM") - before
        running = False
        await ticking
        return Cost(status, answer, longest, memory)

    return asyncio.run(watched())


def least_cost(work: Callable[[], Awaitable[tuple[int, bytes]]], memory: int) -> Cost:
    """The cost of the work, done again where it took more memory: other threads allocate too."""
    costs = [cost_of(work)]
    while costs[-1].memory > memory + 2 * len(costs[-1].answer) and len(costs) < 3:
        costs.append(cost_of(work))
    return min(costs, key=lambda cost: cost.memory)


def _reset_peak() -> int:
    """Memory now; the peak is counted from here on."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return 1 << 62
    return _status("VmRSS")


def _status(name: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))


async def request(
    app: Any,
    path: str,
    body: bytes = b"",
    kind: str = JSON,
    method: str = "POST",
    query: bytes = b"",
    headers: dict[bytes, bytes] | None = None,
) -> tuple[int, bytes]:
    """Ask the application as a server does: the body in pieces."""
    status, answered = 0, list[bytes]()  # a growing bytearray would be copied now and then
    pieces = iter([*(body[start : start + CHUNK] for start in range(0, len(body), CHUNK)), b""])

    async def receive() -> dict[str, Any]:
        piece = next(pieces, None)
        if piece is None:
            await asyncio.Event().wait()  # the caller stays
        return {"type": "http.request", "body": piece, "more_body": bool(piece)}

    async def send(message: Any) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        answered.append(message.get("body", b""))

    given = {b"host": b"localhost", b"content-type": kind.encode(), **(headers or {})}
    scope = {"type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode()}
    scope |= {
        "query_string": query,
        "headers": list(given.items()),
        "client": ("127.0.0.1", 5),
        "scheme": "http",
    }
    await app(scope, receive, send)
    return status, b"".join(answered)


def repeated(start: bytes, part: bytes, end: bytes, size: int) -> bytes:
    return start + part * ((size - len(start) - len(end)) // len(part)) + end


TENSOR = b'{"inputs":[{"name":"text","datatype":"BYTES","shape":[1],"data":'
SHAPES: dict[str, tuple[bytes, bytes, bytes]] = {
    "empty objects": (b'{"inputs":[{}', b",{}", b"]}"),
    "empty lists": (b'{"inputs":[[]', b",[]", b"]}"),
    "empty strings": (b'{"inputs":[""', b',""', b"]}"),
    "short strings": (b'{"inputs":["a"', b',"b"', b"]}"),
    "numbers": (b'{"inputs":[1', b",1", b"]}"),
    "nulls": (b'{"inputs":[null', b",null", b"]}"),
    "nested lists": (b'{"inputs":', b"[", b""),
    "nested and closed": (b"[" * 50, b"[]," * 50 + b"[]", b"]" * 50),
    "nested objects": (b"", b'{"a":', b""),
    "one text": (b'{"inputs":"', b"a", b'"}'),
    "texts with commas": (b'{"inputs":["', b"a, b, [c]; {d} ", b'"]}'),
    "escaped letters": (b'{"inputs":"', b"\\u4e00", b'"}'),
    "escaped emoji": (b'{"inputs":"', b"\\ud83d\\ude00", b'"}'),
    "escaped lines": (b'{"inputs":"', b"\\n", b'"}'),
    "half surrogates": (b'{"inputs":"', b"\\ud800", b'"}'),
    "backslashes": (b'{"inputs":"', b"\\\\", b'"}'),
    "wide characters": (b'{"inputs":"', "股".encode(), '😀"}'.encode()),
    "one emoji": (b'{"inputs":"', b"a", '😀"}'.encode()),
    "not UTF-8": (b'{"inputs":"', b"a", b'\xff"}'),
    "a long number": (b'{"inputs":', b"1", b"}"),
    "a long fraction": (b'{"inputs":0.', b"1", b"}"),
    "a long exponent": (b'{"inputs":1e', b"9", b"}"),
    "white space": (b"", b" ", b""),
    "line ends": (b"", b"\n", b""),
    "one name": (b'{"', b"k", b'":1}'),
    "the same name": (b'{"inputs":"a"', b',"inputs":"a"', b"}"),
    "not a number": (b'{"inputs":[NaN', b",NaN", b"]}"),
    "quotes": (b"", b'"', b""),
    "commas": (b"", b",", b""),
    "zeros": (b"", b"\x00", b""),
    "inputs": (b'{"inputs":[{"name":"a"}', b',{"name":"a"}', b"]}"),
    "items": (TENSOR + b'[""', b',""', b"]}]}"),
    "lists of items": (TENSOR + b'[["a"]', b',["a"]', b"]}]}"),
    "dimensions": (b'{"inputs":[{"name":"text","datatype":"BYTES","data":["a"],"shape":[1', b",1", b"]}]}"),
    "outputs": (TENSOR + b'["a"]}],"outputs":[{}', b",{}", b"]}"),
    "parameters": (TENSOR + b'["a"]}],"parameters":{"a":1', b',"b":[]', b"}}"),
    "a long output": (TENSOR + b'["a"]}],"outputs":[{"name":"', b"\x7f", b'"}]}'),
    "a long label": (b'{"input":"a","label":"', b"\\u0001", b'"}'),
    "words": (b'{"input":"', b"a b, ", b'"}'),
    "lines of texts": (b"", b'"a"\n', b""),
    "lines of objects": (b"", b"{}\n", b""),
    "lines of lists": (b"", b"[[],[],[]]\n", b""),
    "long lines": (b"", b'"' + b"a" * 90_000 + b'"\n', b""),
    "lines of escapes": (b"", b'"' + b"\\u4e00" * 15_000 + b'"\n', b""),
    "one long line": (b'"', b"a", b'"\n'),
    "ids": (b"", b'{"id":"a","text":"a"}\n', b""),
}


def bodies(size: int) -> Iterator[tuple[str, bytes]]:
    """Of each shape one of ``size`` bytes."""
    for name, (start, part, end) in SHAPES.items():
        yield name, repeated(start, part, end, size)


BODIES = list(SHAPES)


def messages(size: int) -> Iterator[tuple[str, bytes]]:
    """Requests over gRPC of about ``size`` bytes, as they come."""
    tensor = wire.ModelInferRequest(model_name="classifier")
    tensor.inputs.add(name="text", datatype="BYTES", shape=[1])
    start = tensor.SerializeToString()
    yield "empty inputs", start + b"\x2a\x00" * (size // 2)
    yield "empty outputs", start + b"\x32\x00" * (size // 2)
    yield "parameters", start + b"\x22\x00" * (size // 2)
    yield "raw contents", start + b"\x3a\x00" * (size // 2)
    yield "unknown fields", start + b"\xf8\x01\x01" * (size // 3)
    yield "items", _tensor(b"\x42\x00" * (size // 2), number=5)
    yield "packed numbers", _tensor(_delimited(2, b"\x01" * size), number=5)
    yield "dimensions", _tensor(b"\x01" * size, number=3)
    yield "raw items", start + _delimited(7, b"\x00\x00\x00\x00" * (size // 4))
    yield "one raw text", start + _delimited(7, (size - 4).to_bytes(4, "little") + b"a" * (size - 4))
    yield "a long name", _delimited(1, b"\x01" * size)
    yield "no end", b"\xff" * size
    yield "zeros", b"\x00" * size


def _tensor(content: bytes, number: int) -> bytes:
    return _delimited(1, b"classifier") + _delimited(5, _delimited(1, b"text") + _delimited(number, content))


def _delimited(number: int, content: bytes) -> bytes:
    size, length = len(content), bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([number << 3 | 2]) + bytes([*length, size]) + content


def context() -> Any:
    """What a method of the gRPC service is given beside its request."""
    told = SimpleNamespace(status=None, details="")
    return SimpleNamespace(
        told=told,
        trailing_metadata=list,
        invocation_metadata=list,
        peer=lambda: "ipv4:127.0.0.1:5",
        code=lambda: told.status,
        set_code=lambda code: setattr(told, "status", code),
        set_details=lambda details: setattr(told, "details", details),
    )
