"""Training steps with as many threads as cores, on idle cores and beside a busy process.

    python -m benchmarks.busy_cores

Threads of torch wait for each other many times a step. By default they keep their cores busy meanwhile; with
GOMP_SPINCOUNT=10000, which importing react_ray sets, they soon sleep. The other process computes on one
thread. Both ways are measured in turn, each in a process of its own; other processes should be idle.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

RESULT = Path(__file__).parent / "results" / "busy_cores.json"
POLICIES = {"torch": {}, "react_ray": {"GOMP_SPINCOUNT": "10000"}}
SECONDS = 8.0
BUSY = "while True: sum(range(100_000))"
ROWS, TOKENS = 16, 64
"""Size of a step, as in ``benchmarks.training``."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", action="store_true", help="train in this process and print seconds a step")
    options = parser.parse_args()
    if options.steps:
        print(seconds_a_step())
        return
    measured: dict[str, dict[str, list[float]]] = {
        load: {name: [] for name in POLICIES} for load in ("idle", "busy")
    }
    for number in range(options.rounds):
        for load, seconds in measured.items():
            for name in list(POLICIES)[:: -1 if number % 2 else 1]:
                seconds[name].append(_measure(name, load == "busy"))
                print(f"{load}, {name}: {seconds[name][-1]:.3f} s a step", flush=True)
    ratios = {
        load: round(median(seconds["torch"]) / median(seconds["react_ray"]), 2)
        for load, seconds in measured.items()
    }
    found = {"cores": os.cpu_count(), "seconds_a_step": measured, "torch_over_react_ray": ratios}
    RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"seconds a step, torch as it is over react_ray: {ratios}")


def seconds_a_step() -> float:
    """Mean over SECONDS of training the embedded model's architecture from random weights."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536, num_labels=4
    )
    model = BertForSequenceClassification(config)
    optimizer = torch.optim.AdamW(model.parameters())
    tokens, labels = torch.randint(1, 30_000, (ROWS, TOKENS)), torch.randint(0, 4, (ROWS,))

    def step() -> None:
        model(input_ids=tokens, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    started, steps = time.monotonic(), 0
    while time.monotonic() - started < SECONDS:
        step()
        steps += 1
    return (time.monotonic() - started) / steps


def _measure(policy: str, busy: bool) -> float:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))
    }
    environment |= POLICIES[policy]
    # of another session: Linux gives each session its share of the cores
    other = subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True) if busy else None
    try:
        command = [sys.executable, "-m", "benchmarks.busy_cores", "--steps"]
        output = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
        return float(output.stdout)
    finally:
        if other:
            other.kill()
            other.wait()


if __name__ == "__main__":
    main()
