"""Host names that the service answers to: protection of a loopback service from other sites."""

from __future__ import annotations

from ipaddress import ip_address

from react_ray.config.service import ServeConfig
from react_ray.serve.limits.refusal import RefusalError, clipped

__all__ = ["Hosts"]

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Hosts:
    """Checks the header ``host`` of a service that listens on a loopback address.

    A page of another site can have its own name lead to 127.0.0.1 (DNS rebinding). The browser then lets
    it read what this service answers, but says by which name it asked. A service that listens elsewhere
    is called by addresses and names that it cannot know, so there any is good.
    """

    def __init__(self, config: ServeConfig):
        self._names = {*LOOPBACK, config.host.lower(), *map(str.lower, config.allowed_hosts)}
        self._checked = _is_loopback(config.host)

    def check(self, host: str | None) -> None:
        """RefusalError 421 where ``host`` (None: there is no such header) is another site's."""
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
    """The name in ``name:port`` or ``[address]:port``."""
    host = host.strip().lower()
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.removesuffix(".")
