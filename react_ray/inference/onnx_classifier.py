"""Inference of a saved model with ONNX Runtime on CPUs, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from react_ray.inference.folder import check_saved, settings_in
from react_ray.inference.onnx_record import OnnxRecord, onnx_file
from react_ray.inference.saved import SavedModel
from react_ray.models.tokenizer import SavedTokenizer
from react_ray.tasks.batches import run_batches
from react_ray.tasks.task import Example, Inputs, Outputs, Padding
from react_ray.tasks.windows import saved_windows

__all__ = ["OnnxClassifier"]

BATCH_TOKENS = 512
"""What lies in a core's cache: a fifth faster than 4,096, and the next text waits less."""


class OnnxClassifier(SavedModel):
    """ONNX counterpart of ``Classifier``; each call uses one core, and threads may call it concurrently.

    ``folder`` is that of the saved model with its tokenizer, ``onnx`` that of the ONNX file.
    """

    def __init__(self, folder: Path, onnx: Path, record: OnnxRecord, precision: str):
        settings = settings_in(folder)
        tokenizer = SavedTokenizer(folder, record.max_length, record.blank_token, saved_windows(settings))
        tokenizer.reads_types = "token_type_ids" in record.inputs
        padding = Padding(record.pad_token, record.padding_side)
        super().__init__(check_saved(folder), record.labels, settings, tokenizer, padding)
        self.record = record
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(
            str(onnx_file(onnx, precision)), options, providers=["CPUExecutionProvider"]
        )

    def run(self, examples: Sequence[Example]) -> Outputs:
        """Compute the output of each example, in batches of similar length."""
        return run_batches(self.task, examples, self.padding, BATCH_TOKENS, self._call, self.settings)

    def _call(self, inputs: Inputs) -> NDArray[np.float32]:
        feeds: dict[str, Any] = {name: inputs[name] for name in self.record.inputs}
        outputs: NDArray[np.float32] = self._session.run(None, feeds)[0]
        return outputs
