"""Stand-in for the HAProxy that Ray Serve starts: it forwards the configuration to the keeper.

    python -m react_ray.serve.ingress.instead -db -f CONFIGURATION ...

Ray starts a process for every change of the routes and kills it to stop HAProxy. This process lives as
long as the HAProxy with its routes. It ends with the process that started it, and starts another keeper
if the first one is gone.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from react_ray.serve.ingress.processes import die_with_parent, is_alive, parent_of

__all__ = ["DONE", "FAILED", "call", "finish", "main"]

KEEPER_WITHIN_S = 30.0
AGAIN_S = 0.1
"""Between a keeper that ended and the next question."""
DONE, FAILED = b"done", b"failed: "


def main(words: list[str]) -> None:
    """Send the configuration to the keeper and wait until its HAProxy has ended."""
    manager = os.getppid()
    raylet = parent_of(manager)
    die_with_parent(manager)
    if raylet <= 1:  # it has ended, and the manager is about to
        raise SystemExit("HAProxy is not started: there is no raylet")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # to the whole group, or because another one takes over
    configuration = Path(words[words.index("-f") + 1])
    while True:
        with call(configuration.parent, f"routes {configuration}", start=raylet) as line:
            said = _all_of(line)
        if said.startswith(FAILED):
            raise SystemExit(said.removeprefix(FAILED).decode())
        if said == DONE:
            return
        time.sleep(AGAIN_S)  # the keeper is gone: the next one may be no better


def _all_of(line: socket.socket) -> bytes:
    """Read from the keeper until it closes the connection or is gone."""
    said = b""
    with suppress(ConnectionError):  # it was killed before it read the command
        while part := line.recv(4096):
            said += part
    return said


def call(folder: Path, command: str, start: int = 0) -> socket.socket:
    """Connect to the keeper of this folder and send ``command``.

    Without a keeper, one is started that lives as long as the process ``start``;
    if that is 0, raises OSError.
    """
    deadline = time.monotonic() + KEEPER_WITHIN_S
    keeper: subprocess.Popen[bytes] | None = None
    while True:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            line.connect(str(folder / "keeper.sock"))
            line.sendall(command.encode() + b"\n")
            return line
        except OSError:
            line.close()
            if not start or not is_alive(start) or time.monotonic() > deadline:
                raise
        if keeper is None or keeper.poll() is not None:
            keeper = _start_keeper(folder, start)
        time.sleep(0.02)


def finish(folder: Path, within_s: float) -> None:
    """Stop every HAProxy below ``folder`` from accepting connections; return after the last answer."""
    for keeper in folder.glob("*/keeper.sock"):
        with suppress(OSError), call(keeper.parent, "stop") as line:
            line.settimeout(within_s)
            _all_of(line)


def _start_keeper(folder: Path, raylet: int) -> subprocess.Popen[bytes]:
    """Start a keeper in a new session, so that it outlives the process that Ray started."""
    with (folder / "ingress.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "react_ray.serve.ingress.keeper", str(folder), str(raylet)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
