"""Inference of a replica: examples in, outputs out; an invalid example fails alone."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.answer import Answer
from react_ray.console.terminal import command
from react_ray.errors import InputError
from react_ray.folders import model_folder
from react_ray.inference.ctranslate2_record import TranslatorRecord, find_translator
from react_ray.inference.folder import check_saved
from react_ray.inference.inputs import few_rows, sample_row
from react_ray.inference.onnx_record import FOLDER, OnnxRecord, find_onnx
from react_ray.inference.saved import PROBE_TOKENS, SavedModel
from react_ray.models.tokenizer import QuickTokenizer
from react_ray.tasks.cutting import read_and_cut
from react_ray.tasks.task import Example, Outputs

__all__ = ["Engine", "ModelOutput", "Precision", "load_engine"]

ModelOutput = NDArray[np.float32] | Exception
"""Output of the model for one example, or why there is none."""
Precision = Literal["fp32", "int8"]

WARM_TOKENS = 512
"""Tokens of the longest row in the first calls: with 100,000 tokens they would take minutes."""
COUNTED_INPUTS = 4
"""Inputs of the model up to which the tokens of a text are counted: tokenizing all of it takes longer."""

logger = logging.getLogger("ray.serve")


def load_engine(path: str, precision: Precision, threads: int, use_gpu: bool) -> Engine:
    """Load the model in folder ``path`` on ``threads`` cores or the GPU.

    Uses ONNX Runtime or CTranslate2 on CPUs if there is a valid export, otherwise torch, in half precision on
    a GPU. Raises InputError if the model is incomplete, or int8 is requested but not available.
    """
    os.environ.setdefault("RAYON_NUM_THREADS", str(threads))  # of the tokenizer
    folder = model_folder(path)
    task = check_saved(folder)
    if task.generates and not use_gpu and precision == "fp32":
        translator = find_translator(folder)
        if isinstance(translator, TranslatorRecord):
            return Engine(_load_translator(folder, translator, threads), "CTranslate2, fp32", lanes=threads)
        logger.warning("%s: torch serves it", translator)
    record = "a GPU is used" if use_gpu else find_onnx(folder, precision)
    if isinstance(record, OnnxRecord):
        # A core a call: short texts, alone or in a batch, gain nothing from a second one.
        return Engine(_load_onnx(folder, record, precision), f"ONNX Runtime, {precision}", lanes=threads)
    if precision == "int8":
        raise InputError(
            f"{folder}: no ONNX file in int8 to serve on processors ({record}); "
            f"`{command('export', path)}` makes one where that keeps the labels and is faster"
        )
    if not task.generates:  # they have no ONNX file
        logger.warning("%s: torch serves it. `react-ray export` makes an ONNX file", record)
    return _load_torch(folder, threads, use_gpu)


def _load_onnx(folder: Path, record: OnnxRecord, precision: Precision) -> SavedModel:
    from react_ray.inference.onnx_classifier import OnnxClassifier

    return OnnxClassifier(folder, folder / FOLDER, record, precision)


def _load_translator(folder: Path, record: TranslatorRecord, threads: int) -> SavedModel:
    from react_ray.inference.ctranslate2_model import CTranslate2Model

    return CTranslate2Model(folder, record, threads)


def _load_torch(folder: Path, threads: int, use_gpu: bool) -> Engine:
    import torch

    from react_ray.inference.classifier import load

    torch.set_num_threads(threads)
    classifier = load(folder, use_gpu=use_gpu)
    if classifier.model.device.type == "cpu":
        return Engine(classifier, "torch, fp32")
    dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    classifier.model.to(dtype)
    return Engine(classifier, f"torch on {classifier.model.device}, {str(dtype).removeprefix('torch.')}")


class Engine:
    """Model that returns an output or error for each example; up to ``lanes`` concurrent calls."""

    def __init__(self, model: SavedModel, name: str = "", lanes: int = 1):
        self.name = name
        self.lanes = lanes
        self.task = model.task
        self.labels = model.labels
        self.max_length = model.max_length
        self.most_tokens = model.max_length * model.tokenizer.most_windows
        self.model = model
        self._tokenizer = QuickTokenizer(model.tokenizer)
        self._longer = self._tokenizer.longer(COUNTED_INPUTS)

    def encode(self, rows: pa.Table) -> list[Example]:
        """Tokenize rows; of a text that will be truncated only the beginning is tokenized."""
        return self.task.encode(self._tokenizer, rows, self.labels)

    def size(self, example: Example) -> int:
        """Return the tokens of an example, by which model calls are limited."""
        return self.task.size(example, self.model.settings)

    def count_cut(self, rows: pa.Table, examples: Sequence[Example]) -> NDArray[np.int64]:
        """Count the tokens of each row that its ``examples`` leave out, up to COUNTED_INPUTS inputs."""
        counts = read_and_cut(self.task, self._tokenizer, self._longer, rows, self.labels, examples)
        return counts[:, 1]

    def reach(self, text: str) -> int:
        """Return how many characters of ``text`` are within the input length of the model."""
        return self._tokenizer.reach(text)

    def run(self, examples: Sequence[Example], limit: int | None = None) -> list[ModelOutput]:
        """Compute the output of each example; ``limit`` is the maximum number of generated tokens, if given.

        If the model fails, the examples are bisected until the failing ones are alone;
        their output is the error.
        """
        try:
            outputs = self.model.run(examples) if limit is None else self.model.generate(examples, limit)
        except Exception as error:
            if len(examples) == 1:
                return [error]
            middle = len(examples) // 2
            return self.run(examples[:middle], limit) + self.run(examples[middle:], limit)
        return [output if np.isfinite(output).all() else _not_finite() for output in outputs]

    def stream(self, example: Example, emit: Callable[[int], bool], limit: int | None = None) -> ModelOutput:
        """Generate a text by greedy search; ``emit`` gets each token, and stops it by returning True."""
        return self.model.stream(example, emit, limit)

    def decode(
        self, outputs: Outputs, examples: Sequence[Example], rows: pa.Table, ranked: int | None
    ) -> list[Answer]:
        """Decode the answer for each row; rankings have at most ``ranked`` entries (None: all)."""
        return self.model.decode(outputs, examples, rows, ranked)

    def sample(self, text: str) -> list[Example]:
        """Return the examples of a text for probes."""
        return self.encode(few_rows(self.task, [sample_row(self.task, text)]))

    def probe(self) -> list[ModelOutput]:
        """Run the model on a short text; a generated text has few tokens."""
        return self.run(self.sample("ready"), self._probe_limit)

    @property
    def steps(self) -> int:
        """Generated tokens or batches so far."""
        return self.model.progress.steps

    @property
    def _probe_limit(self) -> int | None:
        return PROBE_TOKENS if self.task.generates else None

    def warm_up(self) -> None:
        """Warm up the model with a short row and a full batch."""
        longest, limit = self.sample("a " * min(self.max_length, WARM_TOKENS)), self._probe_limit
        for outcome in self.run(self.sample("a"), limit) + self.run(longest[:1] * 4, limit):
            if isinstance(outcome, Exception):
                raise outcome


def _not_finite() -> Exception:
    return ArithmeticError("the model gave a score that is not a number")
