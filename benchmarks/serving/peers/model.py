"""What the servers of the peers have in common: one ONNX file, tokenizer and padding."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer

LABELS = ("business", "entertainment", "politics", "sports", "tech")
MAX_LENGTH = 512


class Model:
    def __init__(self, folder: str | None = None):
        place = Path(folder or os.environ["MODEL"])
        self._tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_LENGTH)
        self._tokenizer.enable_padding()
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("THREADS", os.cpu_count() or 1))
        path = str(place / "onnx" / "model.fp32.onnx")
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def __call__(self, texts: Sequence[str]) -> list[list[dict[str, object]]]:
        rows = self._tokenizer.encode_batch_fast(list(texts))
        inputs = {
            "input_ids": np.array([row.ids for row in rows], dtype=np.int64),
            "attention_mask": np.array([row.attention_mask for row in rows], dtype=np.int64),
        }
        logits = self._session.run(None, inputs)[0]
        odds = np.exp(logits - logits.max(1, keepdims=True))
        scores = odds / odds.sum(1, keepdims=True)
        order = np.argsort(-scores, axis=1)
        return [
            [{"label": LABELS[i], "score": float(row[i])} for i in best]
            for row, best in zip(scores, order, strict=True)
        ]
