from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_training import make_rows, probabilities, train, write_settings

SETTINGS = {"epochs": 3, "evaluations": 3, "lr": 1e-3}


@pytest.mark.slow
def test_a_run_goes_on_with_the_nodes_that_are_left(tmp_path, tiny_model):
    rows, validation = make_rows(49), make_rows(40, seed=5)
    alone = train(tmp_path / "alone", tiny_model, rows, validation, **SETTINGS)
    given = write_settings(tmp_path, tiny_model, rows, validation, **SETTINGS)
    (tmp_path / "settings.json").write_text(json.dumps(given))
    ended = subprocess.run(
        [sys.executable, Path(__file__).with_name("nodes_lost.py"), tmp_path, tmp_path / "settings.json"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
        check=False,
        timeout=550,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    taken = [json.loads(line) for line in (tmp_path / "steps.jsonl").read_text().splitlines()]
    lost = taken.index([6, 2])  # one of two nodes dies in the sixth of 12 steps; four are kept
    assert taken[: lost + 1] == [[step, 2] for step in range(1, 7)]
    assert taken[lost + 1 :] == [[step, 1] for step in range(5, 13)]
    fresh = make_rows(120, seed=9)
    first, second = probabilities(tmp_path / "last", fresh), probabilities(alone, fresh)
    assert np.allclose(first, second, atol=1e-3)
    assert (first.argmax(1) == second.argmax(1)).mean() >= 0.99
