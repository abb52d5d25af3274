"""Ports for the services that tests start."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a port that no program has on any address of this machine."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
