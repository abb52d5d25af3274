"""Ray's token, and the folder of a Ray that is started here, are for their owner alone."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from react_ray.cluster.token import check_token, ensure_token
from react_ray.errors import ClusterError

ROOT = Path(__file__).parents[2]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o022, 0o000], ids=["umask 022", "umask 000"])
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder for the test, in an environment without a token."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # so that what the code sets is taken back
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    before = os.umask(request.param)
    yield tmp_path
    os.umask(before)


def write(path: Path, content: str = "a-token", file_mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(file_mode)
    return path


def test_a_token_is_made_for_its_owner_alone(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    ensure_token()
    token = home / ".ray" / "auth_token"
    assert (mode(token), mode(token.parent)) == (0o600, 0o700)
    assert len(token.read_text()) == 64
    assert list(token.parent.iterdir()) == [token]
    before = token.read_text()
    ensure_token()
    assert token.read_text() == before
    assert not caplog.records


def test_ray_finds_that_token(home: Path) -> None:
    ensure_token()
    code = "from ray._raylet import AuthenticationTokenLoader as L; print(L.instance().get_raw_token(True))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (home / ".ray" / "auth_token").read_text() in found.stdout


def test_two_processes_at_once_make_one_token(home: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(ensure_token)
    assert [path.name for path in (home / ".ray").iterdir()] == ["auth_token"]
    assert "RAY_AUTH_TOKEN" not in os.environ


@pytest.mark.parametrize("content", ["", " \n"])
def test_an_empty_token_is_replaced(content: str, home: Path) -> None:
    token = write(home / ".ray" / "auth_token", content)
    ensure_token()
    assert len(token.read_text()) == 64
    assert mode(token) == 0o600


def test_none_is_made_where_ray_asks_for_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    ensure_token()
    monkeypatch.delenv("RAY_AUTH_MODE")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "known")
    ensure_token()
    assert not list(home.iterdir())


@pytest.mark.parametrize("file_mode", [0o644, 0o640, 0o604, 0o666, 0o660])
def test_a_token_that_others_can_read_is_closed_and_warned_of(
    file_mode: int, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = write(home / ".ray" / "auth_token", file_mode=file_mode)
    token.parent.chmod(0o700)
    assert check_token()
    assert mode(token) == 0o600
    assert token.read_text() == "a-token"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"could be read by other users (mode {file_mode:o}); only you can now" in record.getMessage()


def test_so_is_the_file_behind_a_link_and_the_one_of_the_variable(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    behind = write(home / "elsewhere" / "token")
    (home / ".ray").mkdir(mode=0o700)
    (home / ".ray" / "auth_token").symlink_to(behind)
    ensure_token()
    assert mode(behind) == 0o600
    named = write(home / "named")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(named))
    ensure_token()
    assert mode(named) == 0o600
    assert sum("only you can now" in record.getMessage() for record in caplog.records) == 2


def test_a_folder_that_others_can_write_to_is_closed_or_warned_of(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    token = write(home / ".ray" / "auth_token", file_mode=0o600)
    token.parent.chmod(0o777)
    assert check_token()
    assert mode(token.parent) == 0o700
    assert "was open to other users (mode 777)" in caplog.text
    caplog.clear()
    (home / "open").mkdir()
    (home / "open").chmod(0o777)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(write(home / "open" / "token", file_mode=0o600)))
    assert check_token()
    assert f"{home}/open, the folder of Ray's token, can be written to by other users" in caplog.text
    assert mode(home / "open") == 0o777, "it is not ours to close"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_token_of_another_user_is_warned_of(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    token = write(home / ".ray" / "auth_token", file_mode=0o644)
    token.parent.chmod(0o700)
    os.chown(token, 12345, -1)
    assert check_token()
    assert "belongs to another user (12345)" in caplog.text
    assert mode(token) == 0o644


@pytest.mark.parametrize("there", ["nothing", "an empty file", "a folder", "a pipe"])
def test_a_variable_that_names_no_token_is_one_clear_error(
    there: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home / "token"
    if there == "an empty file":
        path.touch()
    elif there == "a folder":
        path.mkdir()
    elif there == "a pipe":
        os.mkfifo(path)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    with pytest.raises(ClusterError, match=r"^RAY_AUTH_TOKEN_PATH=.*token") as caught:
        ensure_token()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "there", ["no home", "no folder", "a file", "a link to nothing", "a pipe", "a folder"]
)
def test_without_a_place_for_it_the_token_stays_in_memory(
    there: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = home / ".ray" / "auth_token"
    if there == "no home":
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    elif there == "no folder":
        monkeypatch.setenv("HOME", "/proc")  # nothing can be made there
    elif there == "a file":
        token.parent.touch()
    else:
        token.parent.mkdir()
        make = {"a link to nothing": lambda: token.symlink_to("gone"), "a pipe": lambda: os.mkfifo(token)}
        make.get(there, token.mkdir)()
    ensure_token()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    assert not token.is_file()


STARTS = """
import os, ray
from react_ray.cluster.session import Session
from react_ray.config.settings import ClusterConfig
os.umask(0)
with Session(ClusterConfig()) as session:
    session.start()
    mode = ray.get(ray.remote(lambda: os.environ["RAY_AUTH_MODE"]).remote())
    print(oct(os.stat(session.folder).st_mode), mode)
"""


@pytest.mark.ray
def test_a_ray_that_is_started_here_asks_for_the_token_and_keeps_its_folder_closed(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environ |= {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", STARTS], env=environ, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.split() == ["0o40700", "token"]
    assert mode(tmp_path / ".ray" / "auth_token") == 0o600
