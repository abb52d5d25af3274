"""Listening sockets of the keeper, which HAProxy inherits."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping

__all__ = ["Listening", "addresses", "listen"]

BACKLOG = 1024
ANY = ("*", "0.0.0.0", "::", "")
NO_IPV6 = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    """Resolve a name to all its addresses; ``::`` is every address of this machine, IPv4 and IPv6.

    Raises OSError for an unknown name.
    """
    if host in ("*", "0.0.0.0"):
        return [(socket.AF_INET, ("0.0.0.0", port))]
    if host == "::":
        return [(socket.AF_INET, ("0.0.0.0", port)), (socket.AF_INET6, ("::", port))]
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in infos))  # type: ignore[misc]


def listen(host: str, port: int) -> list[socket.socket]:
    """Open sockets that listen on all addresses of ``host``; OSError if one cannot be opened.

    If a name has addresses of both kinds, those of a kind that this machine lacks are skipped. IPv6 sockets
    do not accept IPv4, because HAProxy would see all IPv4 callers in one network.
    """
    opened: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, address in addresses(host, port):
            try:
                opened.append(_listen(family, address))
            except OSError as error:
                if error.errno not in NO_IPV6:
                    raise
                missing = error
    except OSError:
        for listener in opened:
            listener.close()
        raise
    if missing and not opened:
        raise missing
    return opened


def _listen(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(address)
        opened.listen(BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


class Listening:
    """Open ports by name; they listen on ``host``, whatever address Ray configures."""

    def __init__(self, host: str | None = None):
        self._host = host
        self._open: dict[str, list[socket.socket]] = {}

    def open(self, ports: Mapping[str, tuple[str, int]]) -> None:
        """Open the missing ports; OSError if another program uses one."""
        for name, (host, port) in ports.items():
            if name not in self._open:
                try:
                    self._open[name] = listen(self._host or host, port)
                except OSError as error:
                    where = f"cannot listen on {self._host or host} port {port}"
                    raise OSError(error.errno, f"{where}: {error.strerror}") from None

    def numbers(self, name: str) -> list[int]:
        """Return the file descriptors of a port."""
        return [listener.fileno() for listener in self._open.get(name, ())]

    def close_others(self, ports: Mapping[str, tuple[str, int]]) -> None:
        """Close all but ``ports``."""
        for name in self._open.keys() - ports.keys():
            for listener in self._open.pop(name):
                listener.close()

    def close(self) -> None:
        """Close all ports."""
        self.close_others({})
