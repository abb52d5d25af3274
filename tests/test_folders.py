"""Logs, records and intermediate results are for their owner alone, whatever the umask."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from react_ray.console.reporter import Reporter, log_to
from react_ray.folders import make_private_file, make_private_folder, open_private, replace_file
from react_ray.pipeline.store import Store
from react_ray.serve.limits.keys import add_key
from react_ray.serve.watch.record import Recorder
from react_ray.training.log import TrainingLog
from react_ray.tune.journal import Journal


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o022, 0o000], ids=["umask 022", "umask 000"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    before = os.umask(request.param)
    yield tmp_path
    os.umask(before)


def log(folder: Path) -> None:
    with log_to(folder / "run.log", Reporter(quiet=True)):
        logging.getLogger("react_ray").warning("a text")
        logging.getLogger("ray").warning("a text")
    with log_to(folder / "run.log", Reporter(quiet=True)):
        logging.getLogger("react_ray").warning("more")


def training(folder: Path) -> None:
    figures = TrainingLog(folder / "arm")
    figures.add(1, {"loss": 1.0})
    figures.add(2, {"loss": 0.5})
    TrainingLog(folder / "arm").add(2, {"loss": 0.5})


def journal(folder: Path) -> None:
    Journal(folder / "trials.jsonl").start({"lr": 0.1})
    Journal(folder / "trials.jsonl").start({"lr": 0.2})


def record(folder: Path) -> None:
    recorder = Recorder(folder / "seen", with_text=True)
    recorder.add("id", ["a text"], "label", 0.5, 3)
    recorder.close()


def keys(folder: Path) -> None:
    add_key("one", folder / "keys.txt")


@pytest.mark.parametrize("work", [log, training, journal, record, keys], ids=lambda work: work.__name__)
def test_only_the_owner_can_read_it(work: Callable[[Path], None], folder: Path) -> None:
    work(folder)
    made = list(folder.rglob("*"))
    assert any(path.is_file() for path in made)
    assert {path.name: oct(mode(path)) for path in made} == {
        path.name: "0o700" if path.is_dir() else "0o600" for path in made
    }


def test_the_folder_of_the_stages_is_closed(folder: Path) -> None:
    store = Store(folder / "run" / "cache")
    store.stage("one", {}, lambda part: (part / "rows").touch())
    with store.locked():
        pass
    assert mode(store.root) == 0o700
    assert mode(store.root.parent) != 0o700, "results are handed on as the user likes"


def test_a_file_that_is_there_gets_closed_and_keeps_its_place(folder: Path) -> None:
    path = folder / "log"
    path.write_text("before\n")
    path.chmod(0o666)
    with open_private(path, "a") as file:
        assert mode(path) == 0o600
        file.write("é\n")
    assert path.read_text(encoding="utf-8") == "before\né\n"
    make_private_file(path)
    assert path.read_bytes() == b""


def test_a_private_file_is_so_while_it_is_written(folder: Path) -> None:
    modes = []

    def write(half: Path) -> None:
        half.write_text("a text")
        modes.append(mode(half))

    replace_file(folder / "private", write, private=True)
    replace_file(folder / "result", write)
    assert modes[0] == mode(folder / "private") == 0o600
    assert modes[1] == mode(folder / "result") != 0o600


def test_a_folder_that_is_shared_stays_shared(folder: Path) -> None:
    shared = folder / "shared"
    shared.mkdir()
    shared.chmod(0o750)
    make_private_folder(shared)
    assert mode(shared) == 0o750


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_no_half(tmp_path: Path) -> None:
    path = tmp_path / "result.csv"
    path.write_text("before")

    def write(half: Path) -> None:
        half.write_text("hal")
        raise OSError("no space left")

    for private in (False, True):
        with pytest.raises(OSError, match="no space left"):
            replace_file(path, write, private=private)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
