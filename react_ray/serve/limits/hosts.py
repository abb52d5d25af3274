"""Host names that the service answers to: protection of a loopback service from other sites."""

from __future__ import annotations

from ipaddress import ip_address

from react_ray.config.hosting import HostConfig
from react_ray.serve.limits.refusal import RefusalError, clipped

__all__ = ["Hosts"]

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Hosts:
    """Check of the header ``host`` for a service that listens on a loopback address.

    A page of another site can let its own name resolve to 127.0.0.1 (DNS rebinding). The browser then lets
    the page read the answers of this service, but sends the page's name as the host. A service on other
    addresses cannot know all of its names, so any host is accepted.
    """

    def __init__(self, config: HostConfig):
        self._names = {*LOOPBACK, config.host.lower(), *map(str.lower, config.allowed_hosts)}
        self._checked = _is_loopback(config.host)

    def check(self, host: str | None) -> None:
        """Raise RefusalError 421 if ``host`` (None: no such header) is that of another site."""
        if not self._checked or host is None:
            return
        name = _name(host)
        if name not in self._names and not name.endswith(".localhost"):
            raise RefusalError(
                421,
                f"the host {clipped(name)!r} is not served here: this service is for this machine; "
                "the setting allowed_hosts adds a name",
            )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _name(host: str) -> str:
    """Return the name in ``name:port`` or ``[address]:port``."""
    host = host.strip().lower()
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.removesuffix(".")
