"""Cleanup process: ends Ray and deletes its folder after the command that started it.

    python -I -S guard.py COMMAND FOLDER      (standard input: a pipe that the command holds)

Ray ends its own processes when all goes well. A command that is killed, a raylet that dies, or a busy
machine leaves some of them, HAProxy with its public port among them. This process is started before Ray, in
a session of its own, so a signal to the command's group does not reach it. When the command has ended, in
whatever way, it kills every process that carries the folder's name in its environment, as all that
descend from the command after :func:`mark` do.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["MARK", "Guard", "marked"]

MARK = "REACT_RAY_FOLDER"
ALONE_S = 5.0
"""For Ray to end its own processes, after a command that reported its end to the guard."""
AT_MOST_S = 30.0


class Guard:
    """The cleanup process of this process and its children."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        os.environ[MARK] = str(folder)

    def end(self) -> None:
        """Return when all processes that this one started have ended."""
        os.environ.pop(MARK, None)
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(AT_MOST_S + ALONE_S)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()


def marked(folder: str) -> set[int]:
    """Return the processes with this folder in their environment, and all their descendants."""
    sign, parents, found = f"{MARK}={folder}".encode(), {}, set()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(place.name)] = int(_stat(place)[1])
            if sign in (place / "environ").read_bytes().split(b"\0"):
                found.add(int(place.name))
        except (OSError, IndexError):  # it has ended, or belongs to somebody else
            continue
    more = found
    while more := {process for process, parent in parents.items() if parent in found} - found:
        found |= more  # a title that a process gives itself may lie over its environment
    return found - {os.getpid()}


def _stat(place: Path) -> list[str]:
    """State, parent, ...: what follows the name."""
    return (place / "stat").read_text().rpartition(")")[2].split()


def main(command: int, folder: Path) -> None:
    """Wait for the end of the command, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    ends = [sys.stdin.fileno()]
    with suppress(OSError):
        ends.append(os.pidfd_open(command))  # a child of the command may hold the pipe for longer
    select.select(ends, [], [])
    _end_all(str(folder), ALONE_S if _lives(command) else 0.0)
    shutil.rmtree(folder, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        return _stat(Path(f"/proc/{process}"))[0] not in "ZX"
    except (OSError, IndexError):
        return False


def _end_all(folder: str, patience: float) -> None:
    """Kill what does not end within ``patience`` seconds, and what it has started meanwhile."""
    began, empty = time.monotonic(), 0
    while empty < 2 and time.monotonic() - began < AT_MOST_S:
        left = marked(folder)
        empty = 0 if left else empty + 1
        if time.monotonic() - began >= patience:
            for process in left:
                with suppress(OSError):
                    os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
