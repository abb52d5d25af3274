"""Export of a saved model to ONNX, verified against PyTorch."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import PreTrainedModel

from react_ray.console.reporter import quiet_libraries
from react_ray.data.columns import input_names
from react_ray.data.read import read_file
from react_ray.data.sources import find_files
from react_ray.errors import InputError
from react_ray.folders import model_folder, trained_version
from react_ray.inference.classifier import Classifier, load
from react_ray.inference.export_folder import write_export
from react_ray.inference.folder import check_saved
from react_ray.inference.inputs import Row, rows_taken, sample_rows, table_of
from react_ray.inference.onnx_classifier import OnnxClassifier
from react_ray.inference.onnx_record import FOLDER, Agreement, OnnxRecord, digest_of, onnx_file
from react_ray.inference.saved import Input
from react_ray.models.tokens import blank_token
from react_ray.tasks.task import Inputs, Task

__all__ = [
    "CHECKED_TOKENS",
    "FASTER",
    "LARGEST",
    "MEAN",
    "MOST_BYTES",
    "SAME_LABEL",
    "export",
    "export_saved",
    "first_rows",
    "speed_ratio",
    "why_not_int8",
]

log = logging.getLogger(__name__)

CHECKED_TOKENS = 10_000
"""Tokens of the texts that the engines are compared on: some seconds."""
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


def export(folder: Path, target: Path, inputs: Sequence[Input]) -> OnnxRecord:
    """Export the model in ``folder`` to ONNX files in ``target``: fp32, and int8 if it is good enough.

    Both are verified on the first of ``inputs`` (preferably of its test set), up to CHECKED_TOKENS: int8 must
    keep the answers and be faster on this machine. An input is a text, or an object with the task's input
    columns. Raises InputError, and leaves no ``target``, if the model cannot be exported or fp32 differs from
    torch by more than LARGEST.
    """
    task = check_saved(folder)
    if task.generates:
        raise InputError(
            f"{folder}: a model for {task.title} generates its answers token by token, which has no ONNX "
            "export but one for CTranslate2"
        )

    def make(onnx: Path) -> OnnxRecord:
        classifier = load(folder, use_gpu=False)
        return _make(folder, onnx, classifier, _verification_rows(classifier, inputs))

    return write_export(folder, target, make, "no ONNX file can be made of this model")


def export_saved(model: str, source: str | None, columns: Mapping[str, str] | None = None) -> str:
    """Export into the model's folder, verified on the rows of a file; return a summary.

    ``columns`` maps columns of the task to their names in the file.
    """
    folder = model_folder(model)
    quiet_libraries(verbose=False)
    rows = first_rows(check_saved(folder), source, columns or {}) if source else ()
    record = export(folder, folder / FOLDER, rows)
    lines = [f"{folder / FOLDER}: compared with torch on {record.checked} texts"]
    for precision, agreement in record.precisions.items():
        lines.append(
            f"  {precision}: {agreement.same_label:.1%} of the answers equal, probabilities off by "
            f"{agreement.mean_difference:.1g} on average, {agreement.largest_difference:.1g} at most"
        )
    if record.int8_refused:
        lines.append(f"  int8: not kept, {record.int8_refused}")
    elif record.int8_speed:
        lines.append(f"  int8: {record.int8_speed:.2f} times as fast as fp32 on one core of this machine")
    return "\n".join(lines)


def why_not_int8(agreement: Agreement, speed: float) -> str | None:
    """Return why int8 (``speed`` times as fast as fp32) is discarded, or None if it is kept."""
    if not agreement.same_label >= SAME_LABEL:
        return f"it changes {1 - agreement.same_label:.1%} of the answers, over {1 - SAME_LABEL:.0%}"
    if not agreement.mean_difference <= MEAN:
        return f"its probabilities are off by {agreement.mean_difference:.2g} on average, over {MEAN}"
    if not speed >= FASTER:
        return f"it is {speed:.2f} times as fast as fp32 on one core of this machine, under {FASTER}"
    return None


def first_rows(task: Task, source: str, columns: Mapping[str, str]) -> list[Row]:
    """Return the first rows of a file, to compare engines on."""
    names = input_names(task, columns)
    batches = (
        batch for file in find_files(source) for batch in read_file(file, names, task=task, labeled=False)
    )
    inputs = [field.name for field in task.inputs]
    rows = (Row(row) for batch in batches for row in batch.rows.select(inputs).to_pylist())
    return list(islice(rows, CHECKED_TOKENS))


def _verification_rows(classifier: Classifier, inputs: Sequence[Input]) -> list[Row]:
    """Return the rows of the first inputs, up to CHECKED_TOKENS, and those of SAMPLES."""
    rows = [classifier.row(value) for value in inputs[:CHECKED_TOKENS]]
    if rows:
        lengths = np.zeros(len(rows), int)
        for example in classifier.examples(table_of(classifier.task, rows)):
            lengths[example.row] += len(example.ids)
        rows = rows[: int((np.cumsum(lengths) <= CHECKED_TOKENS).sum())]
    return [*rows, *sample_rows(classifier.task, SAMPLES)]


def _make(folder: Path, onnx: Path, classifier: Classifier, rows: list[Row]) -> OnnxRecord:
    size = sum(weight.numel() * weight.element_size() for weight in classifier.model.parameters())
    if size > MOST_BYTES:
        raise InputError(f"{folder}: {size / 1e9:.1f} GB of weights are too many for an ONNX file")
    if not rows:
        raise InputError(f"{folder}: rows are needed to check an ONNX file on: give --input")
    record = OnnxRecord(
        version=trained_version(folder),
        labels=classifier.labels,
        max_length=classifier.max_length,
        pad_token=classifier.padding.token,
        padding_side=classifier.padding.side,
        blank_token=blank_token(classifier.tokenizer.tokenizer),
        checked=len(rows),
        precisions={},
        digests={},
        inputs=list(_inputs(classifier, rows)),
    )
    _write(classifier, rows, onnx_file(onnx, "fp32"))
    single = _agreement(OnnxClassifier(folder, onnx, record, "fp32"), classifier, rows)
    if not single.largest_difference <= LARGEST:  # not a number is not within it
        raise InputError(f"{folder}: ONNX Runtime is off by {single.largest_difference:.2g} in a probability")
    record = replace(record, precisions={"fp32": single})
    if len(rows) > len(SAMPLES):
        record = _with_int8(record, folder, onnx, classifier, rows)
    digests = {name: digest_of(onnx_file(onnx, name)) for name in record.precisions}
    record = replace(record, digests=digests)
    record.save(onnx)
    return record


def _with_int8(
    record: OnnxRecord, folder: Path, onnx: Path, classifier: Classifier, rows: list[Row]
) -> OnnxRecord:
    """Export and verify int8; return the completed record, and delete the file if it is discarded."""
    _quantize(onnx)
    fp32, int8 = (OnnxClassifier(folder, onnx, record, name) for name in ("fp32", "int8"))
    agreement, speed = _agreement(int8, classifier, rows), speed_ratio(int8, fp32, rows)
    rejected = why_not_int8(agreement, speed)
    record = replace(record, int8_speed=round(speed, 2), int8_refused=rejected)
    if rejected:
        log.info("int8 is not kept: %s", rejected)
        onnx_file(onnx, "int8").unlink()
        return record
    log.info("int8 is kept: %.2f times as fast as fp32 on one core of this machine", speed)
    return replace(record, precisions={**record.precisions, "int8": agreement})


def speed_ratio(fast: OnnxClassifier, slow: OnnxClassifier, rows: list[Row]) -> float:
    """Return the speed of ``fast`` relative to ``slow``: ratio of medians of ROUNDS, alternating."""
    examples = slow.examples(table_of(slow.task, rows))
    lengths = np.cumsum([len(example.ids) for example in examples])
    examples = examples[: max(1, int((lengths <= TIMED_TOKENS).sum()))]
    seconds: dict[OnnxClassifier, list[float]] = {fast: [], slow: []}
    for _ in range(1 + ROUNDS):
        for model, taken in seconds.items():
            # a session has one thread, this one: what else the machine does is not counted
            began = time.thread_time()
            model.run(examples)
            taken.append(time.thread_time() - began)
    first, second = (median(taken[1:]) for taken in seconds.values())  # the first call pays for memory
    return second / first if first else 1.0


class _Outputs(torch.nn.Module):
    """Wrapper that calls the model with positional inputs and returns its logits."""

    def __init__(self, task: Task, model: PreTrainedModel):
        super().__init__()
        self.task, self.model = task, model

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        return self.task.infer(self.model, inputs).float()


def _inputs(classifier: Classifier, rows: list[Row]) -> Inputs:
    """Return a batch with three copies of the longest of the first examples."""
    examples = classifier.examples(table_of(classifier.task, rows[:8]))
    longest = max(examples, key=lambda example: len(example.ids))
    return classifier.task.collate([longest] * 3, classifier.padding)


def _write(classifier: Classifier, rows: list[Row], path: Path) -> None:
    inputs = _inputs(classifier, rows)
    either = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            _Outputs(classifier.task, classifier.model),
            tuple(map(torch.from_numpy, inputs.values())),
            input_names=list(inputs),
            output_names=["logits"],
            dynamic_shapes=dict.fromkeys(inputs, either),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.save(str(path), external_data=False)


def _quantize(onnx: Path) -> None:
    """Quantize weights to 8 bits with a scale per row; reduced range avoids saturation on older CPUs."""
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


def _agreement(exported: OnnxClassifier, classifier: Classifier, rows: list[Row]) -> Agreement:
    """Compare two engines: in batches, on single rows, and at full length."""
    task = classifier.task
    table = table_of(task, [*rows, *_long(classifier, rows)])
    examples = classifier.examples(table)
    if [example.ids for example in exported.examples(table)] != [example.ids for example in examples]:
        raise InputError("tokenizer.json alone cuts texts into other tokens than the saved tokenizer")
    outputs, expected = exported.run(examples), classifier.run(examples)
    alone = [output for example in examples[:8] for output in exported.run([example])]
    actual = np.concatenate([np.ravel(output) for output in task.probabilities([*outputs, *alone])])
    reference = np.concatenate(
        [np.ravel(output) for output in task.probabilities([*expected, *expected[:8]])]
    )
    difference = np.abs(actual - reference)
    answers = zip(
        exported.decode(outputs, examples, table, 1),
        classifier.decode(expected, examples, table, 1),
        strict=True,
    )
    return Agreement(
        largest_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        same_label=float(
            np.mean([answer.value == reference_answer.value for answer, reference_answer in answers])
        ),
    )


def _long(classifier: Classifier, rows: list[Row]) -> list[Row]:
    """Return a row with a text longer than the model's maximum length."""
    line = " ".join(row["text"] for row in rows)
    if not line.strip():
        return []
    most = 20 * classifier.max_length
    text = (line * (most // len(line) + 1))[:most]
    row = rows[0]  # for a task that needs more than a text, such as two entities in it
    taken = rows_taken(classifier.task, [text]) if classifier.task.text_column else []
    return taken or [Row({**row, "text": f"{row['text']} {text}"})]
