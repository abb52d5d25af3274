from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from react_ray.errors import DiskFullError, InputError, ReactRayError, TrainingError
from react_ray.pipeline.store import Store, content_of, digest


def write(text: str):
    def work(folder: Path) -> None:
        (folder / "out.txt").write_text(text)

    return work


def never(folder: Path) -> None:
    raise AssertionError("a finished stage was done again")


def test_a_finished_stage_is_reused(tmp_path: Path) -> None:
    first = Store(tmp_path).stage("read", {"file": "a"}, write("one"))
    again = Store(tmp_path)
    assert again.stage("read", {"file": "a"}, never) == first
    assert again.reused == ["read"]
    assert (first / "out.txt").read_text() == "one"


def test_a_changed_setting_is_another_stage(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.stage("read", {"lr": 1}, write("one")) != store.stage("read", {"lr": 2}, write("two"))
    assert store.reused == []


def test_a_failed_stage_is_not_taken_for_done(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half.txt").write_text("half")
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError):
        Store(tmp_path).stage("read", {}, fail)
    store = Store(tmp_path)
    done = store.stage("read", {}, write("whole"))
    assert store.reused == []
    assert (done / "out.txt").read_text() == "whole"
    assert (done / "half.txt").exists(), "what was done before goes on being there"


def test_killed_while_at_work_is_not_done(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from react_ray.pipeline.store import Store\n"
        "Store(Path(sys.argv[1])).stage('read', {}, lambda f: os.kill(os.getpid(), signal.SIGKILL))"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    store = Store(tmp_path)
    store.stage("read", {}, write("whole"))
    assert store.reused == []


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    with (
        Store(tmp_path).locked(),
        pytest.raises(ReactRayError, match=str(os.getpid())),
        Store(tmp_path).locked(),
    ):
        pass
    with Store(tmp_path).locked():
        pass


def test_a_file_system_without_locks_is_named_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*ignored: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", without)
    with pytest.raises(InputError, match="cannot be locked"), Store(tmp_path).locked():
        pass


def test_clear_frees_what_the_stages_took(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    store.stage("read", {}, write("x" * 1000))
    assert store.clear() >= 1000
    assert not (tmp_path / "cache").exists()
    assert store.clear() == 0


def test_clear_leaves_what_is_not_ours_and_a_run_at_work(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.stage("read", {}, write("x"))
    (tmp_path / "pip-1").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    with store.locked(), pytest.raises(ReactRayError, match="another run"):
        Store(tmp_path).clear()
    store.clear()
    assert {path.name for path in tmp_path.iterdir()} == {"pip-1", "notes.txt"}


def test_content_is_that_of_the_files_and_not_how_they_came_to_be(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one, same = (store.stage("read", {"lr": lr}, write("one")) for lr in (1, 2))
    other = store.stage("read", {"lr": 3}, write("other"))
    assert content_of(one) == content_of(same) != content_of(other)


def test_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert json.dumps(digest({"标签": "值"}))


def test_what_was_made_alike_is_found_whole_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: Path) -> None:
        raise RuntimeError("boom")

    store = Store(tmp_path)
    first = store.stage("encode", {"texts": {"max_length": 8}, "inputs": "a"}, write("one"))
    store.stage("encode", {"texts": {"max_length": 9}, "inputs": "a"}, write("two"))
    store.stage("read", {"texts": {"max_length": 8}}, write("three"))
    with pytest.raises(RuntimeError):
        store.stage("encode", {"texts": {"max_length": 8}, "inputs": "b"}, fail)
    found = store.matching_stages("encode", {"texts": {"max_length": 8}})
    assert first in found
    assert len(found) == 2, "the one that failed may hold something too"
    assert store.matching_stages("encode", {"texts": {"max_length": 10}}) == []
    monkeypatch.setattr("react_ray.pipeline.store.__version__", "another")
    assert store.matching_stages("encode", {"texts": {"max_length": 8}}) == [], (
        "another version may encode otherwise"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_full_disk_is_named_with_what_to_do(tmp_path: Path, wrapped: bool) -> None:
    def work(folder: Path) -> None:
        (folder / "rows").symlink_to("/dev/full")
        try:
            (folder / "rows").write_text("x")
        except OSError as error:
            if wrapped:  # as Ray and Rust hand it on
                raise TrainingError(f"worker 0 failed:\nTraceback\nerror: {error} (os error 28)") from None
            raise

    store = Store(tmp_path / "out" / "cache")
    with (
        pytest.raises(DiskFullError, match=r"(?s)No space left.*same command again"),
        store.locked(),
    ):
        store.stage("encode", {}, work)
    with store.locked(), pytest.raises(OSError, match="other"):
        raise OSError("other")
