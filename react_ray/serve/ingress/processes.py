"""Process helpers: liveness by pid, and processes that end with their parent."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

__all__ = ["die_with_parent", "is_alive", "parent_of"]

PR_SET_PDEATHSIG = 1


def is_alive(process: int) -> bool:
    """Return whether a process runs; zombies do not."""
    return _stat(process)[:1] not in (["Z"], ["X"], [])


def parent_of(process: int) -> int:
    """Return the process id of its parent; 0 if it has ended."""
    return int((_stat(process) or ["", "0"])[1])


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when ``parent``, which started it, ends in any way."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before that
        os._exit(1)


def _stat(process: int) -> list[str]:
    """Return the fields of the process status after the name: state, parent, ..."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
