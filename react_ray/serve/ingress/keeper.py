"""Supervisor of HAProxy on one machine: holds the ports, changes routes, restarts it when it dies.

    python -m react_ray.serve.ingress.keeper FOLDER RAYLET

The keeper owns the listening sockets, so that connections wait in the kernel while HAProxy is restarted.
HAProxy ends with this process (parent-death signal), and this process ends with the raylet, or when Ray
stops the process that it takes for HAProxy. If the actor that manages HAProxy dies, HAProxy continues
until Ray has started another actor.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import resource
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Protocol

from react_ray.serve.ingress.configuration import ProxyLimits, configuration
from react_ray.serve.ingress.haproxy import HAProxy
from react_ray.serve.ingress.instead import DONE, FAILED
from react_ray.serve.ingress.listening import Listening
from react_ray.serve.ingress.processes import is_alive, parent_of
from react_ray.serve.ingress.routes import Routes, read_routes

__all__ = ["Keeper", "keep_running"]

LIMITS = "REACT_RAY_INGRESS"
HOST = "REACT_RAY_HOST"
LOOK_EVERY_S = 0.2
TAKEOVER_S = 60.0
"""Seconds for Ray to replace the actor that manages HAProxy, on a busy machine."""
PORT_FREE_S = 5.0
CREDENTIALS = struct.Struct("3i")
"""Process, user and group."""
AGAIN_S = (0.02, 1.0)
"""Pauses before HAProxy is started again: the first, and the longest where it dies at once each time."""


class Keeper:
    """Keeper that runs HAProxy with the latest routes."""

    def __init__(self, folder: Path, raylet: int):
        self._folder, self._raylet = folder, raylet
        self._limits = ProxyLimits.load(os.environ[LIMITS])
        self._ports = Listening(os.environ.get(HOST))
        self._haproxy: HAProxy | None = None
        self._count = 0
        self._client = 0  # the process that Ray takes for HAProxy
        self._stopping = False
        self._over = asyncio.Event()
        self._changing = asyncio.Lock()
        self._admin: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Run until the raylet is gone or Ray stops HAProxy."""
        with contextlib.suppress(FileNotFoundError):
            (self._folder / "keeper.sock").unlink()
        server = await asyncio.start_unix_server(self._handle_call, self._folder / "keeper.sock")
        unused = time.monotonic() + TAKEOVER_S
        try:
            while not self._over.is_set() and is_alive(self._raylet):
                if not self._client and time.monotonic() > unused:
                    break
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._over.wait(), LOOK_EVERY_S)
        finally:
            server.close()
            self._ports.close()
            if self._haproxy:
                self._haproxy.kill()

    async def _handle_call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        command, _, file = (await reader.readline()).decode().strip().partition(" ")
        with contextlib.closing(writer), contextlib.suppress(ConnectionError):
            if command == "stop":
                await self._stop()
                writer.write(DONE)
            elif command == "routes":
                await self._serve_client(Path(file), reader, writer)
            await writer.drain()

    async def _serve_client(
        self, file: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve a stand-in that Ray started: apply its routes, and keep it connected meanwhile."""
        client = _peer(writer)
        manager = parent_of(client)
        try:
            async with self._changing:
                haproxy = await self._take(read_routes(file.read_text()))
                self._client = client
        except (OSError, ValueError, RuntimeError) as error:
            _log(f"the routes of {file} cannot be served: {error}")
            writer.write(FAILED + str(error).encode())
            return
        gone = asyncio.create_task(reader.read())
        replaced = asyncio.create_task(haproxy.ended.wait())
        await asyncio.wait({gone, replaced}, return_when=asyncio.FIRST_COMPLETED)
        if haproxy is self._haproxy:  # ended for good: Ray need not know
            await gone
        replaced.cancel()
        if not gone.done():
            gone.cancel()
            writer.write(DONE)
        elif client == self._client:
            await self._abandoned(client, manager)

    async def _abandoned(self, client: int, manager: int) -> None:
        """Return whether Ray stopped HAProxy, rather than that its actor died and will be replaced."""
        await asyncio.sleep(LOOK_EVERY_S)
        if not is_alive(manager):
            await asyncio.sleep(TAKEOVER_S)
        if client == self._client:
            self._over.set()

    async def _take(self, routes: Routes) -> HAProxy:
        """Start another HAProxy with these routes, and let the previous one finish its requests."""
        frontends = {} if self._stopping else {"http": routes.http, "grpc": routes.grpc}
        ports = {
            name: (frontend.host, frontend.port)
            for name, frontend in frontends.items()
            if frontend and frontend.serves
        }
        await self._open(ports)
        http, grpc = (self._ports.numbers(name) if name in ports else [] for name in ("http", "grpc"))
        before, self._count = self._haproxy, self._count + 1
        file = self._folder / f"{self._count}.cfg"
        # Not beside it: the folder's name is long, and HAProxy adds to the name while it starts.
        answers_on = self._folder.parent / f"{os.getpid()}-{self._count}.sock"
        file.write_text(configuration(routes, self._limits, answers_on, http, grpc, _open_files()))
        haproxy = HAProxy(file, answers_on, (*http, *grpc))
        await haproxy.start()
        self._haproxy = haproxy
        self._ports.close_others(ports)
        self._watch(haproxy)
        if before:
            before.finish()
        await self._listen_to_ray(Path(routes.admin))
        return haproxy

    async def _open(self, ports: dict[str, tuple[str, int]]) -> None:
        """Open the ports, with retries: the HAProxy of a killed keeper may briefly hold them."""
        deadline = time.monotonic() + PORT_FREE_S
        while True:
            try:
                return self._ports.open(ports)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.05)

    def _watch(self, haproxy: HAProxy) -> None:
        task = asyncio.create_task(keep_running(haproxy))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stop(self) -> None:
        """Stop accepting connections, and return when all requests are answered."""
        async with self._changing:
            self._stopping = True
            self._ports.close()
            haproxy = self._haproxy
        if haproxy:
            haproxy.finish()
            await haproxy.ended.wait()

    async def _listen_to_ray(self, admin: Path) -> None:
        """Answer on HAProxy's admin socket, where Ray checks whether its process is up."""
        if self._admin is None:
            admin.unlink(missing_ok=True)
            self._admin = await asyncio.start_unix_server(self._answer_admin, admin)

    async def _answer_admin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            question = (await reader.readline()).strip()
            if question == b"show info":
                writer.write(f"Name: HAProxy\nPid: {self._client}\n".encode())
            elif question == b"show stat" and self._haproxy:
                writer.write(await self._haproxy.ask(question))
            await writer.drain()


class Restartable(Protocol):
    """Interface of a restartable process, such as :class:`HAProxy`."""

    finishing: bool

    async def start(self) -> None:
        """Start it and return when it answers; RuntimeError or OSError if it does not start."""

    async def wait(self) -> str:
        """Return when it has ended, with the reason in words."""

    def clean_up(self) -> None:
        """Clean up after its final end."""


async def keep_running(haproxy: Restartable) -> None:
    """Restart HAProxy after unexpected ends; return after its intended end.

    Each restart and each failed restart is logged.
    """
    pause, longest = AGAIN_S
    said = ""
    while True:
        began = time.monotonic()
        why = await haproxy.wait()
        if haproxy.finishing:
            haproxy.clean_up()
            return
        if time.monotonic() - began > longest:
            pause = AGAIN_S[0]
        await asyncio.sleep(pause)
        pause = min(2 * pause, longest)
        if haproxy.finishing:  # another one has its place since
            continue
        try:
            await haproxy.start()
        except (RuntimeError, OSError) as error:
            failed = f"died: HAProxy ended and does not start again: {error}"
            if failed != said:
                _log(failed)
            said = failed
        else:
            _log(f"died: HAProxy ended with {why} and was started again")
            said = ""


def _peer(writer: asyncio.StreamWriter) -> int:
    """Return the process id of the peer."""
    credentials = writer.get_extra_info("socket").getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size
    )
    return int(CREDENTIALS.unpack(credentials)[0])


def _open_files() -> int:
    """Return the limit of open files of HAProxy, which raises its own limit to the maximum."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def _log(text: str) -> None:
    print(time.strftime("%Y-%m-%dT%H:%M:%S"), text, file=sys.stderr, flush=True)


def main(folder: Path, raylet: int) -> None:
    """Run the keeper, unless there is one already."""
    os.umask(0o077)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with (folder / "keeper.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        asyncio.run(Keeper(folder, raylet).run())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
