"""Record of the ONNX files of a saved model; imports neither torch nor ONNX Runtime."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from react_ray.folders import ONNX as FOLDER
from react_ray.folders import trained_version

__all__ = ["FOLDER", "INPUTS", "Agreement", "OnnxRecord", "digest_of", "find_onnx", "onnx_file"]

RECORD = "export.json"
INPUTS = ("input_ids", "attention_mask")


@dataclass(frozen=True)
class Agreement:
    """Agreement of an ONNX file with torch: differences of probabilities, share of equal labels."""

    largest_difference: float
    mean_difference: float
    same_label: float


@dataclass(frozen=True)
class OnnxRecord:
    """Versions and verification results of the ONNX files of a model, stored in ``export.json``."""

    version: str
    """Version of the saved model that the files were made from, see ``folders.trained_version``."""
    labels: list[str]
    max_length: int
    pad_token: int
    padding_side: str
    blank_token: int
    """Token that stands for a text without tokens, see ``tokens.never_empty``."""
    checked: int
    """Texts on which they were compared with torch."""
    precisions: dict[str, Agreement]
    """The files there are, fp32 and int8."""
    digests: dict[str, str]
    """SHA-256 of each file."""
    int8_speed: float | None = None
    """Times that of fp32, on one core of the machine that made them; None where no int8 was made."""
    int8_refused: str | None = None
    """Why int8 was not kept, in words."""
    inputs: list[str] = field(default_factory=lambda: list(INPUTS))
    """Names of the model's inputs; records of older versions do not have them."""

    @classmethod
    def load(cls, onnx: Path) -> OnnxRecord | None:
        """Load the record in the folder ``onnx``; None if nothing was exported.

        Also None if the record is truncated, edited or of another version.
        """
        try:
            content = json.loads((onnx / RECORD).read_text(encoding="utf-8"))
            seal = content.pop("seal")
            files = {name: Agreement(**figures) for name, figures in content.pop("precisions").items()}
            record = cls(**content, precisions=files)
            if record._seal() != seal:
                return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return replace(
            record, precisions={name: it for name, it in files.items() if onnx_file(onnx, name).exists()}
        )

    def save(self, onnx: Path) -> None:
        """Write the record into the folder ``onnx``."""
        text = json.dumps({**asdict(self), "seal": self._seal()}, ensure_ascii=False, indent=1)
        (onnx / RECORD).write_text(text, encoding="utf-8")

    def _seal(self) -> str:
        """Return a digest of the record, which detects manual edits."""
        content = asdict(self)
        if self.inputs == list(INPUTS):  # as in records that older versions wrote
            del content["inputs"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def find_onnx(folder: Path, precision: str) -> OnnxRecord | str:
    """Return the record of a valid ONNX file for the model in ``folder``, or why there is none.

    An ONNX file is invalid if the model, the record or the file changed after the export.
    """
    onnx = folder / FOLDER
    record = OnnxRecord.load(onnx)
    if record is None:
        if (onnx / RECORD).exists():
            return f"{onnx / RECORD} is damaged, was changed after the export, or is of another version"
        return f"{folder} has no ONNX file"
    if record.version != trained_version(folder):
        return f"{folder} was changed after its ONNX file was made"
    if precision not in record.precisions:
        return f"{folder} has no ONNX file in {precision}"
    if record.digests.get(precision) != digest_of(onnx_file(onnx, precision)):
        return f"{onnx_file(onnx, precision)} is not the file that was exported from this model"
    return record


def digest_of(file: Path) -> str:
    """SHA-256 of the content of ``file``."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def onnx_file(onnx: Path, precision: str) -> Path:
    """Return the path of the file with this precision in the folder ``onnx``."""
    return onnx / f"model.{precision}.onnx"
