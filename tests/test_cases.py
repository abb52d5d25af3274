"""Inputs that went wrong for users once, one small case each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from react_ray.cluster.local import private_folder


@pytest.fixture
def served_model(tiny_model: Path, tmp_path: Path) -> Path:
    """A classifier with two labels."""
    folder = tmp_path / "model"
    folder.mkdir()
    for file in tiny_model.glob("*token*"):
        (folder / file.name).write_bytes(file.read_bytes())
    torch.manual_seed(0)
    config = BertConfig.from_pretrained(tiny_model, num_labels=2)
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def serve(*words: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "react_ray.cli", "serve", *words]
    told = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**told, **environment}
    )


@pytest.mark.ray
def test_serve_ipv6(served_model: Path) -> None:
    from socket import AF_INET6, socket

    with socket(AF_INET6) as probe:
        probe.bind(("::1", 0))
        port = probe.getsockname()[1]
    with serve(str(served_model), "--host", "::1", "--port", str(port), TMPDIR="/tmp/" + 70 * "x") as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(f"Ready: http://[::1]:{port}")
            request = urllib.request.Request(
                f"http://[::1]:{port}/predict", b'{"inputs": "a"}', {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=20) as answer:
                assert len(json.load(answer)) == 2
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_tmpdir_too_long(
    served_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    long = tmp_path / (70 * "x")
    long.mkdir()
    with serve(str(served_model), RAY_TMPDIR=str(long)) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    (line,) = said.splitlines()
    assert line.startswith(f"error: no folder for Ray's sockets (RAY_TMPDIR={long}: too long")
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(long))
    folder = private_folder()  # another one is taken: test_serve_ipv6 serves like this
    assert len(str(folder)) < 40
    folder.rmdir()
