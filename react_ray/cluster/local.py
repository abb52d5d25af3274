"""Ray on this machine for one command, in a temporary folder, with cleanup."""

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

LONGEST = 20
"""Characters of the folder that ours is made in: a path of a socket has 107 bytes, and Ray adds the rest."""
OPEN_FILES, PLENTY = 1024, 65_536
"""The fewest that Ray and HAProxy start with, and the most that they need."""
RAY = "ray"
"""Ray's own folder in ours."""
SHARED, SMALL = Path("/dev/shm"), 1 << 28
"""Where Ray keeps objects, and how many bytes are few for that."""

log = logging.getLogger(__name__)


def private_folder() -> Path:
    """Make a folder that only this user can enter, where paths of sockets are short enough.

    It is made in RAY_TMPDIR where that is set, else in the first of TMPDIR, /tmp, XDG_RUNTIME_DIR and
    /var/tmp that will do. InputError where there is none.
    """
    named = {name: os.environ.get(name, "") for name in ("RAY_TMPDIR", "TMPDIR", "XDG_RUNTIME_DIR")}
    places = {named["TMPDIR"]: "TMPDIR=", "/tmp": "", named["XDG_RUNTIME_DIR"]: "", "/var/tmp": ""}
    if named["RAY_TMPDIR"]:
        places = {named["RAY_TMPDIR"]: "RAY_TMPDIR="}
    reasons = []
    for place, name in places.items():
        try:
            if place:
                return _make(Path(place).absolute())
        except (OSError, ValueError) as error:
            reasons.append(f"{name}{place}: {getattr(error, 'strerror', None) or error}")
    raise InputError(
        f"no folder for Ray's sockets ({'; '.join(reasons)}): set RAY_TMPDIR to one that you can write to, "
        f"with a path of at most {LONGEST} characters"
    )


def _make(place: Path) -> Path:
    if len(os.fsencode(place)) > LONGEST:
        raise ValueError(f"too long, {len(os.fsencode(place))} bytes")
    return Path(tempfile.mkdtemp(prefix="react-ray-", dir=place))


class LocalRay:
    """Ray that is started here, and its cleanup."""

    def __init__(self) -> None:
        _check_open_files()
        self.folder = private_folder()
        self._guard = Guard(self.folder) if sys.platform == "linux" else None

    @property
    def guarded(self) -> bool:
        """Whether the cleanup process runs: on Linux, where /proc lists the processes."""
        return self._guard is not None

    def start(self, object_store: int | None, **options: Any) -> Any:
        """``ray.init`` here; ``object_store`` are bytes (None: as many as Ray likes)."""
        self._allow_little_shared_memory(object_store)
        try:
            # one below ours: Ray opens its folder to everybody
            return init_in(self.folder / RAY, object_store_memory=object_store, **options)
        except (OSError, RuntimeError, ValueError) as error:
            raise ClusterError(f"Ray does not start on this machine: {error}") from error

    def _allow_little_shared_memory(self, object_store: int | None) -> None:
        """Let Ray keep its objects in our folder where ``/dev/shm`` is small."""
        if not SHARED.is_dir() or (free := shutil.disk_usage(SHARED).free) >= (object_store or SMALL):
            return
        os.environ.setdefault("RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE", "1")
        if object_store is None:
            log.warning(
                "%s has only %d MB free, so Ray keeps its objects in %s, which is slower: "
                "make room there (in a container with --shm-size=2g)",
                *(SHARED, free >> 20, self.folder),
            )

    def end(self) -> None:
        """Stop Ray; return when all processes have ended and the folder is deleted."""
        if self._guard:
            self._guard.end()
        shutil.rmtree(self.folder, ignore_errors=True)


def _check_open_files() -> None:
    """Take as many as are allowed; InputError where that is not enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = PLENTY if hard == resource.RLIM_INFINITY else min(hard, PLENTY)
    if allowed < OPEN_FILES:
        raise InputError(
            f"this process may have {hard} files open, and Ray needs {OPEN_FILES}: "
            f"raise the limit, as with ulimit -n {OPEN_FILES}"
        )
    if soft != resource.RLIM_INFINITY and soft < allowed:
        with suppress(ValueError, OSError):  # macOS and sandboxes allow less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
