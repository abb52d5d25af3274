"""End a service in every way there is, on a busy machine and under load, and look what is left of it.

    python -m benchmarks.serving.ends --times 4 --only SIGKILL group

A process burns each core while callers with open connections ask, 32 of them. ``failed`` counts requests that
got no answer, or another status than 200 or 503; a connection that is refused after the end was asked for is
no failure. ``left`` is what is still there 30 seconds after the command has ended: processes, its port, its
folder, HAProxy.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.serving.kinds import some_requests
from benchmarks.serving.load import REFUSED, Load, outcomes
from benchmarks.serving.service import free_port
from benchmarks.serving.tiny import make_tiny
from benchmarks.serving.victims import Victims

CALLERS, START_S, END_S, CLEAN_S = 32, 240, 90, 30


def _to_all(command: psutil.Popen) -> None:
    os.killpg(command.pid, signal.SIGTERM)


def _to_part(name: str) -> Callable[[psutil.Popen], None]:
    def kill(command: psutil.Popen) -> None:
        for child in command.children():
            if child.name().startswith(name):
                child.kill()

    return kill


WAYS: dict[str, Callable[[psutil.Popen], None]] = {
    "SIGTERM": lambda command: command.send_signal(signal.SIGTERM),
    "SIGINT": lambda command: command.send_signal(signal.SIGINT),
    "group": _to_all,
    "SIGKILL": lambda command: command.kill(),
    "raylet": _to_part("raylet"),
    "gcs": _to_part("gcs_server"),
}


@contextmanager
def busy() -> Iterator[None]:
    """All cores have other work."""
    burners = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)
    ]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


@contextmanager
def command(model: Path, port: int, victims: Victims) -> Iterator[tuple[psutil.Popen, Path]]:
    """``react-ray serve`` once it is ready, in its own process group, and its folder; then what it said."""
    words = [sys.executable, "-m", "react_ray.cli", "serve", str(model), "--port", str(port)]
    words += ["--replicas", "2", "cpus_per_replica=1", f"start_timeout_s={START_S}"]
    with tempfile.NamedTemporaryFile("w+") as said:
        process = psutil.Popen(
            words, stdout=subprocess.PIPE, stderr=said, text=True, start_new_session=True,
            env={**os.environ, **victims.environment},
        )  # fmt: skip
        try:
            ready = process.stdout.readline().startswith("Ready")
            told = Path(said.name).read_text()
            folder = re.search(r"\(logs: (/.*?react-ray-[^/]*)", told)
            if not (ready and folder):
                raise SystemExit(f"the service did not start:\n{told}")
            yield process, Path(folder[1])
        finally:
            with suppress(psutil.NoSuchProcess):
                process.kill()
            told = Path(said.name).read_text()
            print("".join(f"    {line}\n" for line in told.splitlines()[1:]), end="", flush=True)


def end(way: str, model: Path) -> tuple[float, int | None, float, Counter[str], list[str]]:
    """Seconds to the end, exit code, seconds until nothing was left, outcomes, what was left."""
    port, victims = free_port(), Victims()
    with command(model, port, victims) as (process, folder), busy():
        load = Load(f"http://127.0.0.1:{port}", some_requests(f"http://127.0.0.1:{port}"))
        with load.callers(CALLERS):
            time.sleep(3)
            told, code = time.monotonic(), None
            WAYS[way](process)
            with suppress(psutil.TimeoutExpired):
                code = process.wait(END_S)
            ended = time.monotonic()
        while (left := _left(port, victims, folder)) and time.monotonic() - ended < CLEAN_S:
            time.sleep(0.1)
        clean = time.monotonic()
    victims.sweep(0)
    counted = [one for one in load.answers if not (one.outcome == REFUSED and one.ended > told)]
    return ended - told, code, clean - told, outcomes(counted), left


def _left(port: int, victims: Victims, folder: Path) -> list[str]:
    left = []
    for process in victims.all():
        with suppress(psutil.Error):  # it ends meanwhile
            left.append(" ".join(process.cmdline())[:60])
    left += [str(folder)] * folder.exists()
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            left.append(f"port {port}")
    return left


def main() -> None:
    """Each way so often, a line each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", nargs="+", default=[*WAYS], choices=WAYS, metavar="WAY", help=", ".join(WAYS)
    )
    parser.add_argument("--times", type=int, default=4)
    options = parser.parse_args()
    print("| way | exit code | ended after s | nothing left after s | 200 | 503 | failed | left |")
    print("|---|---:|---:|---:|---:|---:|---:|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        model = make_tiny(Path(folder) / "tiny", 0)
        for way in options.only:
            for _ in range(options.times):
                ended, code, clean, count, left = end(way, model)
                good = count.pop("200", 0), count.pop("503", 0)
                failed = " ".join(f"{number} {kind}" for kind, number in count.items()) or "0"
                print(
                    f"| {way} | {code} | {ended:.1f} | {clean:.1f} | {good[0]} | {good[1]} | {failed} | "
                    f"{', '.join(left)} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
