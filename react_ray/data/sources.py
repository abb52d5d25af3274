"""Location of input files: files, folders and globs, local or remote."""

from __future__ import annotations

import codecs
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.fs as pafs

from react_ray.config.masking import is_masked, mask_address
from react_ray.console.terminal import not_utf8
from react_ray.errors import InputError

__all__ = ["Source", "filesystem_of", "find_files", "fingerprint", "open_source", "skipped_files"]

CONLL = (".conll", ".bio", ".iob", ".iob2", ".bioes", ".bmes")
KINDS = {
    **{".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json"},
    **dict.fromkeys((*CONLL, ".txt"), "conll"),
    ".parquet": "parquet",
}
ASIDE = {".json", ".txt"}
"""Extensions of files that often accompany data but are not data."""
EXPECTED = "expected .csv, .tsv, .jsonl, .ndjson, .json, .conll (each also with .gz) or .parquet"
HEAD_BYTES = 64 * 1024


@dataclass(frozen=True)
class Source:
    """An input file, as three strings that any process can open.

    ``path`` is the path as the user gave it, ``root`` the URI of the filesystem ("" for
    local files) and ``key`` the path inside it.
    """

    path: str
    root: str
    key: str

    @property
    def kind(self) -> str:
        """Format: csv, jsonl, json, conll or parquet; InputError for an unknown extension."""
        ending = _ending(self.key)
        if ending in KINDS and not self.key.lower().endswith(".parquet.gz"):
            return KINDS[ending]
        hint = "; save it as CSV UTF-8" if ending.startswith(".xls") else ""
        raise InputError(f"{self.path}: unknown file extension, {EXPECTED}{hint}")

    @property
    def is_tsv(self) -> bool:
        """Whether the extension is that of tab-separated files."""
        return self.key.lower().removesuffix(".gz").endswith(".tsv")

    def open(self) -> pa.NativeFile:
        """Open the file as a seekable stream; InputError when it cannot be read."""
        with _reaching(self.path):
            return filesystem_of(self.root).open_input_file(self.key)

    def open_unpacked(self) -> pa.NativeFile:
        """Open a text file as a decompressed stream.

        Raises InputError for UTF-16 and binary content.
        """
        with _reaching(self.path), self._unpacked() as stream:
            _check_text(stream.read(HEAD_BYTES), self.path)
        return self._unpacked()

    def _unpacked(self) -> pa.NativeFile:
        compression = "gzip" if self.key.lower().endswith(".gz") else None
        with _reaching(self.path):
            filesystem = filesystem_of(self.root)
            return filesystem.open_input_stream(self.key, compression=compression, buffer_size=1 << 16)

    def state(self) -> str:
        """Return a fingerprint of the content: its hash, or size and modification time of a remote file."""
        if self.root:
            with _reaching(self.path):
                info = filesystem_of(self.root).get_file_info(self.key)
            return f"{info.size}-{info.mtime_ns}"
        with _reaching(self.path), open(self.key, "rb") as file:  # noqa: PTH123
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()

    def size(self) -> int:
        """Return the size as stored, in bytes."""
        with _reaching(self.path):
            return int(filesystem_of(self.root).get_file_info(self.key).size)


def find_files(address: str) -> list[Source]:
    """Return the readable files of ``address`` (file, folder or glob; path or URI), sorted.

    In folders and globs, files with unknown extensions and hidden files (names that start
    with a dot or an underscore) are skipped; those of ASIDE too, if there are other files.
    Raises InputError when no file remains.
    """
    return _found(address)[0]


def skipped_files(address: str) -> list[str]:
    """Return the paths of files that :func:`find_files` skips because there are files of other formats."""
    return [source.path for source in _found(address)[1]]


def _found(address: str) -> tuple[list[Source], list[Source]]:
    root, key = _locate(address)
    with _reaching(address):
        kind = filesystem_of(root).get_file_info(key).type
        if kind == pafs.FileType.File:
            return [_with_known_format(_source(address, root, key))], []
        keys = sorted(_matching(filesystem_of(root), key, kind == pafs.FileType.Directory, address))
    known = [k for k in keys if _ending(k) in KINDS]
    readable = [k for k in known if _ending(k) not in ASIDE] or known
    if not readable:
        listed = f"it has: {', '.join(k.rpartition('/')[2] for k in keys[:5])}" if keys else "it is empty"
        raise InputError(f"{mask_address(address)}: no file to read ({listed}); {EXPECTED}")
    skipped = [_source(address, root, k) for k in known if k not in readable]
    return [_with_known_format(_source(address, root, k)) for k in readable], skipped


def open_source(address: str) -> Source:
    """Return the file ``address``, whatever its extension; InputError when it is not a file."""
    root, key = _locate(address)
    with _reaching(address):
        if filesystem_of(root).get_file_info(key).type != pafs.FileType.File:
            raise InputError(f"{mask_address(address)}: no such file")
    return _source(address, root, key)


def fingerprint(address: str) -> list[tuple[str, str]]:
    """Return (path, state) of every file of ``address``, for cache keys."""
    try:
        sources = [open_source(address)]
    except InputError:
        sources = find_files(address)
    return [(source.path, source.state()) for source in sources]


def _ending(key: str) -> str:
    """Return the extension of a name in lower case, without ``.gz``."""
    return PurePosixPath(key.lower().removesuffix(".gz")).suffix


def _with_known_format(source: Source) -> Source:
    assert source.kind  # raises InputError for an unknown ending
    return source


def _source(address: str, root: str, key: str) -> Source:
    """Make a source whose path is relative if ``address`` is, and has no secrets of a URI."""
    if root:
        return Source(f"{root.partition('://')[0]}://{key}", root, key)
    relative = "://" not in address and not Path(address).expanduser().is_absolute()
    return Source(os.path.relpath(key) if relative else key, root, key)


def _locate(address: str) -> tuple[str, str]:
    """Return the URI of the filesystem and the path inside it; wildcards are not part of the URI."""
    if is_masked(address):
        raise InputError(f"{address}: the secret in this address is masked; give the complete address")
    scheme, mark, _ = address.partition("://")
    if not mark:
        return "", str(Path(address).expanduser().absolute())
    wildcard = re.search(r"[*\[]", address)  # not ?, which starts the options of a URI
    base = address[: wildcard.start()].rpartition("/")[0] if wildcard else address
    with _reaching(address):
        path = pafs.FileSystem.from_uri(base)[1]
    return ("" if scheme == "file" else base), path + address[len(base) :]


def _matching(filesystem: pafs.FileSystem, key: str, folder: bool, address: str) -> list[str]:
    """Return the files inside a folder, or those that match a glob."""
    if folder:
        return _inside(filesystem, key.rstrip("/"), re.escape(key.rstrip("/")) + "/.*", deep=True)
    wildcard = re.search(r"[*?\[]", key)
    if wildcard is None:
        raise InputError(f"{mask_address(address)}: no such file or folder")
    base = key[: wildcard.start()].rpartition("/")[0]
    pattern = key[len(base) + 1 :]
    return _inside(filesystem, base, _as_regex(key), deep="**" in pattern or "/" in pattern)


def _inside(filesystem: pafs.FileSystem, folder: str, pattern: str, deep: bool) -> list[str]:
    selector = pafs.FileSelector(folder or "/", recursive=deep, allow_not_found=True)
    files = [i.path for i in filesystem.get_file_info(selector) if i.type == pafs.FileType.File]
    return [f for f in files if re.fullmatch(pattern, f) and not re.search(r"/[._]", f[len(folder) :])]


def _as_regex(pattern: str) -> str:
    wildcards = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]+\])", pattern)
    return "".join(
        wildcards.get(piece) or (piece.replace("[!", "[^") if piece.startswith("[") else re.escape(piece))
        for piece in pieces
    )


@lru_cache(maxsize=16)
def filesystem_of(root: str) -> pafs.FileSystem:
    """Return the filesystem of a URI, cached: finding the region of a bucket takes a request."""
    return pafs.FileSystem.from_uri(root)[0] if root else pafs.LocalFileSystem()


@contextmanager
def _reaching(path: str) -> Iterator[None]:
    try:
        yield
    except UnicodeError:
        reason = not_utf8(path) or f"{mask_address(path)}: a file name there is not UTF-8; rename the file"
        raise InputError(reason) from None
    except (OSError, pa.ArrowException, ImportError) as error:
        shown = mask_address(path)
        reason = str(error).replace(path, shown).partition("\n")[0]
        raise InputError(
            f"{shown} cannot be read: {reason}; check the address, your access and the file"
        ) from None


def _check_text(head: bytes, path: str) -> None:
    """Raise InputError for UTF-16 and binary files; text with some malformed rows passes."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    marked = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    if marked or (max(even, odd) > len(head) / 8 and min(even, odd) < max(even, odd) / 8):
        raise InputError(
            f"{path} is UTF-16, not UTF-8; convert it to UTF-8, for example with iconv -f UTF-16 -t UTF-8"
        )
    control = sum(head.count(byte) for byte in range(32) if byte not in b"\t\n\r\f\x1b")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the head may end inside a character
        limit = len(head) / 4
    except UnicodeDecodeError:
        limit = len(head) / 50
    if control > limit or head.startswith((b"PK\x03\x04", b"PAR1", b"%PDF", b"\x1f\x8b")):
        raise InputError(
            f"{path} is binary, not text; convert it to UTF-8 text, or give it the extension of its format"
        )
