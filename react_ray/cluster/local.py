"""A temporary Ray on this machine for one command, with cleanup."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from react_ray.cluster.guard import Guard
from react_ray.cluster.ray_private import init_in
from react_ray.errors import ClusterError, InputError

__all__ = ["RAY", "LocalRay", "private_folder"]

MAX_PATH = 20
"""Maximum bytes of the parent folder: paths of sockets have at most 107 bytes, and Ray appends to it."""
MIN_OPEN_FILES, MAX_OPEN_FILES = 1024, 65_536
"""Limits on open files: the minimum for Ray and HAProxy to start, and the most that they need."""
RAY = "ray"
"""Name of Ray's folder inside ours."""
SHARED_MEMORY, MIN_SHARED_MEMORY = Path("/dev/shm"), 1 << 28
"""Folder of Ray's object store, and the bytes below which it is too small."""

log = logging.getLogger(__name__)


def private_folder() -> Path:
    """Create a folder that only this user can enter, with a path that is short enough for sockets.

    The parent is RAY_TMPDIR if set, else the first of TMPDIR, /tmp, XDG_RUNTIME_DIR and /var/tmp that
    works. Raises InputError if none does.
    """
    if ray_tmpdir := os.environ.get("RAY_TMPDIR"):
        candidates = {ray_tmpdir: "RAY_TMPDIR="}
    else:
        tmpdir, runtime = (os.environ.get(name, "") for name in ("TMPDIR", "XDG_RUNTIME_DIR"))
        candidates = {tmpdir: "TMPDIR=", "/tmp": "", runtime: "", "/var/tmp": ""}
    reasons = []
    for path, prefix in candidates.items():
        try:
            if path:
                return _make(Path(path).absolute())
        except (OSError, ValueError) as error:
            reasons.append(f"{prefix}{path}: {getattr(error, 'strerror', None) or error}")
    raise InputError(
        f"no folder for Ray's sockets ({'; '.join(reasons)}): set RAY_TMPDIR to one that you can write to, "
        f"with a path of at most {MAX_PATH} characters"
    )


def _make(parent: Path) -> Path:
    if len(os.fsencode(parent)) > MAX_PATH:
        raise ValueError(f"too long, {len(os.fsencode(parent))} bytes")
    return Path(tempfile.mkdtemp(prefix="react-ray-", dir=parent))


class LocalRay:
    """A Ray instance on this machine, and its cleanup."""

    def __init__(self) -> None:
        _check_open_files()
        self.folder = private_folder()
        self._guard = Guard(self.folder) if sys.platform == "linux" else None

    @property
    def guarded(self) -> bool:
        """Whether a cleanup process runs; on Linux only, because it reads /proc."""
        return self._guard is not None

    def start(self, object_store: int | None, **options: Any) -> Any:
        """Call ``ray.init``; ``object_store`` is its size in bytes (None: Ray's default)."""
        self._use_disk_if_small(object_store)
        try:
            # a subfolder, because Ray makes its folder readable to all users
            return init_in(self.folder / RAY, object_store_memory=object_store, **options)
        except (OSError, RuntimeError, ValueError) as error:
            raise ClusterError(f"Ray does not start on this machine: {error}") from error

    def _use_disk_if_small(self, object_store: int | None) -> None:
        """Let Ray keep its objects in our folder if ``/dev/shm`` is too small."""
        if not SHARED_MEMORY.is_dir():
            return
        free = shutil.disk_usage(SHARED_MEMORY).free
        if free >= (object_store or MIN_SHARED_MEMORY):
            return
        os.environ.setdefault("RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE", "1")
        if object_store is None:
            log.warning(
                "%s has only %d MB free, so Ray keeps its objects in %s, which is slower: "
                "enlarge it (for a container with --shm-size=2g)",
                *(SHARED_MEMORY, free >> 20, self.folder),
            )

    def end(self) -> None:
        """Stop Ray, wait until all its processes have ended, and delete the folder."""
        if self._guard:
            self._guard.end()
        shutil.rmtree(self.folder, ignore_errors=True)


def _check_open_files() -> None:
    """Raise the limit on open files as far as needed. Raises InputError if the hard limit is too low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if allowed < MIN_OPEN_FILES:
        raise InputError(
            f"this process may have {hard} files open, and Ray needs {MIN_OPEN_FILES}: "
            f"raise the limit, as with ulimit -n {MIN_OPEN_FILES}"
        )
    if soft != resource.RLIM_INFINITY and soft < allowed:
        with suppress(ValueError, OSError):  # macOS and sandboxes allow less than they report
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
