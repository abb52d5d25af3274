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
def command(model: Path, port: int, victims: Victims) -> Iterator[psutil.Popen]:
    """``react-ray serve``, in a process group of its own, once it is ready."""
    words = [sys.executable, "-m", "react_ray.cli", "serve", str(model), "--port", str(port)]
    words += ["--replicas", "2", "cpus_per_replica=1", f"start_timeout_s={START_S}"]
    with tempfile.TemporaryFile("w+") as said:
        process = psutil.Popen(
            words, stdout=subprocess.PIPE, stderr=said, text=True, start_new_session=True,
            env={**os.environ, **victims.environment},
        )  # fmt: skip
        try:
            if not process.stdout.readline().startswith("Ready"):
                said.seek(0)
                raise SystemExit(f"the service did not start:\n{said.read()}")
            yield process
        finally:
            with suppress(psutil.NoSuchProcess):
                process.kill()
            said.seek(0)
            print("".join(f"    {line}" for line in said.read().splitlines(True)[1:]), end="", flush=True)


def end(way: str, model: Path) -> tuple[float, int, float, Counter[str], list[str]]:
    """Seconds to the end, exit code, seconds until nothing was left, outcomes, what was left."""
    port, victims, before = free_port(), Victims(), folders()
    with command(model, port, victims) as process, busy():
        load = Load(f"http://127.0.0.1:{port}", [_request(port)])
        with load.callers(CALLERS):
            time.sleep(3)
            told = time.monotonic()
            WAYS[way](process)
            code = process.wait(END_S)
            ended = time.monotonic() - told
        while (left := _left(port, victims, before)) and time.monotonic() - told < ended + CLEAN_S:
            time.sleep(0.1)
        clean = time.monotonic() - told
    victims.sweep(0)
    after = [one for one in load.answers if not (one.outcome == REFUSED and one.ended > told)]
    return ended, code, clean, outcomes(after), left


def _request(port: int):  # type: ignore[no-untyped-def]
    from benchmarks.serving.load import Request, learn

    request = Request(["the team won the match"])
    other = Request(["a company share price of the market"])
    for text in ("the", "law of a bank", "music"):
        try:
            learn(f"http://127.0.0.1:{port}", [request, other, Request([text])])
            break
        except SystemExit:
            continue
    return request


def folders() -> set[str]:
    """Where services of this machine have their files."""
    places = {Path(tempfile.gettempdir()), Path("/tmp")}
    return {str(one) for place in places for one in place.glob("react-ray-*")}


def _left(port: int, victims: Victims, before: set[str]) -> list[str]:
    left = [process.info["name"] for process in _named(victims)]
    left += sorted(folders() - before)
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            left.append(f"port {port}")
    return left


def _named(victims: Victims) -> list[psutil.Process]:
    found = victims.all()
    for process in found:
        with process.oneshot():
            process.info = {"name": " ".join(process.cmdline())[:60]}
    return found


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
