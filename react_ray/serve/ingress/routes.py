"""Routes for HAProxy, parsed from the configuration that Ray Serve writes.

Ray determines the routes: replicas, health checks, and the path or application of each. These lines are
used unchanged. The rest of its file is replaced, see ``configuration``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Frontend", "Routes", "read_routes"]

HTTP, GRPC = "frontend http_frontend", "frontend grpc_frontend"
CHECKS = ("option httpchk", "http-check ", "option tcp-check", "tcp-check ", "default-server ", "server ")
"""Prefixes of the lines of a backend that define its servers and their health checks."""


@dataclass
class Frontend:
    """A port, with the rules that select the backend of a request."""

    host: str = ""
    port: int = 0
    rules: list[str] = field(default_factory=list)

    @property
    def serves(self) -> bool:
        """Whether it has an application."""
        return any(rule.startswith("use_backend ") for rule in self.rules)


@dataclass
class Routes:
    """Content of Ray's file; ``backends`` maps names to the lines of their servers."""

    admin: str
    http: Frontend
    grpc: Frontend | None
    healthy: bool
    backends: dict[str, list[str]]


def read_routes(text: str) -> Routes:
    """Parse Ray's file; ValueError if its format is not that of the supported Ray version."""
    try:
        return _routes(_sections(text))
    except (StopIteration, IndexError) as error:
        raise ValueError("Ray's configuration of HAProxy has a line of another form") from error


def _routes(sections: Mapping[str, list[str]]) -> Routes:
    if HTTP not in sections:
        raise ValueError("Ray's configuration of HAProxy has no http_frontend")
    admin = [line.split()[2] for line in sections.get("global", ()) if line.startswith("stats socket ")]
    if len(admin) != 1:
        raise ValueError("Ray's configuration of HAProxy names no admin socket")
    backends = {
        title.removeprefix("backend "): [line for line in lines if line.startswith(CHECKS)]
        for title, lines in sections.items()
        if title.startswith("backend ")
    }
    return Routes(
        admin=admin[0],
        http=_frontend(sections[HTTP]),
        grpc=_frontend(sections[GRPC]) if GRPC in sections else None,
        healthy=any("return status 200 " in line and " healthcheck" in line for line in sections[HTTP]),
        backends={name: lines for name, lines in backends.items() if any(map(_is_server, lines))},
    )


def _sections(text: str) -> dict[str, list[str]]:
    """Return the lines of each section, without indentation and comments."""
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        if line[0].isspace():
            lines.append(words)
        else:
            lines = sections.setdefault(words, [])
    return sections


def _is_server(line: str) -> bool:
    return line.startswith("server ")


def _frontend(lines: list[str]) -> Frontend:
    host, _, port = next(line for line in lines if line.startswith("bind ")).split()[1].rpartition(":")
    grpc_builtin = ("acl is_healthz ", "acl is_list_applications ", "use_backend grpc_fallback_backend ")
    rules = [
        line
        for line in lines
        if line.startswith(("acl is_", "use_backend ", "default_backend "))
        and not line.startswith(grpc_builtin)
    ]
    return Frontend(host, int(port), [rule for rule in rules if "default_" not in rule.split()[-1]])
