"""Process helpers: liveness by pid, and processes that end with their parent."""

from __future__ import annotations

import ctypes
import os
import signal
from pathlib import Path

__all__ = ["die_with_parent", "is_alive", "parent_of"]

PR_SET_PDEATHSIG = 1


def is_alive(process: int) -> bool:
    """Whether it runs: one that has ended and was not waited for yet does not."""
    return _stat(process)[:1] not in (["Z"], ["X"], [])


def parent_of(process: int) -> int:
    """The number of its parent; 0 where it has ended."""
    return int((_stat(process) or ["", "0"])[1])


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when ``parent``, which has just started it, ends in any way."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before that
        os._exit(1)


def _stat(process: int) -> list[str]:
    """State, parent, ...: what follows the name."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
