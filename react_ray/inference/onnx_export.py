"""Make the ONNX files of a saved model, and keep those that say what torch says."""

from __future__ import annotations

import logging
import shutil
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic

from react_ray.config.settings import Columns
from react_ray.console.reporter import quiet_libraries
from react_ray.data.read import read_file
from react_ray.data.sources import find_files
from react_ray.errors import InputError
from react_ray.folders import model_folder, remove_folder, trained_version, unchanged
from react_ray.inference.classifier import Classifier, load
from react_ray.inference.onnx_classifier import INPUTS, OnnxClassifier
from react_ray.inference.onnx_record import FOLDER, Agreement, OnnxRecord, digest_of, onnx_file
from react_ray.models.pretrained import padding_side
from react_ray.models.tokens import blank_token

__all__ = [
    "CHECKED_TOKENS",
    "FASTER",
    "LARGEST",
    "MEAN",
    "MOST_BYTES",
    "SAME_LABEL",
    "export",
    "export_if_possible",
    "export_saved",
    "speed_ratio",
    "why_not_int8",
]

log = logging.getLogger(__name__)

CHECKED_TOKENS = 10_000
"""Of texts that the engines are compared on: some seconds."""
LARGEST = 1e-3
"""Difference of a probability that fp32 may have."""
SAME_LABEL, MEAN = 0.98, 0.02
"""Share of texts that keep their label under int8, and the mean difference of a probability."""
FASTER = 1.1
"""Times the speed of fp32 that int8 must have: less than this is lost in the timing."""
TIMED_TOKENS, ROUNDS = 1000, 5
"""Some tenths of a second for a small model, each of the rounds."""
MOST_BYTES = 1_900_000_000
"""An ONNX file holds 2 GB; larger models belong on a GPU, where torch serves them."""
SAMPLES = ("a", "one two three four five", "股市上涨", "مرحبا بالعالم", "")
"""Checked beside the model's own texts: short, empty, in other letters."""


def export(folder: Path, target: Path, texts: Sequence[str]) -> OnnxRecord:
    """Write the model in ``folder`` as ONNX into ``target``: fp32, and int8 where that is worth it.

    Both are checked on the first of ``texts``, best those of its test set, up to CHECKED_TOKENS: int8 must
    keep the labels and be faster here. Raises InputError, and leaves no ``target``, where the model cannot
    be exported or fp32 differs from torch by more than LARGEST.
    """
    half = target.with_name(target.name + ".half")
    shutil.rmtree(half, ignore_errors=True)
    with unchanged(folder):
        classifier = load(folder, use_gpu=False)
        half.mkdir(parents=True)
        try:
            record = _make(folder, half, classifier, [*_some(texts, classifier), *SAMPLES])
        except Exception as error:  # torch, onnx and ONNX Runtime raise many kinds
            shutil.rmtree(half)
            if isinstance(error, InputError):
                raise
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"{folder}: no ONNX file can be made of this model: {reason}") from error
    remove_folder(target)
    half.rename(target)
    return record


def export_if_possible(folder: Path, target: Path, texts: Sequence[str]) -> None:
    """``export``; where it is not possible the log says why, and torch will serve the model."""
    try:
        export(folder, target, texts)
    except InputError as error:
        log.warning("%s", error)


def export_saved(model: str, source: str | None, text_column: str) -> str:
    """``export`` into the model's own folder, checked on texts of a file; what came out, in words."""
    folder = model_folder(model)
    quiet_libraries(verbose=False)
    record = export(folder, folder / FOLDER, _first_texts(source, text_column) if source else ())
    lines = [f"{folder / FOLDER}: compared with torch on {record.checked} texts"]
    for precision, agreement in record.precisions.items():
        lines.append(
            f"  {precision}: {agreement.same_label:.1%} of the labels equal, probabilities off by "
            f"{agreement.mean_difference:.1g} on average, {agreement.largest_difference:.1g} at most"
        )
    if record.int8_refused:
        lines.append(f"  int8: not kept, {record.int8_refused}")
    elif record.int8_speed:
        lines.append(f"  int8: {record.int8_speed:.2f} times as fast as fp32 on one core of this machine")
    return "\n".join(lines)


def why_not_int8(agreement: Agreement, speed: float) -> str | None:
    """Why int8, ``speed`` times as fast as fp32, is not worth having, in words; None where it is."""
    if not agreement.same_label >= SAME_LABEL:
        return f"it changes {1 - agreement.same_label:.1%} of the labels, over {1 - SAME_LABEL:.0%}"
    if not agreement.mean_difference <= MEAN:
        return f"its probabilities are off by {agreement.mean_difference:.2g} on average, over {MEAN}"
    if not speed >= FASTER:
        return f"it is {speed:.2f} times as fast as fp32 on one core of this machine, under {FASTER}"
    return None


def _first_texts(source: str, text_column: str) -> list[str]:
    batches = (
        batch
        for file in find_files(source)
        for batch in read_file(file, Columns(text=text_column), labeled=False)
    )
    texts = (text for batch in batches for text in batch.rows["text"].to_pylist())
    return list(islice(texts, CHECKED_TOKENS))


def _some(texts: Sequence[str], classifier: Classifier) -> list[str]:
    """The first texts, up to CHECKED_TOKENS."""
    lengths = np.cumsum([len(ids) for ids in classifier.encode(texts[:CHECKED_TOKENS])])
    return list(texts[: int((lengths <= CHECKED_TOKENS).sum())])


def _make(folder: Path, onnx: Path, classifier: Classifier, texts: list[str]) -> OnnxRecord:
    size = sum(weight.numel() * weight.element_size() for weight in classifier.model.parameters())
    if size > MOST_BYTES:
        raise InputError(f"{folder}: {size / 1e9:.1f} GB of weights are too many for an ONNX file")
    record = OnnxRecord(
        version=trained_version(folder),
        labels=classifier.labels,
        max_length=classifier.max_length,
        pad_token=int(classifier.model.config.pad_token_id),
        padding_side=padding_side(classifier.model),
        blank_token=blank_token(classifier.tokenizer),
        checked=len(texts),
        precisions={},
        digests={},
    )
    _write(classifier, onnx_file(onnx, "fp32"))
    single = _agreement(OnnxClassifier(folder, onnx, record, "fp32"), classifier, texts)
    if not single.largest_difference <= LARGEST:  # not a number is not within it
        raise InputError(f"{folder}: ONNX Runtime is off by {single.largest_difference:.2g} in a probability")
    record = replace(record, precisions={"fp32": single})
    if len(texts) > len(SAMPLES):
        record = _with_int8(record, folder, onnx, classifier, texts)
    digests = {name: digest_of(onnx_file(onnx, name)) for name in record.precisions}
    record = replace(record, digests=digests)
    record.save(onnx)
    return record


def _with_int8(
    record: OnnxRecord, folder: Path, onnx: Path, classifier: Classifier, texts: list[str]
) -> OnnxRecord:
    """The record with what int8 is worth; the file stays where it is worth having."""
    _quantize(onnx)
    single, whole = (OnnxClassifier(folder, onnx, record, name) for name in ("fp32", "int8"))
    agreement, speed = _agreement(whole, classifier, texts), speed_ratio(whole, single, texts)
    refused = why_not_int8(agreement, speed)
    record = replace(record, int8_speed=round(speed, 2), int8_refused=refused)
    if refused:
        log.info("int8 is not kept: %s", refused)
        onnx_file(onnx, "int8").unlink()
        return record
    log.info("int8 is kept: %.2f times as fast as fp32 on one core of this machine", speed)
    return replace(record, precisions={**record.precisions, "int8": agreement})


def speed_ratio(fast: OnnxClassifier, slow: OnnxClassifier, texts: list[str]) -> float:
    """How many times the speed of ``slow`` the other has: the medians of ROUNDS, in turns."""
    rows = slow.encode(texts)
    rows = rows[: max(1, int((np.cumsum([len(row) for row in rows]) <= TIMED_TOKENS).sum()))]
    seconds: dict[OnnxClassifier, list[float]] = {fast: [], slow: []}
    for _ in range(1 + ROUNDS):
        for model, taken in seconds.items():
            # a session has one thread, this one: what else the machine does is not counted
            began = time.thread_time()
            model.probabilities(rows)
            taken.append(time.thread_time() - began)
    first, second = (median(taken[1:]) for taken in seconds.values())  # the first call pays for memory
    return second / first if first else 1.0


class _Logits(torch.nn.Module):
    """The model as a function of the two inputs that every text classifier has."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits.float()


def _write(classifier: Classifier, path: Path) -> None:
    ids = torch.tensor([classifier.encode(["one two three four five"])[0]] * 3)
    either = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            _Logits(classifier.model),
            (ids, torch.ones_like(ids)),
            input_names=list(INPUTS),
            output_names=["logits"],
            dynamic_shapes=dict.fromkeys(INPUTS, either),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.save(str(path), external_data=False)


def _quantize(onnx: Path) -> None:
    """Weights as 8-bit numbers with a scale each row; reduced range, for processors that saturate."""
    root, level = logging.getLogger(), logging.getLogger().level
    root.setLevel(logging.ERROR)  # it advises a step that changes nothing here
    try:
        quantize_dynamic(
            onnx_file(onnx, "fp32"),
            onnx_file(onnx, "int8"),
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
    finally:
        root.setLevel(level)


def _agreement(exported: OnnxClassifier, classifier: Classifier, texts: list[str]) -> Agreement:
    """How far two engines agree: in calls of many rows, a row at a time for a few, and at full length."""
    most = 20 * classifier.max_length
    line = " ".join(texts)
    long = (line * (most // len(line) + 1))[:most]
    texts = [*texts, long]  # cut at the model's length
    rows = classifier.encode(texts)
    if exported.encode(texts) != rows:
        raise InputError("tokenizer.json alone cuts texts into other tokens than the saved tokenizer")
    few = rows[:8]
    alone: list[NDArray[np.float32]] = [exported.probabilities([row]) for row in few]
    found = np.concatenate([exported.probabilities(rows), *alone])
    expected = classifier.probabilities([*rows, *few])
    difference = np.abs(found - expected)
    return Agreement(
        largest_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        same_label=float((found.argmax(1) == expected.argmax(1)).mean()),
    )
