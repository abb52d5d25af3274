"""What can happen to a run: one function each."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from benchmarks.faults.nodes import DRAIN_S, processes
from benchmarks.faults.road import Road

FULL_S = 60
"""How long a run may go on without noticing that the disk is full."""

Driver = subprocess.Popen[bytes]
Strike = Callable[[Driver, Road, Path, random.Random], tuple[bool, Driver]]
"""Does it if it can be done at the moment; whether it was, and the driver that is at work now."""


def kill_driver(driver: Driver, road: Road, output: Path, chance: random.Random) -> tuple[bool, Driver]:
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    return True, road.start(output)


def kill_process(
    driver: Driver, road: Road, output: Path, chance: random.Random, title: str
) -> tuple[bool, Driver]:
    there = processes(title, road.nodes.temporary)
    if there:
        os.kill(chance.choice(there), signal.SIGKILL)
    return bool(there), driver


def kill_node(driver: Driver, road: Road, output: Path, chance: random.Random) -> tuple[bool, Driver]:
    road.nodes.restart(chance.randrange(1, 3))
    return True, driver


def drain_node(driver: Driver, road: Road, output: Path, chance: random.Random) -> tuple[bool, Driver]:
    number = chance.randrange(1, 3)
    if not road.nodes.drain(number):
        return False, driver
    time.sleep(DRAIN_S)
    road.nodes.restart(number)
    return True, driver


def cut_checkpoint(driver: Driver, road: Road, output: Path, chance: random.Random) -> tuple[bool, Driver]:
    if not checkpoints(output):
        return False, driver
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    there = checkpoints(output)
    if there:
        newest = max(there, key=lambda path: path.stat().st_mtime)
        os.truncate(newest, newest.stat().st_size // 2)
    return bool(there), road.start(output)


def checkpoints(output: Path) -> list[Path]:
    """Files with tensors of stages that are not finished."""
    there = output.glob("cache/*.part/**/training/**/checkpoint*/*")
    return [path for path in there if path.suffix in (".safetensors", ".pt")]


def fill_disk(driver: Driver, road: Road, output: Path, chance: random.Random) -> tuple[bool, Driver]:
    filler, said = output.parent / "filler", road.log_of(output)
    before = said.stat().st_size if said.exists() else 0
    with suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(bytes(1 << 20))
    with suppress(subprocess.TimeoutExpired):  # where nothing was to be written
        driver.wait(FULL_S)
    filler.unlink()
    if driver.poll() in (None, 0):
        return False, driver
    told = said.read_bytes()[before:].decode(errors="replace")
    if "a disk is full" not in told:
        return True, driver  # its exit code counts as a loss
    return True, road.start(output)


KINDS: dict[str, Strike] = {
    "driver": kill_driver,
    "training worker": partial(kill_process, title="RayTrainWorker"),
    "data worker": partial(kill_process, title="MapWorker"),  # what Ray calls them, in their titles
    "node": kill_node,
    "drained node": drain_node,
    "truncated checkpoint": cut_checkpoint,
    "full disk": fill_disk,
}
