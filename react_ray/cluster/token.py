"""File permissions of Ray's authentication token, which allows its owner to run code on every node.

Ray writes ``~/.ray/auth_token`` with the mode of the umask, so on most machines all users can read it.
"""

from __future__ import annotations

import logging
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from react_ray.errors import ClusterError
from react_ray.folders import FILE_MODE, FOLDER_MODE, make_private_folder

__all__ = ["check_token", "ensure_token", "token_in_use"]

MODE, TOKEN, TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
OTHERS_CAN_READ, OTHERS_CAN_WRITE = 0o077, 0o022

log = logging.getLogger(__name__)


def token_in_use() -> bool:
    """Whether the environment selects token authentication."""
    return os.environ.get(MODE, "").lower() == "token"


def ensure_token() -> None:
    """Create Ray's token before Ray starts on this machine, or make an existing one private.

    If the home folder is missing or read-only, the token is set for this process and its children only.
    Ray requires a token unless RAY_AUTH_MODE disables it. Raises ClusterError if RAY_AUTH_TOKEN_PATH names
    no token.
    """
    if (os.environ.get(MODE) is not None and not token_in_use()) or check_token():
        return
    token = secrets.token_hex(32)
    with suppress(OSError, RuntimeError):  # RuntimeError: the home folder is unknown
        _create(Path.home() / ".ray" / "auth_token", token)
    if not check_token():
        os.environ[TOKEN] = token


def check_token() -> bool:
    """Whether there is a token; makes its file private if it is ours, else warns.

    Raises ClusterError if RAY_AUTH_TOKEN_PATH names no token.
    """
    if os.environ.get(TOKEN, "").strip():
        return True
    configured = os.environ.get(TOKEN_PATH)
    try:
        path = Path(configured) if configured else Path.home() / ".ray" / "auth_token"
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not os.read(descriptor, 1 << 16).strip():
                raise ValueError("it is empty")
            _check_file(path, descriptor, status)
        finally:
            os.close(descriptor)
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: the home folder is unknown
        if configured:
            reason = getattr(error, "strerror", None) or error
            raise ClusterError(f"{TOKEN_PATH}={configured}: no readable token there: {reason}") from None
        return False
    _check_folders(path)
    return True


def _check_file(path: Path, descriptor: int, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid not in (os.geteuid(), 0):
        log.warning(
            "%s, the token of Ray, belongs to another user (%d), who can read it", path, status.st_uid
        )
    elif status.st_uid == os.geteuid() and mode & OTHERS_CAN_READ:
        with suppress(OSError):
            os.fchmod(descriptor, FILE_MODE)
        still_open = os.fstat(descriptor).st_mode & OTHERS_CAN_READ
        result = "chmod 600 failed" if still_open else "only you can now"
        log.warning(
            "%s, the token of Ray, could be read by other users (mode %o); %s. Whoever has read it can "
            "run code on the cluster: create a new token if that matters",
            *(path, mode, result),
        )
    elif mode & OTHERS_CAN_READ & 0o007:
        log.warning("%s, the token of Ray, can be read by all users (mode %o)", path, mode)


def _check_folders(path: Path) -> None:
    """Warn about folders in which other users can replace the token."""
    for folder in dict.fromkeys([*path.absolute().parents, *path.resolve().parents]):
        status = folder.stat()
        mode, is_own = stat.S_IMODE(status.st_mode), status.st_uid == os.geteuid()
        if folder.name == ".ray" and is_own and mode & OTHERS_CAN_WRITE:
            with suppress(OSError):
                folder.chmod(FOLDER_MODE)
                log.warning("%s was open to other users (mode %o) and is now private", folder, mode)
                continue
        if status.st_uid not in (os.geteuid(), 0) or (mode & 0o002 and not mode & stat.S_ISVTX):
            log.warning("%s, the folder of Ray's token, can be written to by other users", folder)


def _create(path: Path, token: str) -> None:
    """Write the token atomically: it is private from the start, and concurrent processes agree on one."""
    make_private_folder(path.parent)
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "w") as file:
            os.fchmod(file.fileno(), FILE_MODE)
            file.write(token)
            file.flush()
            os.fsync(file.fileno())
        _link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _link(temporary: Path, path: Path) -> None:
    """Move the file to its path unless another process was first; an empty file is replaced."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        if path.is_file() and not path.is_symlink() and not path.read_bytes().strip():
            temporary.replace(path)
