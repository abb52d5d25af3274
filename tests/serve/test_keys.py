"""Keys and rates, without a service."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from react_ray.cli import main
from react_ray.config.service import ServeConfig
from react_ray.errors import InputError
from react_ray.serve.limits import keys as keys_module
from react_ray.serve.limits import rate
from react_ray.serve.limits.keys import ApiKeys, add_key
from react_ray.serve.limits.rate import RateLimit
from react_ray.serve.run import serve


@pytest.fixture
def pass_a_second(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    now = [100.0]
    monkeypatch.setattr(keys_module.time, "monotonic", lambda: now[0])
    return lambda: now.__setitem__(0, now[0] + 1.1)


def test_a_key_is_printed_once_and_only_its_hash_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys.txt"
    assert main(["key", "search-team", "--file", str(path)]) == 0
    key = capsys.readouterr().out.strip()
    assert len(key) >= 43
    assert path.read_text() == f"search-team:{hashlib.sha256(key.encode()).hexdigest()}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ApiKeys(path).name_of(key) == "search-team"
    assert ApiKeys(path).name_of(key[:-1]) is None
    assert ApiKeys(path).name_of("") is None


def test_keys_are_replaced_without_a_gap(tmp_path: Path, pass_a_second: Callable[[], None]) -> None:
    path = tmp_path / "keys.txt"
    old = add_key("team", path)
    keys = ApiKeys(path)
    path.write_text(f"# rotated in May\n\n{path.read_text().strip()}  # the old one")  # no newline at the end
    new = add_key("team", path)
    pass_a_second()
    assert [keys.name_of(key) for key in (old, new)] == ["team", "team"]
    path.write_text(path.read_text().splitlines()[-1])
    pass_a_second()
    assert [keys.name_of(key) for key in (old, new)] == [None, "team"]


def test_a_file_that_breaks_while_serving_changes_nothing(
    tmp_path: Path, pass_a_second: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys.txt"
    key = add_key("team", path)
    keys = ApiKeys(path)
    path.write_text("half a li")
    pass_a_second()
    assert keys.name_of(key) == "team"
    assert "line 1: expected name:hash" in caplog.text
    path.unlink()
    pass_a_second()
    assert keys.name_of(key) == "team"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f"a:{'0' * 64}\n# fine\nb={'0' * 64}\n", "line 3: expected name:hash"),
        ("a:secret\n", "line 1: expected name:hash"),
        (f"two words:{'0' * 64}\n", "line 1"),
        ("# none yet\n", "no API key in it"),
        (b"\xff\xfe", "cannot be read"),
        (None, "cannot be read.*No such file"),
    ],
)
def test_a_wrong_file_is_told_before_anything_starts(
    tmp_path: Path, classifier_folder: Path, content: str | bytes | None, says: str
) -> None:
    path = tmp_path / "keys.txt"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=rf"keys\.txt.*{says}"):
        serve(classifier_folder, ServeConfig(api_keys=str(path)))


def test_a_key_is_not_added_to_a_file_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("buy milk\n")
    with pytest.raises(InputError, match="line 1"):
        add_key("team", path)
    assert path.read_text() == "buy milk\n"
    with pytest.raises(InputError, match="no name of a key"):
        add_key("a:b", tmp_path / "keys.txt")
    with pytest.raises(InputError, match="cannot add a key there"):
        add_key("team", tmp_path / "missing" / "keys.txt")


def test_keys_are_found_from_any_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ServeConfig(api_keys="keys.txt").api_keys == os.fspath(tmp_path / "keys.txt")


def test_two_seconds_worth_may_come_at_once_and_no_more() -> None:
    now = [0.0]
    limit = RateLimit(5, clock=lambda: now[0])
    assert [limit.wait("a") for _ in range(10)] == [0.0] * 10
    assert limit.wait("a") == pytest.approx(0.2)
    assert limit.wait("b") == 0.0
    now[0] += 0.2
    assert limit.wait("a") == 0.0
    assert limit.wait("a") > 0
    now[0] += 1000
    assert [limit.wait("a") > 0 for _ in range(11)] == [False] * 10 + [True]


def test_slow_rates_let_one_request_through() -> None:
    now = [0.0]
    limit = RateLimit(0.1, clock=lambda: now[0])
    assert limit.wait("a") == 0.0
    assert limit.wait("a") == pytest.approx(10)


def test_a_flood_of_addresses_does_not_fill_the_memory() -> None:
    limit = RateLimit(1)
    for number in range(rate.MOST_CALLERS + 500):
        limit.wait(str(number))
    assert len(limit._buckets) == rate.MOST_CALLERS


def test_making_a_key_waits_for_neither_ray_nor_torch(tmp_path: Path) -> None:
    code = "import sys; from react_ray.cli import main; main(['key', 'a', '--file', sys.argv[1]]); "
    code += "print({'ray', 'torch', 'starlette'} & sys.modules.keys())"
    command = [sys.executable, "-c", code, str(tmp_path / "keys.txt")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.endswith("set()\n")
