"""Collect and pack the files that travel with a submitted job: code and settings.

Data, models, build output and hidden files stay, and so do secrets and what is no plain file of
the folder; the latter are named. Ray gets a finished archive, for its own packing follows links out of
the folder, opens pipes, and knows only patterns.
"""

from __future__ import annotations

import os
import re
import stat
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from react_ray.cluster.ray_private import ignore_rules
from react_ray.cluster.secret_files import holds_secret, is_secret_name
from react_ray.errors import InputError

__all__ = ["Upload", "check_words", "collect", "pack"]

JUNK = {"__pycache__", "venv", "node_modules", "build", "dist", "out"}
ENDINGS = re.compile(
    r".*\.(?:pyc|egg-info|log"
    r"|csv|tsv|jsonl|ndjson|parquet|arrow|feather|npy|npz|h5"
    r"|safetensors|bin|pt|pth|ckpt|onnx|pkl|joblib"
    r"|zip|tar|tgz|gz|bz2|xz|zst|7z)",
    re.DOTALL,
)
"""Data, models and archives: they reach a job through storage that all nodes see."""

MAX_BYTES = 50_000_000
"""Of an upload. Ray's server takes twice as much; code is a hundred times smaller."""
MAX_FILES = 10_000
"""Files and folders. More are a home folder, not a project: the count ends there."""
NAMED = 5
"""Files named in a message."""
LONGEST_NAME = 255
"""Of a file; a longer word is a sentence, and asking for such a file is an error."""

SECRETS = "what looks like a secret"
LINKS = "links that lead out of the folder, back into it or nowhere"
SPECIAL = "pipes, sockets and devices"
UNREADABLE = "what cannot be read, or has a name that Ray does not unpack"


@dataclass
class Upload:
    """Files of ``folder`` to send.

    Attributes
    ----------
    files
        Path inside the folder -> the file itself, which may be the target of a link.
    sizes
        Path inside the folder -> bytes.
    left_out
        Kind -> paths that do not travel though no pattern for data or junk names them.
    """

    folder: Path
    files: dict[str, Path] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    folders: int = 0
    bytes: int = 0

    def leave(self, kind: str, name: str) -> None:
        """Note that ``name`` does not travel."""
        self.left_out.setdefault(kind, []).append(name)

    @property
    def too_many(self) -> bool:
        """Whether the count ended before the folder did."""
        return len(self.files) + self.folders > MAX_FILES

    def check_size(self) -> str:
        """Describe the upload; InputError that names the largest files where it is too large."""
        total, count = self.bytes, len(self.files)
        if total <= MAX_BYTES and not self.too_many:
            return f"{count} {'file' if count == 1 else 'files'}, {total / 1e6:.1f} MB"
        largest = sorted(self.sizes.items(), key=lambda item: -item[1])[:NAMED]
        counted = f"more than {MAX_FILES:,} files and folders" if self.too_many else f"{count} files"
        names = "".join(f"\n  {size / 1e6:8.1f} MB  {_shown(name)}" for name, size in largest)
        raise InputError(
            f"the upload of {self.folder} is too large: {counted}, {total / 1e6:.1f} MB (at most "
            f"{MAX_FILES:,} and {MAX_BYTES / 1e6:.0f} MB). The largest:{names}\n"
            "Name what need not travel in .rayignore (written like .gitignore), or give a folder with less "
            "in it: --working-dir FOLDER. Data and models belong on storage that every node sees."
        )

    def notes(self) -> Iterator[str]:
        """Describe the files left out, a line for each kind."""
        for kind, names in self.left_out.items():
            shown = ", ".join(map(_shown, sorted(names)[:NAMED])) + (", ..." if len(names) > NAMED else "")
            way = "; a line !PATH in .rayignore sends a file all the same" if kind == SECRETS else ""
            yield f"left out {kind} ({len(names)}): {shown}{way}"


def collect(folder: Path) -> Upload:
    """Find the files to send with ``folder``; ends early when there are more than are allowed.

    InputError where there is no such folder or one of its ignore files cannot be used.
    """
    if not folder.is_dir():
        raise InputError(f"--working-dir {folder}: there is no such folder")
    upload, rules = Upload(folder), _Rules(Path(os.path.realpath(folder)))
    waiting: list[tuple[Path, str, tuple[Path, ...]]] = [(rules.root, "", (rules.root,))]
    while waiting and not upload.too_many:
        place, prefix, above = waiting.pop()
        for name in _listed(place, prefix, upload):
            found = _judge(place / name, prefix + name, above, rules)
            if isinstance(found, str):
                upload.leave(found, prefix + name)
            elif found is not None and found.is_dir():
                waiting.append((found, f"{prefix}{name}/", (*above, found)))
                upload.folders += 1
            elif found is not None:
                _take(upload, prefix + name, found, sure=False)
            if upload.too_many:
                break
    for name in rules.wanted:
        if name not in upload.files:
            _take(upload, name, rules.root / name, sure=True)
    return upload


def pack(upload: Upload, archive: Path) -> Path:
    """Write the files of ``upload`` to the zip file ``archive``: the same files give the same bytes."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(upload.files):
            path = upload.files[name]
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o755 if os.access(path, os.X_OK) else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            try:
                target.writestr(entry, _read(path))
            except OSError as error:
                raise InputError(f"{upload.folder / name} cannot be read: {error.strerror}") from None
    return archive


def check_words(upload: Upload, words: Iterable[str]) -> None:
    """Raise InputError for a word that names a local file that is not sent.

    Whole paths and URIs are for the cluster to find; relative ones mean files of the upload.
    """
    for word in words:
        name = word.rpartition("=")[2]
        if name and "://" not in name and not name.startswith(("/", "~")) and _stays(upload, name):
            raise InputError(
                f"{word}: {name} does not travel with the job (data, models, results and secrets never do, "
                "nor what lies outside --working-dir). Put it on storage that every node of the cluster "
                "sees, and give its whole path there."
            )


def _stays(upload: Upload, name: str) -> bool:
    """Whether the relative path or glob ``name`` is not sent."""
    if len(name) > LONGEST_NAME:
        return False
    if any(mark in name for mark in "*?["):
        here: Iterable[Path] = upload.folder.glob(os.path.normpath(name))
    else:
        place = upload.folder / name
        here = [place] if place.is_file() else place.rglob("*")
    return any(path.is_file() and os.path.relpath(path, upload.folder) not in upload.files for path in here)


class _Rules:
    """What does not travel from ``root``: the patterns here and those of ignore files."""

    def __init__(self, root: Path):
        self.root = root
        self._read: dict[Path, list[Any]] = {}
        lines = _lines(root / ".rayignore")
        named = [os.path.normpath(line[1:].strip().lstrip("/")) for line in lines if line.startswith("!")]
        self.wanted = [name for name in named if self._is_own_file(name)]
        """Files that .rayignore names by their whole path, after a ``!``."""

    def leaves(self, path: str, is_folder: bool) -> str | None:
        """Why ``path`` does not travel: SECRETS, or "" for data, junk and what ignore files name."""
        parts = Path(path).parts
        folder = self.root
        for depth, part in enumerate(parts):
            rest = "/".join(parts[depth:]) + ("/" if is_folder else "")
            if any(rule.match_file(rest) for rule in self._of(folder)):
                return ""
            folder = folder / part
        if is_secret_name(path, is_folder):
            return SECRETS
        name = parts[-1].casefold()
        junk = any(part.startswith(".") or part.casefold() in JUNK for part in parts)
        return "" if junk or ENDINGS.fullmatch(name) else None

    def inside(self, path: Path) -> str | None:
        """Return a path relative to the root, "" for the root itself; None outside of it."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else None

    def _of(self, folder: Path) -> list[Any]:
        if folder not in self._read:
            files = (folder / ".gitignore", folder / ".rayignore")
            self._read[folder] = [_patterns(file) for file in files if file.is_file()]
        return self._read[folder]

    def _is_own_file(self, name: str) -> bool:
        path = self.root / name
        return not name.startswith("..") and path.is_file() and self.inside(path.resolve()) is not None


def _judge(path: Path, name: str, above: Sequence[Path], rules: _Rules) -> Path | str | None:
    """The real file or folder to send as ``name``; else a kind to name it under, or None for neither."""
    try:
        mode, real = path.lstat().st_mode, path
        kept = rules.leaves(name, stat.S_ISDIR(mode))
        if kept is None and stat.S_ISLNK(mode):
            real = Path(os.path.realpath(path))
            if rules.inside(real) is None or not real.exists() or real in above:
                return LINKS
            mode = real.stat().st_mode
        target = rules.inside(real)
        if kept is None and target and target != name:  # a link is no way around the rules
            kept = rules.leaves(target, stat.S_ISDIR(mode))
    except OSError:
        return UNREADABLE
    if kept is not None:
        return kept or None
    return real if stat.S_ISDIR(mode) or stat.S_ISREG(mode) else SPECIAL


def _listed(place: Path, prefix: str, upload: Upload) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(place))
    except OSError:
        upload.leave(UNREADABLE, prefix.rstrip("/") or ".")
        return []


def _take(upload: Upload, name: str, path: Path, *, sure: bool) -> None:
    """Add the file, unless it cannot be read or, where that is not ``sure``, holds a secret."""
    try:
        size = path.stat().st_size
        fits = upload.bytes + size <= MAX_BYTES  # else nothing is sent anyway
        content = _read(path) if fits else b""
        name.encode()
    except (OSError, UnicodeEncodeError):
        upload.leave(UNREADABLE, name)
        return
    if "\\" in name or name[1:2] == ":":
        upload.leave(UNREADABLE, name)
    elif not sure and holds_secret(content):
        upload.leave(SECRETS, name)
    else:
        upload.files[name], upload.sizes[name] = path, size
        upload.bytes += size


def _read(path: Path) -> bytes:
    """The content of a plain file; a pipe that has taken its place is not waited for."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        return file.read(MAX_BYTES + 1)


def _patterns(file: Path) -> Any:
    """The rules of an ignore file, as Ray itself reads them."""
    lines = _lines(file)
    for number, line in enumerate(lines, 1):
        try:
            ignore_rules([line])
        except (ValueError, IndexError, re.error):
            raise InputError(f"{file} line {number}: {line!r} is no pattern of a .gitignore") from None
    return ignore_rules(lines)


def _lines(file: Path) -> list[str]:
    try:
        return (
            file.read_text(encoding="utf-8", errors="surrogateescape").splitlines() if file.is_file() else []
        )
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from None


def _shown(name: str) -> str:
    return name if name.isprintable() else ascii(name)
