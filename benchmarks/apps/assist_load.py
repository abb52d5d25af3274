"""Latency of the assistant's replies under load: customers on open connections, each waits for its reply.

    python -m benchmarks.apps.assist_load                                  # bank_faq, 32 connections
    python -m benchmarks.apps.assist_load --connections 8 --seconds 60
    python -m benchmarks.apps.assist_load --replicas 1 2 1 2               # in turn, on one machine

Builds an assistant on the history of a set, serves it with ``react-ray assist serve``, and asks the held-out
questions of that set in conversations of ``TURNS`` messages. Every message is stored before and after its
reply, as in use. The load of the machine before the service starts is kept with the result: other programs
make replies slower.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import numpy as np

from benchmarks.apps.assist import SETS, call
from benchmarks.datasets import DATA
from benchmarks.serving.service import free_port

RESULTS = Path(__file__).parents[1] / "results" / "apps" / "assist_load"
TURNS = 3
"""Messages of a conversation."""
WARM_S = 5.0
"""Seconds that are not counted."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--set", default="bank_faq", choices=SETS)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--replicas", type=int, nargs="+", default=[1])
    parser.add_argument("--built", type=Path, help="Assistant that is built already; default: build it")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    history, test = SETS[options.set](options.data / options.set, np.random.default_rng(0))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.built is None:
            history.to_parquet(folder / "history.parquet")
            call(["build", "--history", folder / "history.parquet", "--output", folder / "out", "--quiet"])
        questions = test["question"].tolist()
        for replicas in options.replicas:
            measure(options.built or folder / "out", questions, replicas, options)
    return 0


def measure(assistant: Path, questions: Sequence[str], replicas: int, options: argparse.Namespace) -> None:
    """Serve the assistant, ask it, and add the figures to those kept for this number of replicas."""
    load = os.getloadavg()
    with served(assistant, replicas) as url:
        figures = asyncio.run(ask_all(url, questions, options.connections, options.seconds))
    found = {
        "set": options.set,
        "connections": options.connections,
        "replicas": replicas,
        "seconds": options.seconds,
        "cores": os.cpu_count(),
        "machine_load_before": [round(one, 2) for one in load],
        **figures,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    with (RESULTS / f"{options.set}-{options.connections}.jsonl").open("a", encoding="utf-8") as kept:
        kept.write(json.dumps(found) + "\n")
    print(json.dumps(found, indent=1))


@contextmanager
def served(folder: Path, replicas: int) -> Iterator[str]:
    """Serve the assistant while the block runs; yields its address."""
    port = free_port()
    command = [sys.executable, "-m", "react_ray.cli", "assist", "serve", str(folder), f"port={port}"]
    command += [f"replicas={replicas}", "start_timeout_s=400", "access_log=false"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            if not first.startswith("Ready"):
                raise RuntimeError(f"the service did not start: {first}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


async def ask_all(url: str, questions: Sequence[str], connections: int, seconds: float) -> dict[str, Any]:
    """Ask on all connections until the time is over; return counts, and percentiles in milliseconds."""
    begin = time.monotonic() + WARM_S
    new = uuid4().hex  # a message that was sent before is not answered again
    times: list[float] = []
    outcomes: Counter[str] = Counter()

    async def customer(session: aiohttp.ClientSession, name: int) -> None:
        for number in count():
            if (started := time.monotonic()) >= begin + seconds:
                break
            question = questions[(name + number * connections) % len(questions)]
            body = {"session": f"{new}-{name}-{number // TURNS}", "id": f"m{number}", "message": question}
            outcome = await ask(session, body)
            if started >= begin:
                outcomes[outcome] += 1
                if outcome == "200":
                    times.append((time.monotonic() - started) * 1000)

    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(url, connector=connector) as session:
        await asyncio.gather(*(customer(session, name) for name in range(connections)))
    spent = time.monotonic() - begin
    return {
        "outcomes": dict(outcomes),
        "replies_per_second": round(len(times) / spent, 1),
        "ms": {f"p{share}": round(float(np.percentile(times, share)), 1) for share in (50, 90, 99)},
    }


async def ask(session: aiohttp.ClientSession, body: dict[str, str]) -> str:
    """Ask a question; return the status of the reply, or the kind of error."""
    try:
        async with session.post("/chat", json=body) as answer:
            await answer.read()
            return str(answer.status)
    except (aiohttp.ClientError, TimeoutError) as error:
        return type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
