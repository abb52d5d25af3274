"""What the machine and the engine can do without a server: tokens a second."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

SECONDS = 4.0
HIDDEN, INNER, LAYERS = 384, 1536, 6
"""Of MiniLM."""


def engine_figures(model: Path, lengths: dict[str, list[int]], texts: Path) -> dict[str, Any]:
    """In a process of its own, so that its threads are not in the way of what comes next."""
    command = [sys.executable, "-m", "benchmarks.serving.limits", str(model), str(texts)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    figures = json.loads(said.strip().splitlines()[-1])
    print(f"engine: {figures}", flush=True)
    return figures


def _main(model: str, texts: str) -> None:
    import os

    import pyarrow as pa

    from react_ray.serve.engine.model import load_engine

    cores = os.cpu_count() or 1
    figures: dict[str, Any] = {"limit": _limit(cores)}
    for precision in ("fp32", "int8"):
        engine = load_engine(model, precision, cores, use_gpu=False)  # type: ignore[arg-type]
        for kind in ("equal", "mixed"):
            lines = (Path(texts) / f"{kind}.txt").read_text().splitlines()
            rows = engine.encode(pa.table({"text": lines}))
            figures[f"{precision} {kind}"] = _offline(engine, rows, cores)
            figures[f"{precision} {kind} one text ms"] = _alone(engine, rows[:64])
    print(json.dumps(figures))


def _limit(threads: int) -> float:
    """Tokens a second if the matrix products of the model were all there is to compute.

    Each of the threads multiplies 256 tokens with the weights of a layer, as the engine does; biases,
    attention, normalisation and activation cost nothing here.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(0)

    def loop(stop: float, counted: list[int]) -> None:
        x = rng.standard_normal((256, HIDDEN), dtype=np.float32)
        inner = rng.standard_normal((256, INNER), dtype=np.float32)
        square = [rng.standard_normal((HIDDEN, HIDDEN), dtype=np.float32) for _ in range(4)]
        up = rng.standard_normal((HIDDEN, INNER), dtype=np.float32)
        down = rng.standard_normal((INNER, HIDDEN), dtype=np.float32)
        while time.perf_counter() < stop:
            for _ in range(LAYERS):
                for weights in square:
                    x @ weights
                x @ up
                inner @ down
            counted.append(256)

    with threadpool_limits(1):
        return _rate(threads, loop)


def _offline(engine: Any, rows: Sequence[list[int]], threads: int) -> float:
    """Tokens a second of the engine on a pile of texts, in the calls that serve it best."""
    from react_ray.models.batching import token_batches

    lengths = [len(row.ids) for row in rows]
    batches = [[rows[i] for i in batch] for batch in token_batches(lengths, 512)]

    def loop(stop: float, counted: list[int]) -> None:
        while True:
            for batch in batches:
                if time.perf_counter() > stop:
                    return
                engine.run(batch)
                counted.append(sum(map(len, batch)))

    return _rate(threads, loop)


def _rate(threads: int, loop: Callable[[float, list[int]], None]) -> float:
    counted: list[int] = []
    began = time.perf_counter()
    workers = [threading.Thread(target=loop, args=(began + SECONDS, counted)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counted) / (time.perf_counter() - began)


def _alone(engine: Any, rows: Sequence[list[int]]) -> float:
    """Milliseconds of a text alone, from characters to probabilities: the median."""
    import statistics

    times = []
    for row in rows:
        began = time.perf_counter()
        engine.run([row])
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


if __name__ == "__main__":
    _main(*sys.argv[1:])
