"""Record of the CTranslate2 files of a saved model; imports neither torch nor CTranslate2."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from react_ray.folders import CTRANSLATE2 as FOLDER
from react_ray.folders import trained_version
from react_ray.inference.onnx_record import digest_of

__all__ = ["FOLDER", "INSTALL", "TranslatorRecord", "find_translator", "is_installed", "weights_file"]

RECORD = "export.json"
WEIGHTS = "model.bin"
INSTALL = "pip install 'react-ray[generation]'"


@dataclass(frozen=True)
class TranslatorRecord:
    """Settings and verification results of the CTranslate2 files of a model, stored in ``export.json``."""

    version: str
    """Version of the saved model that the files were made from, see ``folders.trained_version``."""
    max_length: int
    pad_token: int
    options: dict[str, Any]
    """Arguments of ``translate_batch``: beams, limits, what must not be generated."""
    forced: str | None
    """First token of every answer, such as that of NLLB's language."""
    checked: int
    """Texts on which they were compared with torch."""
    same_text: float
    """Share of these with the same answer."""
    digest: str
    """SHA-256 of the files."""

    @classmethod
    def load(cls, exported: Path) -> TranslatorRecord | None:
        """Load the record in the folder ``exported``; None if missing, truncated, edited or outdated."""
        try:
            content = json.loads((exported / RECORD).read_text(encoding="utf-8"))
            seal = content.pop("seal")
            record = cls(**content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return record if record._seal() == seal else None

    def save(self, exported: Path) -> None:
        """Write the record into the folder ``exported``."""
        text = json.dumps({**asdict(self), "seal": self._seal()}, ensure_ascii=False, indent=1)
        (exported / RECORD).write_text(text, encoding="utf-8")

    def _seal(self) -> str:
        """Return a digest of the record, which detects manual edits."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def find_translator(folder: Path) -> TranslatorRecord | str:
    """Return the record of valid CTranslate2 files for the model in ``folder``, or why there are none."""
    exported = folder / FOLDER
    record = TranslatorRecord.load(exported)
    if record is None:
        if (exported / RECORD).exists():
            return f"{exported / RECORD} is damaged, was changed after the export, or is of another version"
        return f"{folder} has no CTranslate2 files"
    if record.version != trained_version(folder):
        return f"{folder} was changed after its CTranslate2 files were made"
    if record.digest != digest_of_files(exported):
        return f"{exported} does not hold the files that were exported from this model"
    if not is_installed():
        return f"CTranslate2 is not installed ({INSTALL})"
    return record


def is_installed() -> bool:
    """Return whether the package ctranslate2 is installed."""
    return importlib.util.find_spec("ctranslate2") is not None


def weights_file(folder: Path) -> Path:
    """Return the path of the weights that are exported from the model in ``folder``."""
    return folder / FOLDER / WEIGHTS


def digest_of_files(exported: Path) -> str:
    """Return the SHA-256 of all files in ``exported`` except the record; "" if a file cannot be read."""
    content = hashlib.sha256()
    try:
        for file in sorted(exported.iterdir()):
            if file.name != RECORD:
                content.update(f"{file.name}\0{digest_of(file)}\0".encode())
    except OSError:
        return ""
    return content.hexdigest()
