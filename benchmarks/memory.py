"""Run a command and watch the memory of its process and of all that it starts (Linux, from /proc)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Measured", "watch"]

EVERY_S = 0.2
PROC = Path("/proc")


@dataclass
class Measured:
    """Seconds and peaks in MB.

    ``driver`` is the resident memory of the process itself; ``tree`` what it and its children hold
    together, shared pages counted once; ``object_store`` what Ray's store holds of that.
    """

    seconds: float = 0.0
    driver: float = 0.0
    tree: float = 0.0
    object_store: float = 0.0


class CommandFailedError(Exception):
    """The command's exit code was not 0; the message has the end of what it said."""


def watch(command: Sequence[str], env: dict[str, str]) -> Measured:
    """Run ``command`` with ``env`` beside the environment; raises CommandFailedError."""
    measured = Measured()
    started = time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdout=said, stderr=subprocess.STDOUT, env={**os.environ, **env}, start_new_session=True
        )
        over = threading.Event()
        sampler = threading.Thread(target=_sample, args=(process.pid, measured, over))
        sampler.start()
        try:
            code = process.wait()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            over.set()
            sampler.join()
        measured.seconds = round(time.monotonic() - started, 1)
        if code:
            said.seek(max(0, said.tell() - 4000))
            raise CommandFailedError(
                f"{' '.join(command)}: exit code {code}\n{said.read().decode(errors='replace')}"
            )
    return measured


def _sample(pid: int, measured: Measured, over: threading.Event) -> None:
    while not over.wait(EVERY_S):
        tree = _descendants(pid)
        measured.driver = max(measured.driver, _megabytes(pid, "status", "VmHWM"))
        held = sum(_megabytes(one, "smaps_rollup", "Pss") for one in tree)
        measured.tree = max(measured.tree, round(held, 1))
        stores = [one for one in tree if _name(one) == "raylet"]
        shared = sum(_megabytes(one, "status", "RssShmem") for one in stores)
        measured.object_store = max(measured.object_store, shared)


def _descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = defaultdict(list)
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            stat = _read(folder / "stat")
            if stat:
                children[int(stat.rpartition(")")[2].split()[1])].append(int(folder.name))
    found = [root]
    for pid in found:
        found += children[pid]
    return found


def _name(pid: int) -> str:
    return _read(PROC / str(pid) / "comm").strip()


def _megabytes(pid: int, file: str, field: str) -> float:
    """Kernel kilobytes as MB; 0 for a process that has ended."""
    found = re.search(rf"^{field}:\s+(\d+) kB", _read(PROC / str(pid) / file), re.M)
    return round(int(found[1]) * 1024 / 1e6, 1) if found else 0.0


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
