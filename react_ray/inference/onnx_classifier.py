"""A classifier from its ONNX file, on ONNX Runtime: for processors, and without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from scipy.special import softmax
from tokenizers import Tokenizer

from react_ray.inference.onnx_record import OnnxRecord, onnx_file
from react_ray.models import tokens
from react_ray.models.batching import token_batches
from react_ray.models.tokens import truncation_side

__all__ = ["INPUTS", "OnnxClassifier"]

INPUTS = ("input_ids", "attention_mask")
BATCH_TOKENS = 512
"""What lies in a core's cache: a fifth faster than 4,096, and the next text waits less."""


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
        self.truncation_side = truncation_side(folder)
        self._tokenizer.enable_truncation(record.max_length, direction=self.truncation_side)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(
            str(onnx_file(onnx, precision)), options, providers=["CPUExecutionProvider"]
        )

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, cut at ``max_length``."""
        rows = (encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts)))
        return tokens.never_empty(rows, self._record.blank_token)

    def reach(self, text: str) -> int:
        """How many characters of ``text`` lie before the end of its last token, cut at ``max_length``."""
        return max((end for _, end in self._tokenizer.encode(text).offsets), default=0)

    def probabilities(self, encoded: Sequence[list[int]]) -> NDArray[np.float32]:
        """Probabilities of encoded texts (n x labels, in the order of ``labels``)."""
        logits = np.empty((len(encoded), len(self.labels)), dtype=np.float32)
        for batch in token_batches([len(ids) for ids in encoded], BATCH_TOKENS):
            padded = tokens.pad(
                [encoded[i] for i in batch], self._record.pad_token, self._record.padding_side
            )
            logits[batch] = self._session.run(None, dict(zip(INPUTS, padded, strict=True)))[0]
        probabilities: NDArray[np.float32] = softmax(logits, axis=1)
        return probabilities
