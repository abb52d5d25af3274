"""Collect and pack the files that are uploaded with a submitted job: code and settings.

Data, models, build output and hidden files are left out. Secrets and special files are left out too, and
named in a message. Ray gets a finished archive, because its own packing follows links out of the folder,
opens pipes, and filters by patterns only.
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

__all__ = ["Upload", "check_arguments", "collect", "pack"]

JUNK = {"__pycache__", "venv", "node_modules", "build", "dist", "out"}
DATA_FILES = re.compile(
    r".*\.(?:pyc|egg-info|log"
    r"|csv|tsv|jsonl|ndjson|parquet|arrow|feather|npy|npz|h5"
    r"|safetensors|bin|pt|pth|ckpt|onnx|pkl|joblib"
    r"|zip|tar|tgz|gz|bz2|xz|zst|7z)",
    re.DOTALL,
)
"""Matches data, models and archives, which a job reads from storage that all nodes see."""

MAX_BYTES = 50_000_000
"""Maximum size of an upload. Ray's server accepts twice as much; code is a hundred times smaller."""
MAX_FILES = 10_000
"""Maximum number of files and folders; a folder with more is not a project."""
MAX_NAMED = 5
"""Maximum files named in a message."""
MAX_NAME = 255
"""Maximum length of a file name; checking for a longer one is an error of the file system."""

SECRETS = "files that look like secrets"
LINKS = "links that lead out of the folder, into a parent or nowhere"
SPECIAL = "pipes, sockets and devices"
UNREADABLE = "files that cannot be read, or whose names Ray does not unpack"


@dataclass
class Upload:
    """Files of ``folder`` to send.

    Attributes
    ----------
    files
        Path inside the folder -> path of the content, which may be the target of a link.
    sizes
        Path inside the folder -> bytes.
    left_out
        Reason -> paths that are left out, except data, junk and ignored files.
    """

    folder: Path
    files: dict[str, Path] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    folders: int = 0
    bytes: int = 0

    def exclude(self, kind: str, name: str) -> None:
        """Record that ``name`` is left out."""
        self.left_out.setdefault(kind, []).append(name)

    @property
    def too_many(self) -> bool:
        """Whether there are more than MAX_FILES files and folders."""
        return len(self.files) + self.folders > MAX_FILES

    def check_size(self) -> str:
        """Describe the upload. Raises InputError with the largest files if it is too large."""
        total, count = self.bytes, len(self.files)
        if total <= MAX_BYTES and not self.too_many:
            return f"{count} {'file' if count == 1 else 'files'}, {total / 1e6:.1f} MB"
        largest = sorted(self.sizes.items(), key=lambda item: -item[1])[:MAX_NAMED]
        count_text = f"more than {MAX_FILES:,} files and folders" if self.too_many else f"{count} files"
        names = "".join(f"\n  {size / 1e6:8.1f} MB  {_printable(name)}" for name, size in largest)
        raise InputError(
            f"the upload of {self.folder} is too large: {count_text}, {total / 1e6:.1f} MB (at most "
            f"{MAX_FILES:,} and {MAX_BYTES / 1e6:.0f} MB). The largest:{names}\n"
            "Exclude files by .rayignore (written like .gitignore), or give a smaller folder: --working-dir "
            "FOLDER. Data and models belong on storage that every node sees."
        )

    def notes(self) -> Iterator[str]:
        """Describe the files that are left out, one line for each reason."""
        for kind, names in self.left_out.items():
            shown = ", ".join(map(_printable, sorted(names)[:MAX_NAMED]))
            dots = ", ..." if len(names) > MAX_NAMED else ""
            hint = "; to send a file, add a line !PATH to .rayignore" if kind == SECRETS else ""
            yield f"left out {kind} ({len(names)}): {shown}{dots}{hint}"


def collect(folder: Path) -> Upload:
    """Find the files in ``folder`` to send; stops early if there are too many.

    Raises InputError if there is no such folder or one of its ignore files is invalid.
    """
    if not folder.is_dir():
        raise InputError(f"--working-dir {folder}: there is no such folder")
    upload, rules = Upload(folder), _Rules(Path(os.path.realpath(folder)))
    pending: list[tuple[Path, str, tuple[Path, ...]]] = [(rules.root, "", (rules.root,))]
    while pending and not upload.too_many:
        folder_path, prefix, parents = pending.pop()
        for name in _list(folder_path, prefix, upload):
            entry = _resolve(folder_path / name, prefix + name, parents, rules)
            if isinstance(entry, str):
                upload.exclude(entry, prefix + name)
            elif entry is not None and entry.is_dir():
                pending.append((entry, f"{prefix}{name}/", (*parents, entry)))
                upload.folders += 1
            elif entry is not None:
                _add(upload, prefix + name, entry, check_content=True)
            if upload.too_many:
                break
    for name in rules.included:
        if name not in upload.files:
            _add(upload, name, rules.root / name, check_content=False)
    return upload


def pack(upload: Upload, archive: Path) -> Path:
    """Write the files of ``upload`` to the zip file ``archive``, with the same bytes for the same files."""
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


def check_arguments(upload: Upload, words: Iterable[str]) -> None:
    """Raise InputError if an argument names a local file that is not sent.

    Relative paths are files of the upload; absolute paths and URIs must exist on the cluster.
    """
    for word in words:
        name = word.rpartition("=")[2]
        if name and "://" not in name and not name.startswith(("/", "~")) and _is_left_out(upload, name):
            raise InputError(
                f"{word}: {name} is not sent with the job (nor are any data, models, results, secrets, or "
                "files outside --working-dir). Put it on storage that every node of the cluster sees, and "
                "give its absolute path."
            )


def _is_left_out(upload: Upload, name: str) -> bool:
    """Whether the relative path or glob ``name`` is not sent."""
    if len(name) > MAX_NAME:
        return False
    if any(character in name for character in "*?["):
        paths: Iterable[Path] = upload.folder.glob(os.path.normpath(name))
    else:
        path = upload.folder / name
        paths = [path] if path.is_file() else path.rglob("*")
    return any(path.is_file() and os.path.relpath(path, upload.folder) not in upload.files for path in paths)


class _Rules:
    """Rules for the files of ``root`` to leave out: those of this module and of ignore files."""

    def __init__(self, root: Path):
        self.root = root
        self._read: dict[Path, list[Any]] = {}
        lines = _read_lines(root / ".rayignore")
        names = [os.path.normpath(line[1:].strip().lstrip("/")) for line in lines if line.startswith("!")]
        self.included = [name for name in names if self._is_inside(name)]
        """Files that .rayignore includes by a line with ``!`` and the path."""

    def excludes(self, path: str, is_folder: bool) -> str | None:
        """Return why ``path`` is left out: SECRETS, or "" for data, junk and ignored files; else None."""
        parts = Path(path).parts
        folder = self.root
        for depth, part in enumerate(parts):
            rest = "/".join(parts[depth:]) + ("/" if is_folder else "")
            if any(rule.match_file(rest) for rule in self._patterns_of(folder)):
                return ""
            folder = folder / part
        if is_secret_name(path, is_folder):
            return SECRETS
        name = parts[-1].casefold()
        junk = any(part.startswith(".") or part.casefold() in JUNK for part in parts)
        return "" if junk or DATA_FILES.fullmatch(name) else None

    def relative(self, path: Path) -> str | None:
        """Return ``path`` relative to the root; None if it is outside."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else None

    def _patterns_of(self, folder: Path) -> list[Any]:
        if folder not in self._read:
            files = (folder / ".gitignore", folder / ".rayignore")
            self._read[folder] = [_patterns(file) for file in files if file.is_file()]
        return self._read[folder]

    def _is_inside(self, name: str) -> bool:
        path = self.root / name
        return not name.startswith("..") and path.is_file() and self.relative(path.resolve()) is not None


def _resolve(path: Path, name: str, parents: Sequence[Path], rules: _Rules) -> Path | str | None:
    """Return the file or folder to send as ``name``, or the reason to leave it out; None: silently."""
    try:
        mode, target_path = path.lstat().st_mode, path
        reason = rules.excludes(name, stat.S_ISDIR(mode))
        if reason is None and stat.S_ISLNK(mode):
            target_path = Path(os.path.realpath(path))
            if rules.relative(target_path) is None or not target_path.exists() or target_path in parents:
                return LINKS
            mode = target_path.stat().st_mode
        target_name = rules.relative(target_path)
        if reason is None and target_name and target_name != name:  # the target of a link must be allowed too
            reason = rules.excludes(target_name, stat.S_ISDIR(mode))
    except OSError:
        return UNREADABLE
    if reason is not None:
        return reason or None
    return target_path if stat.S_ISDIR(mode) or stat.S_ISREG(mode) else SPECIAL


def _list(folder_path: Path, prefix: str, upload: Upload) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder_path))
    except OSError:
        upload.exclude(UNREADABLE, prefix.rstrip("/") or ".")
        return []


def _add(upload: Upload, name: str, path: Path, *, check_content: bool) -> None:
    """Add the file unless it cannot be read or, with ``check_content``, contains a secret."""
    try:
        size = path.stat().st_size
        fits = upload.bytes + size <= MAX_BYTES  # else the upload is rejected anyway
        content = _read(path) if fits else b""
        name.encode()
    except (OSError, UnicodeEncodeError):
        upload.exclude(UNREADABLE, name)
        return
    if "\\" in name or name[1:2] == ":":
        upload.exclude(UNREADABLE, name)
    elif check_content and holds_secret(content):
        upload.exclude(SECRETS, name)
    else:
        upload.files[name], upload.sizes[name] = path, size
        upload.bytes += size


def _read(path: Path) -> bytes:
    """Read a file without blocking, in case it was replaced by a pipe."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        return file.read(MAX_BYTES + 1)


def _patterns(file: Path) -> Any:
    """Parse an ignore file as Ray does."""
    lines = _read_lines(file)
    for number, line in enumerate(lines, 1):
        try:
            ignore_rules([line])
        except (ValueError, IndexError, re.error):
            raise InputError(f"{file} line {number}: {line!r} is not a valid .gitignore pattern") from None
    return ignore_rules(lines)


def _read_lines(file: Path) -> list[str]:
    try:
        return (
            file.read_text(encoding="utf-8", errors="surrogateescape").splitlines() if file.is_file() else []
        )
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from None


def _printable(name: str) -> str:
    return name if name.isprintable() else ascii(name)
