"""Environment variables that configure HAProxy, and its files and ports on this machine."""

from __future__ import annotations

import secrets
import shutil
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

from react_ray.config.hosting import HostConfig
from react_ray.errors import InputError
from react_ray.serve.ingress.configuration import ProxyLimits
from react_ray.serve.ingress.haproxy import binary
from react_ray.serve.ingress.keeper import HOST, LIMITS
from react_ray.serve.limits.edge import VARIABLES as EDGE

__all__ = ["available", "check_shared_memory", "limits", "private", "variables"]

SCRIPT = Path(__file__).parent / "haproxy.sh"
HEADERS = 1 << 15
"""Bytes of a request beside its body."""
BUFFERS = 2
"""Buffers of a connection: one while its body arrives, two while a replica is slow to read it."""
CONNECTIONS = (64, 4096)
"""The fewest and the most."""
SHARED = 1 << 18
"""Bytes of shared memory."""
BLOCKS = range(10_000, 30_000, 400)
"""Ports for the replicas of one service on this machine, half of them for gRPC."""


def available() -> bool:
    """Return whether HAProxy is installed (Linux only); otherwise Ray's slower proxy is used."""
    return binary() is not None


def check_shared_memory(folder: Path = Path("/dev/shm")) -> None:
    """Raise InputError if shared memory is too small for HAProxy's start, which would kill it."""
    if available() and folder.is_dir() and shutil.disk_usage(folder).free < SHARED:
        raise InputError(
            f"{folder} is full, and HAProxy needs {SHARED >> 10} KB there to start: make room, or give a "
            "container more of it (--shm-size=64m)"
        )


def limits(config: HostConfig) -> ProxyLimits:
    """Compute the limits of HAProxy.

    A request is sent to another replica if its own refuses the connection or dies before
    the first byte of the answer. This needs a buffer for the whole request, which is filled
    before the key is checked. So the memory limits the number of connections, and one
    address may have at most half of them.
    """
    buffer = config.max_body_bytes + HEADERS
    memory = (config.max_replicas or config.replicas) * config.proxy_memory_bytes
    fewest, most = CONNECTIONS
    connections = min(most, max(fewest, memory // (BUFFERS * buffer)))
    per_address = config.connections_per_address
    return ProxyLimits(
        connections=connections,
        per_address=connections // 2 if per_address is None else per_address,
        buffer=buffer,
        body_s=config.body_timeout_s,
        request_s=config.request_timeout_s,
    )


def variables(config: HostConfig) -> dict[str, str]:
    """Return the environment variables for Ray's processes; none if HAProxy is not available."""
    if not available():
        return {}
    limits_of_proxy = limits(config)
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(SCRIPT),
        "REACT_RAY_PYTHON": sys.executable,
        "REACT_RAY_FORWARDS": "1",  # replicas may believe its x-forwarded-for: see limits/address.py
        **EDGE,
        LIMITS: limits_of_proxy.dump(),
        "RAY_SERVE_ENABLE_HAPROXY_OPTIMIZED_CONFIG": "0",  # files about servers that only Ray's would read
        "RAY_SERVE_GRPC_MAX_MESSAGE_SIZE": str(limits_of_proxy.buffer),
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",  # a message a request to a process of Ray's
        # Replicas that leave are out of HAProxy's list within a second; a refused connection is retried.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        # Ray takes three failed checks in a row for the end of HAProxy, and makes one every 10 s.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        # One that starts slowly, on a loaded machine, is killed after 5 s and the command fails.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
        # For as long a port that a replica leaves is given to no other one (and 30 s longer).
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": str(round(config.request_timeout_s + 5)),
    }


def private(folder: Path, host: str | None = None) -> dict[str, str]:
    """Return variables for files in ``folder`` and separate ports, for several HAProxys on a machine.

    ``host`` is where it listens, whatever is configured in Ray.
    """
    files = {
        "CONFIG_FILE_LOC": "haproxy.cfg",
        "SOCKET_PATH": "admin.sock",
        "METRICS_SOCKET_PATH": "metrics.sock",
    }
    ports = ("FALLBACK_PROXY_HTTP_PORT", "FALLBACK_PROXY_GRPC_PORT")
    first = secrets.choice(BLOCKS)
    return {
        **{f"RAY_SERVE_HAPROXY_{name}": str(folder / file) for name, file in files.items()},
        **{f"RAY_SERVE_{name}": str(port) for name, port in zip(ports, _free_ports(len(ports)), strict=True)},
        # Replicas of two services take no port of each other's: a HAProxy may know one that has died.
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(first + BLOCKS.step // 2 - 1),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(first + BLOCKS.step // 2),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(first + BLOCKS.step - 1),
        **({HOST: host} if host else {}),
    }


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:  # all at once: one alone would be given again
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
