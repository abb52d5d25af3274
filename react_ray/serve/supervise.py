"""Supervision of a running service: a message for each process that dies. Ray's logs go to a file."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from react_ray.cluster.guard import marked
from react_ray.console.terminal import plain
from react_ray.errors import ClusterError
from react_ray.serve.replicas import Replacements

__all__ = ["Console", "ray_apart", "ray_is_whole", "supervise"]

LOOK_EVERY_S = 1.0
DEAD = re.compile(r"Worker PID: (\d+)")
"""Line of Ray about a process that ended unexpectedly."""
NAMES = {
    "ray::ServeReplica:": "a replica of {}",
    "ray::ServeController": "the controller of Ray Serve",
    "ray::HAProxyManager": "the manager of HAProxy",
    "ray::ProxyActor": "Ray's own proxy",
}
NEEDED = ("gcs_server", "raylet")
"""Processes that Ray needs, and does not restart."""


class Console:
    """Console of the command: results on ``out``, progress on ``err``."""

    def __init__(self, out: TextIO, err: TextIO):
        self.out, self.err = out, err

    def say(self, text: str) -> None:
        """Print a progress message."""
        print(plain(text), file=self.err, flush=True)


@contextmanager
def ray_apart(file: Path) -> Iterator[Console]:
    """Redirect standard output and error to ``file``, except the output of the console.

    Ray writes there without Python's logging, from its own threads and from C++.
    """
    before = os.dup(1), os.dup(2)
    _flush()
    with file.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    encoding = sys.stdout.encoding
    with (
        open(before[0], "w", encoding=encoding, errors="replace", closefd=False) as out,
        open(before[1], "w", encoding=encoding, errors="replace", closefd=False) as err,
    ):
        try:
            yield Console(out, err)
        finally:
            _flush()
            for number, descriptor in enumerate(before, 1):
                os.dup2(descriptor, number)
                os.close(descriptor)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()


def ray_is_whole(folder: Path) -> bool:
    """Return whether Ray's essential processes run, which nothing restarts."""
    return set(NEEDED) <= set(_processes(folder).values())


def supervise(console: Console, ray_output: Path, folder: Path | None, replacements: Replacements) -> None:
    """Report processes that die, until cancelled; ClusterError when Ray itself is gone.

    ``ray_output`` is the file of Ray's output, ``folder`` that of a Ray on this machine.
    """
    names: dict[int, str] = {}
    files = _Following(ray_output, folder)
    while True:
        now = _processes(folder) if folder else {}
        lost = [name for process, name in names.items() if name in NEEDED and process not in now]
        if lost:
            raise ClusterError(f"Ray has ended: its {' and '.join(lost)} died. Start the service again")
        for line in files.new_lines():
            for process in map(int, DEAD.findall(line)):
                name = names.get(process, "a process of Ray's")
                console.say(f"Died: {name} (process {process}). Ray starts another one; more in {ray_output}")
            if " died: " in line:
                console.say("Died: " + line.partition(" died: ")[2])
        replacements.check()
        names |= now
        time.sleep(LOOK_EVERY_S)


class _Following:
    """Follower of lines that are appended to files."""

    def __init__(self, ray_output: Path, folder: Path | None):
        self._ray_output, self._folder = ray_output, folder
        self._read: dict[Path, int] = {ray_output: ray_output.stat().st_size}

    def new_lines(self) -> Iterator[str]:
        """Return the complete lines that are new."""
        ingress_logs = self._folder.glob("*/ingress.log") if self._folder else ()
        for file in (self._ray_output, *ingress_logs):
            with suppress(OSError), file.open("rb") as stream:
                stream.seek(self._read.get(file, 0))
                complete = stream.read().rpartition(b"\n")
                self._read[file] = self._read.get(file, 0) + len(complete[0] + complete[1])
                yield from complete[0].decode(errors="replace").splitlines()


def _processes(folder: Path) -> dict[int, str]:
    """Return descriptions of the processes of this Ray by process id."""
    names = {}
    for process in marked(str(folder)):
        with suppress(OSError):
            title = Path(f"/proc/{process}/cmdline").read_bytes().partition(b"\0")[0].decode(errors="replace")
            names[process] = _name(title)
    return names


def _name(title: str) -> str:
    for start, name in NAMES.items():
        if title.startswith(start):
            return name.format(title.removeprefix(start).partition(":")[0])
    return title.removeprefix("ray::") if title.startswith("ray::") else Path(title).name
