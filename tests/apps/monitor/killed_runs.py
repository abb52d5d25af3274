"""Run a monitor again and again, each time killed at a random moment, and at last to its end.

    python killed_runs.py MODEL INPUT STORE KILLS ROWS

Runs are forks of this process, which has imported everything: a start takes no time.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import sys
import time
from contextlib import suppress
from pathlib import Path

import duckdb  # noqa: F401 (so that no run has to import it)

import react_ray
from react_ray.apps.monitor.run import load_config, run


def main(model: str, input: str, store: str, kills: int, rows: int) -> None:
    react_ray.load(model)  # imports what every run needs
    draw = random.Random(0)
    for number in range(kills):
        child = start(model, input, store)
        target = rows * (number + draw.random()) / kills
        while rows_read(store) < target and os.waitpid(child, os.WNOHANG)[0] == 0:
            time.sleep(0.001)
        time.sleep(draw.random() * 0.02)  # to meet every step
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        print(f"killed at {rows_read(store)} of {rows}", flush=True)
    _, status = os.waitpid(start(model, input, store), 0)
    sys.exit(os.waitstatus_to_exitcode(status))


def start(model: str, input: str, store: str) -> int:
    if child := os.fork():
        return child
    code = 1
    try:
        settings = {"sentiment": model, "batch": 8, "compact_rows": 40, "lateness_hours": 0.0}
        run(load_config((), settings), input, Path(store), until_end=True, quiet=True)
        code = 0
    finally:
        os._exit(code)


def rows_read(store: str) -> int:
    with suppress(sqlite3.OperationalError):
        base = sqlite3.connect(f"file:{store}/journal.sqlite3?mode=ro", uri=True)
        try:
            return int(base.execute("SELECT ifnull(sum(rows), 0) FROM offsets").fetchone()[0])
        finally:
            base.close()
    return 0


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
