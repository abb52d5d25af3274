"""Where Ray has its files on this machine, and that nothing is left of it."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from react_ray.cluster.guard import Guard, marked
from react_ray.cluster.local import LocalRay, private_folder
from react_ray.errors import InputError
from react_ray.serve.ingress.processes import is_alive


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_TMPDIR", "TMPDIR", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("place", ["/nowhere", "/proc", "/tmp/" + 70 * "x", "", "/etc/passwd"])
def test_a_tmpdir_that_will_not_do_is_passed_over(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", place)
    folder = private_folder()
    assert folder.parent == Path("/tmp")
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.rmdir()


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("/nowhere", "No such file or directory"),
        ("/proc", "No such file or directory"),
        ("/etc/passwd", "Not a directory"),
        ("/tmp/" + 70 * "x", "too long, 75 bytes"),
        ("/tmp/" + 10 * "长", "too long, 35 bytes"),
    ],
)
def test_one_that_is_asked_for_by_name_must_do(place: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", place)
    with pytest.raises(InputError, match=rf"RAY_TMPDIR={place}: {why}.*set RAY_TMPDIR to one"):
        private_folder()


def test_few_open_files_are_said_before_ray_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 512))
    with pytest.raises(InputError, match=r"may have 512 files open, and Ray needs 1024.*ulimit -n 1024"):
        LocalRay()


def test_a_system_that_does_not_raise_the_limit_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    LocalRay().end()


COMMAND = """
import os, subprocess, sys, tempfile, time
from pathlib import Path
from react_ray.cluster.guard import Guard
folder = Path(tempfile.mkdtemp(prefix="react-ray-"))
guard = Guard(folder)
sleep = "import time; time.sleep(60)"
child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', %r], env={}); " % sleep + sleep
subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
subprocess.Popen([sys.executable, "-c", sleep])
print(folder, flush=True)
sys.stdin.readline()
guard.end()
print("ended", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def command() -> subprocess.Popen[str]:
    words = [sys.executable, "-c", COMMAND]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def until(true: Callable[[], object], within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="there is no guard elsewhere")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, None])
def test_nothing_is_left_whatever_the_end(command: subprocess.Popen[str], how: int | None) -> None:
    assert command.stdout is not None
    folder = command.stdout.readline().strip()
    until(lambda: len(marked(folder)) == 3)
    started = marked(folder)
    if how is None:
        command.communicate("\n\n", timeout=30)
    else:
        os.kill(command.pid, how)
        command.communicate(timeout=30)
    until(lambda: not marked(folder) and not Path(folder).exists())
    assert not [process for process in started if is_alive(process)]
    until(lambda: not guards(folder))


def guards(folder: str) -> list[str]:
    found = []
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"guard.py\0{os.getpid()}" in words.read_text() or folder in words.read_text():
                found.append(words.parent.name)
        except OSError:
            continue
    return found


def test_a_guard_leaves_others_alone(tmp_path: Path) -> None:
    other = subprocess.Popen(["sleep", "20"], env={**os.environ, "REACT_RAY_FOLDER": str(tmp_path / "other")})
    (tmp_path / "own").mkdir()
    Guard(tmp_path / "own").end()
    assert other.poll() is None
    assert not (tmp_path / "own").exists()
    other.kill()
    other.wait()
    shutil.rmtree(tmp_path, ignore_errors=True)
