"""The ONNX files beside a saved model, and what is known of them; imports nothing heavy."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["FOLDER", "Agreement", "OnnxRecord", "onnx_file"]

FOLDER = "onnx"
"""Beside the weights in the folder of a model."""
RECORD = "export.json"


@dataclass(frozen=True)
class Agreement:
    """How far an ONNX file agrees with torch: differences of probabilities, share of equal labels."""

    largest_difference: float
    mean_difference: float
    same_label: float


@dataclass(frozen=True)
class OnnxRecord:
    """How the ONNX files of a model were made and checked: ``export.json`` beside them."""

    version: str
    """Of the saved model that they were made from, see ``folders.model_version``."""
    labels: list[str]
    max_length: int
    pad_token: int
    padding_side: str
    checked: int
    """Texts on which they were compared with torch."""
    precisions: dict[str, Agreement]
    """The files there are, fp32 and int8."""
    int8_speed: float | None = None
    """Times that of fp32, on one core of the machine that made them; None where no int8 was made."""
    int8_refused: str | None = None
    """Why int8 was not kept, in words."""

    @classmethod
    def load(cls, onnx: Path) -> OnnxRecord | None:
        """The record in the folder ``onnx``, of the files that are there; None where nothing was exported."""
        try:
            content = json.loads((onnx / RECORD).read_text(encoding="utf-8"))
            files = {name: Agreement(**figures) for name, figures in content.pop("precisions").items()}
            there = {name: agreement for name, agreement in files.items() if onnx_file(onnx, name).exists()}
            return cls(**content, precisions=there)
        except (OSError, ValueError, KeyError, TypeError):  # of another version, cut off, or none
            return None

    def save(self, onnx: Path) -> None:
        """Write it into the folder ``onnx``."""
        text = json.dumps(asdict(self), ensure_ascii=False, indent=1)
        (onnx / RECORD).write_text(text, encoding="utf-8")


def onnx_file(onnx: Path, precision: str) -> Path:
    """Where the file of this precision is, or would be, in the folder ``onnx``."""
    return onnx / f"model.{precision}.onnx"
