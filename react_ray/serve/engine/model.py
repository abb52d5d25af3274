"""The model of a replica: token ids in, probabilities out; one bad text fails alone."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from react_ray.console.terminal import command
from react_ray.errors import InputError
from react_ray.folders import model_folder
from react_ray.inference.onnx_record import FOLDER, OnnxRecord, find_onnx
from react_ray.models.folder import check_classifier
from react_ray.models.tokens import Side, encode_start, reach_of

__all__ = ["Engine", "Model", "Outcome", "Precision", "load_engine"]

Outcome = NDArray[np.float32] | Exception
"""Probabilities of one text (labels), or why it has none."""
Precision = Literal["fp32", "int8"]

WARM_TOKENS = 512
"""Of the longest row in the first calls: of a model that reads 100,000 they would take minutes."""

logger = logging.getLogger("ray.serve")


class Model(Protocol):
    """What ``Classifier`` (torch) and ``OnnxClassifier`` have in common."""

    labels: list[str]
    max_length: int
    truncation_side: Side

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, cut at ``max_length``."""

    def reach(self, text: str) -> int:
        """How many characters of ``text`` lie before the end of its last token, cut at ``max_length``."""

    def probabilities(self, encoded: Sequence[list[int]]) -> NDArray[np.float32]:
        """Probabilities of encoded texts (n x labels, in the order of ``labels``)."""


def load_engine(path: str, precision: Precision, threads: int, use_gpu: bool) -> Engine:
    """The model in folder ``path`` on ``threads`` cores or the GPU.

    ONNX Runtime on processors, where the model was exported and nothing of it changed since; torch
    otherwise, in half precision on a GPU. InputError where there is no whole model, or no int8.
    """
    os.environ.setdefault("RAYON_NUM_THREADS", str(threads))  # of the tokenizer
    folder = model_folder(path)
    check_classifier(folder)
    record = "a GPU is used" if use_gpu else find_onnx(folder, precision)
    if isinstance(record, OnnxRecord):
        # A core a call: short texts, alone or in a batch, gain nothing from a second one.
        return Engine(_load_onnx(folder, record, precision), f"ONNX Runtime, {precision}", lanes=threads)
    if precision == "int8":
        raise InputError(
            f"{folder}: no ONNX file in int8 to serve on processors ({record}); "
            f"`{command('export', path)}` makes one where that keeps the labels and is faster"
        )
    logger.warning("%s: torch serves it. `react-ray export` makes an ONNX file", record)
    return _load_torch(folder, threads, use_gpu)


def _load_onnx(folder: Path, record: OnnxRecord, precision: Precision) -> Model:
    from react_ray.inference.onnx_classifier import OnnxClassifier

    return OnnxClassifier(folder, folder / FOLDER, record, precision)


def _load_torch(folder: Path, threads: int, use_gpu: bool) -> Engine:
    import torch

    from react_ray.inference.classifier import load

    torch.set_num_threads(threads)
    classifier = load(folder, use_gpu=use_gpu)
    if classifier.model.device.type == "cpu":
        return Engine(classifier, "torch, fp32")
    half = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    classifier.model.to(half)
    return Engine(classifier, f"torch on {classifier.model.device}, {str(half).removeprefix('torch.')}")


class Engine:
    """A model, every text of which gets its own outcome; ``lanes`` calls can run at a time."""

    def __init__(self, model: Model, name: str = "", lanes: int = 1):
        self.name = name
        self.lanes = lanes
        self.labels = model.labels
        self.max_length = model.max_length
        self._model = model

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, cut at the model's length, at the cost of that length."""
        return encode_start(self._model.encode, texts, self.max_length, self._model.truncation_side)

    def reach(self, text: str) -> int:
        """How many characters of ``text`` the model reads before its length is used up."""

        def measure(part: str) -> tuple[list[int], int]:
            return self._model.encode([part])[0], self._model.reach(part)

        return reach_of(measure, text, self.max_length, self._model.truncation_side)

    def classify(self, rows: Sequence[list[int]]) -> list[Outcome]:
        """The outcome of each row of token ids.

        Where the model fails, the rows are halved until those that make it fail are
        alone: their outcome is the error.
        """
        try:
            probabilities = self._model.probabilities(rows)
        except Exception as error:
            if len(rows) == 1:
                return [error]
            half = len(rows) // 2
            return self.classify(rows[:half]) + self.classify(rows[half:])
        return [row if np.isfinite(row).all() else _not_finite() for row in probabilities]

    def warm_up(self) -> None:
        """Pay the costs of first calls: a short row and a full batch."""
        word = self.encode(["a"])[0]
        length = min(self._model.max_length, WARM_TOKENS)
        longest = (word * length)[:length]
        for outcome in self.classify([word]) + self.classify([longest] * 4):
            if isinstance(outcome, Exception):
                raise outcome


def _not_finite() -> Exception:
    return ArithmeticError("the model gave a score that is not a number")
