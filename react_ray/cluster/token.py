"""Ray's authentication token: it lets its holder run code on every node, so only the owner may read it.

Ray itself writes ``~/.ray/auth_token`` with the permissions of the umask: on most machines all users can
read it.
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
READ_BY_OTHERS, WRITTEN_BY_OTHERS = 0o077, 0o022

log = logging.getLogger(__name__)


def token_in_use() -> bool:
    """Whether the environment asks for token authentication by name."""
    return os.environ.get(MODE, "").lower() == "token"


def ensure_token() -> None:
    """Before Ray starts on this machine: make its token, or make sure that only its owner can read it.

    Where the home folder cannot hold a token (read-only, or there is none) one is made for this process and
    what it starts. Ray asks for a token unless RAY_AUTH_MODE says otherwise. ClusterError where
    RAY_AUTH_TOKEN_PATH names no token.
    """
    if (os.environ.get(MODE) is not None and not token_in_use()) or check_token():
        return
    token = secrets.token_hex(32)
    with suppress(OSError, RuntimeError):  # RuntimeError: no home folder is known
        _create(Path.home() / ".ray" / "auth_token", token)
    if not check_token():
        os.environ[TOKEN] = token


def check_token() -> bool:
    """Whether there is a token; its file is made private where it is ours, and warned of elsewhere.

    ClusterError where RAY_AUTH_TOKEN_PATH names none.
    """
    if os.environ.get(TOKEN, "").strip():
        return True
    given = os.environ.get(TOKEN_PATH)
    try:
        path = Path(given) if given else Path.home() / ".ray" / "auth_token"
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(handle)
            if not os.read(handle, 1 << 16).strip():
                raise ValueError("it is empty")
            _check_file(path, handle, found)
        finally:
            os.close(handle)
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: no home folder is known
        if given:
            reason = getattr(error, "strerror", None) or error
            raise ClusterError(f"{TOKEN_PATH}={given}: no token can be read there: {reason}") from None
        return False
    _check_folders(path)
    return True


def _check_file(path: Path, handle: int, found: os.stat_result) -> None:
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid not in (os.geteuid(), 0):
        log.warning("%s, the token of Ray, belongs to another user (%d), who can read it", path, found.st_uid)
    elif found.st_uid == os.geteuid() and mode & READ_BY_OTHERS:
        with suppress(OSError):
            os.fchmod(handle, FILE_MODE)
        now = "only you can now" if not os.fstat(handle).st_mode & READ_BY_OTHERS else "chmod 600 failed"
        log.warning(
            "%s, the token of Ray, could be read by other users (mode %o); %s. Who has read it can run "
            "code on the cluster: where that matters, make a new one",
            *(path, mode, now),
        )
    elif mode & READ_BY_OTHERS & 0o007:
        log.warning("%s, the token of Ray, can be read by all users (mode %o)", path, mode)


def _check_folders(path: Path) -> None:
    """Warn of folders in which others can put another token in the place of this one."""
    for folder in dict.fromkeys([*path.absolute().parents, *path.resolve().parents]):
        found = folder.stat()
        mode, own = stat.S_IMODE(found.st_mode), found.st_uid == os.geteuid()
        if folder.name == ".ray" and own and mode & WRITTEN_BY_OTHERS:
            with suppress(OSError):
                folder.chmod(FOLDER_MODE)
                log.warning("%s was open to other users (mode %o) and is now closed to them", folder, mode)
                continue
        if found.st_uid not in (os.geteuid(), 0) or (mode & 0o002 and not mode & stat.S_ISVTX):
            log.warning("%s, the folder of Ray's token, can be written to by other users", folder)


def _create(path: Path, token: str) -> None:
    """Write the token so that nobody else can read it at any moment, and no two processes make two."""
    make_private_folder(path.parent)
    half = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "w") as file:
            os.fchmod(file.fileno(), FILE_MODE)
            file.write(token)
            file.flush()
            os.fsync(file.fileno())
        _put(half, path)
    finally:
        half.unlink(missing_ok=True)


def _put(half: Path, path: Path) -> None:
    """Give the file its name, unless another process was first; an empty file is replaced."""
    try:
        path.hardlink_to(half)
    except FileExistsError:
        if path.is_file() and not path.is_symlink() and not path.read_bytes().strip():
            half.replace(path)
