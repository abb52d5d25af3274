"""Client address of a request: behind HAProxy every connection comes from a node of the cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address, ip_network

import ray

__all__ = ["FORWARDS", "Addresses", "source_of"]

FORWARDS = "REACT_RAY_FORWARDS"
"""Environment variable that is set where HAProxy writes the client address into ``x-forwarded-for``."""
ASK_EVERY_S = 10.0
"""Seconds between two looks at the nodes, however many strangers come."""

NETWORK = 64
"""Bits of an IPv6 address that tell callers apart."""
MOST_CHARS = 64
"""Maximum characters of a text that is no address."""


class Addresses:
    """Resolver of the client address of a request.

    HAProxy runs on every node and overwrites the header, so the header is trusted if the
    connection comes from a node. Any other peer of a replica's port may have forged it.
    """

    def __init__(
        self, nodes: Callable[[], set[str]] | None = None, clock: Callable[[], float] = time.monotonic
    ):
        self._behind_proxy = FORWARDS in os.environ
        self._query_nodes = nodes or _nodes
        self._nodes: set[str] = set()
        self._clock = clock
        self._next = -float("inf")

    def of(self, peer: str, forwarded: str) -> str:
        """Return the client address, given the ``peer`` of the connection and the header ``forwarded``."""
        last = forwarded.rpartition(",")[2].strip()  # a proxy adds what it saw at the end
        return last if last and self._behind_proxy and self._is_node(_plain(peer)) else peer

    def _is_node(self, peer: str) -> bool:
        if peer in ("127.0.0.1", "::1"):
            return True
        now = self._clock()
        if peer not in self._nodes and now >= self._next:
            self._next = now + ASK_EVERY_S
            with suppress(Exception):  # without a head the nodes are those that were there
                self._nodes = self._query_nodes()
        return peer in self._nodes


def source_of(address: str) -> str:
    """Return the address or network whose requests are counted together.

    For IPv6 this is the network of 64 bits, which is assigned to a single customer.
    """
    plain = _plain(address.partition("%")[0])  # without the name of an interface
    try:
        parsed = ip_address(plain)
    except ValueError:
        return plain[:MOST_CHARS]
    return plain if parsed.version == 4 else str(ip_network((parsed, NETWORK), strict=False))


def _nodes() -> set[str]:
    return {_plain(node["NodeManagerAddress"]) for node in ray.nodes() if node["Alive"]}


def _plain(address: str) -> str:
    """Normalize an address: dual-stack sockets report IPv4 as ``::ffff:10.0.0.7``."""
    try:
        parsed = ip_address(address)
    except ValueError:  # a name, or nothing
        return address
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
