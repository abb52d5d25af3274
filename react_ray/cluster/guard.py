"""Cleanup process: kills leftover Ray processes and deletes Ray's folder after a command has ended.

    python -I -S guard.py COMMAND_PID FOLDER      (standard input: a pipe that the command keeps open)

Ray ends its own processes normally. When a command is killed, a raylet dies or the machine is busy, some
remain, among them HAProxy with its public port. This process starts before Ray, in a session of its own, so
that signals to the command's process group do not reach it. When the command has ended for any reason, it
kills every process whose environment names the folder: all descendants that were started after the guard.
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
GRACE_S = 5.0
"""Seconds for Ray to end its own processes, if the command ended normally."""
TIMEOUT_S = 30.0


class Guard:
    """Starts the cleanup process for this process and its descendants."""

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
        """Wait until all processes that this one started have ended."""
        os.environ.pop(MARK, None)
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(TIMEOUT_S + GRACE_S)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()


def marked(folder: str) -> set[int]:
    """Return the ids of processes whose environment names ``folder``, and of their descendants."""
    variable, parents, processes = f"{MARK}={folder}".encode(), {}, set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int(_stat(path)[1])
            if variable in (path / "environ").read_bytes().split(b"\0"):
                processes.add(int(path.name))
        except (OSError, IndexError):  # it has ended, or belongs to another user
            continue
    children = processes
    while children := {process for process, parent in parents.items() if parent in processes} - processes:
        processes |= children  # a process that sets its title may overwrite its environment
    return processes - {os.getpid()}


def _stat(path: Path) -> list[str]:
    """Fields of /proc/PID/stat after the process name: state, parent, ..."""
    return (path / "stat").read_text().rpartition(")")[2].split()


def main(command: int, folder: Path) -> None:
    """Wait for the end of the command, then clean up."""
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, signal.SIG_IGN)
    descriptors = [sys.stdin.fileno()]
    with suppress(OSError):
        descriptors.append(os.pidfd_open(command))  # a child of the command may keep the pipe open
    select.select(descriptors, [], [])
    _kill_all(str(folder), GRACE_S if _is_alive(command) else 0.0)
    shutil.rmtree(folder, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        return _stat(Path(f"/proc/{process}"))[0] not in "ZX"
    except (OSError, IndexError):
        return False


def _kill_all(folder: str, grace_s: float) -> None:
    """Kill processes that do not end within ``grace_s`` seconds, and those that they start meanwhile."""
    started, empty_rounds = time.monotonic(), 0
    while empty_rounds < 2 and time.monotonic() - started < TIMEOUT_S:
        remaining = marked(folder)
        empty_rounds = 0 if remaining else empty_rounds + 1
        if time.monotonic() - started >= grace_s:
            for process in remaining:
                with suppress(OSError):
                    os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
