"""API keys: a file of names and hashes, reloaded when it changes.

A line is ``name:sha256`` of the key, in hexadecimal; # begins a comment. A name may have
several keys, so a key can be replaced without a gap: add the new, remove the old.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
import time
from pathlib import Path

from react_ray.console.terminal import command
from react_ray.errors import InputError

__all__ = ["ApiKeys", "add_key"]

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
HASH = re.compile(r"[0-9a-f]{64}")
LOOK_EVERY_S = 1.0

logger = logging.getLogger("ray.serve")


class ApiKeys:
    """Keys of a file; InputError if it cannot be read or has none."""

    def __init__(self, path: str | Path):
        self._path = Path(path)
        self._version = _version(self._path)
        self._hashes = _read(self._path)
        if not self._hashes:
            raise InputError(f"{path}: no API key in it; {command('key', 'NAME', '--file', path)} adds one")
        self._checked_at = time.monotonic()

    def name_of(self, key: str) -> str | None:
        """Return the name of a key; None if it is unknown."""
        self._reload()
        digest = _hash(key)
        matched = None
        for name, stored in self._hashes:  # all of them: how long it takes tells nothing
            if hmac.compare_digest(digest, stored):
                matched = name
        return matched

    def _reload(self) -> None:
        now = time.monotonic()
        if now - self._checked_at < LOOK_EVERY_S:
            return
        self._checked_at = now
        version = _version(self._path)
        if version == self._version:
            return
        try:
            self._hashes = _read(self._path)
            self._version = version
        except InputError as error:
            logger.error("the keys stay as they were: %s", error)


def add_key(name: str, path: str | Path) -> str:
    """Make a key for ``name``, add its hash to the file (created if missing), and return the key.

    The key itself is not stored. Raises InputError for an invalid name or file.
    """
    path = Path(path)
    if not NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name of a key: up to 64 of letters, digits, '.', '_' and '-'")
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        _parse(before, path)
        key = secrets.token_urlsafe(32)
        gap = "" if before.endswith("\n") or not before else "\n"
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(handle, "a", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(f"{gap}{name}:{_hash(key)}\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot add a key there: {error}") from None
    return key


def _hash(key: str) -> str:
    # Plain SHA-256 is enough: a key has 256 random bits, so there is nothing to guess
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def _read(path: Path) -> list[tuple[str, str]]:
    try:
        return _parse(path.read_text(encoding="utf-8"), path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: the keys cannot be read: {error}\n{command('key', 'NAME', '--file', path)} makes one"
        ) from None


def _parse(content: str, path: Path) -> list[tuple[str, str]]:
    entries = []
    for number, line in enumerate(content.splitlines(), 1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        name, _, digest = (part.strip() for part in entry.partition(":"))
        if not NAME.fullmatch(name) or not HASH.fullmatch(digest.lower()):
            raise InputError(
                f"{path} line {number}: expected name:hash, where hash is SHA-256 in hexadecimal"
            )
        entries.append((name, digest.lower()))
    return entries


def _version(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
