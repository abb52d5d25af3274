"""Configuration of HAProxy, generated from the routes of Ray Serve.

- It listens on the ports of the service only; the admin socket belongs to one user.
- A request must be complete, or fill the buffer, within a time limit before it is sent to a replica;
  a complete one can be sent again if its replica dies.
- Only HAProxy sets the address of the caller, also over gRPC. Headers with which a caller could lift the
  time limit of its request in Ray are removed.
- One address (an IPv6 network of 64 bits) may have a limited share of the connections.
- Without a replica the answer is 503 with Retry-After, not 404 or 500 as from Ray's own proxy.
- Paths below ``/-/`` are Ray's: all but its health check are hidden, because they reveal internals.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from react_ray.serve.ingress.routes import Frontend, Routes

__all__ = ["ProxyLimits", "configuration"]

UNAVAILABLE = Path(__file__).parent / "unavailable.http"
RAY_GRPC = "/ray.serve.RayServeAPIService/"
KEEP_ALIVE_S = 10
KEEP_ALIVE_FOR_PROXY_S = 75
"""Longer than the 60 s after which common proxies drop an idle connection themselves."""

TEXT = """\
global
    maxconn {connections}
    nbthread 2
    tune.bufsize {limits.buffer}
    hard-stop-after {hard_stop}s
    stats socket {socket} mode 600 level operator

defaults
    mode http
    balance leastconn
    timeout connect 5s
    timeout client 60s
    timeout server {server_s:g}s
    timeout http-request {limits.body_s:g}s
    timeout http-keep-alive {keep_alive}s
    option http-no-delay
    option abortonclose
    option idle-close-on-response
    option redispatch 1
    retries 5
    retry-on conn-failure empty-response
    errorfile 502 {unavailable}
    errorfile 503 {unavailable}
    errorfile 504 {unavailable}

backend addresses
    stick-table type ipv6 size 100k expire 60s store conn_cur
"""

FRONTEND = """
frontend {name}
{binds}{limit}    http-request set-header x-forwarded-for %[src]
    http-request del-header x-forwarded-proto
    http-request del-header x-request-timeout-seconds
    http-request del-header x-request-disconnect-disabled
"""

LIMIT = """\
    tcp-request connection track-sc0 src,ipmask(32,64) table addresses
    tcp-request connection reject if {{ sc0_conn_cur(addresses) gt {} }}
"""

HEALTH = """\
{up}    http-request return status 200 content-type text/plain string success if {{ path /-/healthz }} up
    http-request return status 503 default-errorfiles if {{ path /-/healthz }}
    http-request return status 404 content-type application/json string '{{"error": "no such route"}}' \
if {{ path,url_dec -i -m beg /-/ }}
    http-request wait-for-body time {limits.body_s:g}s
"""

GRPC_HEALTH = """\
    http-after-response set-header content-type application/grpc if {{ res.hdr(grpc-status) -m found }}
{up}    acl health path {service}Healthz
    http-request return status 200 hdr grpc-status 0 if health up
    http-request return status 200 hdr grpc-status 14 if health
    http-request return status 200 hdr grpc-status 12 \
if {{ path_beg {service} }}
"""

NO_APPLICATION = """
backend {name}
    http-request return {answer}
"""
NOT_FOUND = """status 404 content-type application/json string '{"error": "no such route"}'"""
GRPC_NOT_FOUND = "status 200 hdr grpc-status 5"

BACKEND = """
backend {name}
    http-reuse always
    http-response return status 503 default-errorfiles if {{ status 404 500 }} \
{{ srv_name -m sub PROXY_ACTOR }} !{{ res.hdr(x-model-version) -m found }}
"""


@dataclass(frozen=True)
class ProxyLimits:
    """Limits of HAProxy, in total and per address; 0 connections per address: no limit."""

    connections: int
    per_address: int
    buffer: int
    body_s: float
    request_s: float

    @classmethod
    def load(cls, text: str) -> ProxyLimits:
        """Parse the output of ``dump``."""
        return cls(**json.loads(text))

    def dump(self) -> str:
        """Serialize the limits for an environment variable."""
        return json.dumps(asdict(self))


def configuration(
    routes: Routes,
    limits: ProxyLimits,
    socket: Path,
    http: Sequence[int],
    grpc: Sequence[int],
    open_files: int,
) -> str:
    """Generate the file for a HAProxy that listens on the inherited sockets ``http`` and ``grpc``."""
    connections = max(1, min(limits.connections, (open_files - 100) // 2))  # each takes two open files
    text = TEXT.format(
        connections=connections,
        limits=limits,
        socket=socket,
        hard_stop=round(limits.request_s + 5),
        server_s=limits.request_s + 15,  # the replica answers for itself when its time is over
        keep_alive=KEEP_ALIVE_S if limits.per_address else KEEP_ALIVE_FOR_PROXY_S,
        unavailable=UNAVAILABLE,
    )
    limit = LIMIT.format(min(limits.per_address, connections)) if limits.per_address else ""
    if http:
        health = HEALTH.format(up=_up(routes, routes.http), limits=limits)
        text += _frontend("http_frontend", routes.http, http, "", limit) + health
        text += _rules(routes.http, "no_route") + NO_APPLICATION.format(name="no_route", answer=NOT_FOUND)
    if grpc and routes.grpc:
        health = GRPC_HEALTH.format(up=_up(routes, routes.grpc), service=RAY_GRPC)
        text += _frontend("grpc_frontend", routes.grpc, grpc, " proto h2", limit) + health
        text += _rules(routes.grpc, "no_service")
        text += NO_APPLICATION.format(name="no_service", answer=GRPC_NOT_FOUND)
    for name, lines in routes.backends.items():
        text += BACKEND.format(name=name) + "".join(f"    {line}\n" for line in lines)
    return text


def _frontend(name: str, frontend: Frontend, sockets: Sequence[int], protocol: str, limit: str) -> str:
    binds = "".join(f"    bind fd@{number}{protocol}\n" for number in sockets)
    return FRONTEND.format(name=name, binds=binds, limit=limit)


def _rules(frontend: Frontend, otherwise: str) -> str:
    rules = list(frontend.rules)
    if not any(rule.startswith("default_backend ") for rule in rules):
        rules.append(f"default_backend {otherwise}")
    return "".join(f"    {rule}\n" for rule in rules)


def _up(routes: Routes, frontend: Frontend) -> str:
    """Return the condition that a backend has a server that answers."""
    named = (rule.split()[1] for rule in frontend.rules if rule.startswith("use_backend "))
    available = [name for name in dict.fromkeys(named) if name in routes.backends and routes.healthy]
    return "".join(f"    acl up nbsrv({name}) ge 1\n" for name in available) or "    acl up always_false\n"
