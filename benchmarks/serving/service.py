"""A model to serve, and ``react-ray serve`` in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from react_ray.config.settings import EMBEDDED
from react_ray.inference.onnx_export import export
from react_ray.models.pretrained import resolve

START_S = 240
LABELS = ("business", "entertainment", "politics", "sports", "tech")
WORDS = tuple(
    re.findall(
        r"\w+",
        """the a of to in and on for with from report people company game minister film market music phone
        team player price share year deal win loss plan vote law star show song network computer bank""",
    )
)
"""Each is one token to MiniLM."""


@dataclass(frozen=True)
class Running:
    """A service that answers at ``url``; ``process`` is the command that started it."""

    url: str
    process: subprocess.Popen[str]
    started_s: float


def make_model(folder: Path, seed: int = 0) -> Path:
    """MiniLM with a head of chance weights, exported: what it says is of no interest, how fast is."""
    if not (folder / "onnx").exists():
        torch.manual_seed(seed)
        source = resolve(EMBEDDED)
        model = AutoModelForSequenceClassification.from_pretrained(
            source, id2label=dict(enumerate(LABELS)), label2id={name: i for i, name in enumerate(LABELS)}
        )
        with torch.no_grad():
            model.classifier.weight.normal_(0, 1)  # far from ties, as a trained head is
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(source).save_pretrained(folder)
        export(folder, folder / "onnx", [" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS))])
    return folder


def free_port() -> int:
    """A port that nothing listens on, on any address of this machine."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(
    model: Path, *settings: str, environment: Mapping[str, str] | None = None, port: int | None = None
) -> Iterator[Running]:
    """``react-ray serve model`` with these flags and settings, stopped with SIGTERM at the end."""
    port = port or free_port()
    command = [sys.executable, "-m", "react_ray.cli", "serve", str(model), "--port", str(port), *settings]
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=said, text=True, env={**os.environ, **(environment or {})}
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("Ready"):
                said.seek(0)
                raise SystemExit(f"the service did not start:\n{said.read()}")
            yield Running(f"http://127.0.0.1:{port}", process, time.perf_counter() - began)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
