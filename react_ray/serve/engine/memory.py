"""Check that a machine has the memory for a service, before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from react_ray.config.service import ServeConfig
from react_ray.errors import ClusterError
from react_ray.inference.ctranslate2_record import weights_file
from react_ray.inference.onnx_record import FOLDER, onnx_file

__all__ = ["check_memory", "free_memory"]

BASE = 450 << 20
"""Memory of a replica without its model: Python, Ray, the HTTP application."""
RAY = 1 << 30
"""Memory of Ray's own processes on a machine, with the proxy."""
COPIES = 2.5
"""Copies of the model in memory: as read, as the engine arranges it, and the buffers of a call."""


def check_memory(folders: Sequence[Path], config: ServeConfig) -> None:
    """Raise ClusterError if the replicas of the models in ``folders`` need more than the free memory."""
    free = free_memory()
    needed = RAY + config.replicas * sum(_of_replica(folder, config.precision) for folder in folders)
    if free is not None and needed > free:
        names = ", ".join(map(str, folders))
        raise ClusterError(
            f"{config.replicas} replica(s) of {names} need about {needed / 1e9:.1f} GB of memory, and "
            f"{free / 1e9:.1f} GB are free: ask for fewer with --replicas, or serve precision=int8"
        )


def _of_replica(folder: Path, precision: str) -> float:
    exported = (onnx_file(folder / FOLDER, precision), weights_file(folder))
    weights = [path for path in exported if path.exists()] or folder.glob("*.safetensors")
    return BASE + COPIES * sum(path.stat().st_size for path in weights)


def free_memory() -> int | None:
    """Return the bytes free without swapping, within the limit of a container; None except on Linux."""
    try:
        lines = [line.split() for line in Path("/proc/meminfo").read_text().splitlines()]
        free = next(int(words[1]) << 10 for words in lines if words[0] == "MemAvailable:")
    except (OSError, StopIteration):
        return None
    group = Path("/sys/fs/cgroup")
    try:
        counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        cache = int(counts["active_file"]) + int(counts["inactive_file"])  # the kernel gives it up when asked
        used = int((group / "memory.current").read_text()) - cache
        remaining = int((group / "memory.max").read_text()) - used
    except (OSError, ValueError, KeyError):  # no container, or one without a limit
        return free
    return min(free, remaining)
