"""A classifier from its ONNX file, on ONNX Runtime: for processors, and without torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer

from react_ray.batching import token_batches

__all__ = ["FOLDER", "INPUTS", "Agreement", "OnnxClassifier", "OnnxRecord", "onnx_file"]

FOLDER = "onnx"
"""Beside the weights in the folder of a model."""
RECORD = "export.json"
INPUTS = ("input_ids", "attention_mask")
BATCH_TOKENS = 512
"""What lies in a core's cache: a fifth faster than 4,096, and the next text waits less."""


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

    @classmethod
    def load(cls, onnx: Path) -> OnnxRecord | None:
        """The record in the folder ``onnx``; None where nothing was exported."""
        path = onnx / RECORD
        if not path.exists():
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
        files = {name: Agreement(**figures) for name, figures in content.pop("precisions").items()}
        return cls(**content, precisions=files)

    def save(self, onnx: Path) -> None:
        """Write it into the folder ``onnx``."""
        text = json.dumps(asdict(self), ensure_ascii=False, indent=1)
        (onnx / RECORD).write_text(text, encoding="utf-8")


def onnx_file(onnx: Path, precision: str) -> Path:
    """Where the file of this precision is, or would be, in the folder ``onnx``."""
    return onnx / f"model.{precision}.onnx"


class OnnxClassifier:
    """As ``Classifier``, a core a call; threads may share it, and their calls run side by side.

    ``folder`` is that of the saved model, whose tokenizer is used, ``onnx`` that of the file.
    """

    def __init__(self, folder: Path, onnx: Path, record: OnnxRecord, precision: str):
        self.labels = record.labels
        self.max_length = record.max_length
        self._record = record
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(record.max_length)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(
            str(onnx_file(onnx, precision)), options, providers=["CPUExecutionProvider"]
        )

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, cut at ``max_length``."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]

    def probabilities(self, encoded: Sequence[list[int]]) -> NDArray[np.float32]:
        """Probabilities of encoded texts (n x labels, in the order of ``labels``)."""
        logits = np.empty((len(encoded), len(self.labels)), dtype=np.float32)
        for batch in token_batches([len(ids) for ids in encoded], BATCH_TOKENS):
            inputs = dict(zip(INPUTS, self._padded([encoded[i] for i in batch]), strict=True))
            logits[batch] = self._session.run(None, inputs)[0]
        return _softmax(logits)

    def _padded(self, rows: list[list[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        longest = max(map(len, rows))
        ids = np.full((len(rows), longest), self._record.pad_token, dtype=np.int64)
        mask = np.zeros_like(ids)
        for number, row in enumerate(rows):
            place = (
                slice(longest - len(row), None) if self._record.padding_side == "left" else slice(len(row))
            )
            ids[number, place] = row
            mask[number, place] = 1
        return ids, mask


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)
