"""Threads of torch beside other processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = "import react_ray, os, sys; assert 'torch' not in sys.modules; print(os.environ['GOMP_SPINCOUNT'])"


@pytest.mark.parametrize(("given", "expected"), [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_waiting_threads_soon_sleep_unless_the_user_decides(given: dict[str, str], expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"} | given
    command = [sys.executable, "-c", CODE]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert output.stdout.strip() == expected
