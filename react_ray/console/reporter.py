"""Progress output: steps, time left, quiet logs."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from react_ray.config.masking import mask
from react_ray.console.terminal import plain
from react_ray.folders import open_private

__all__ = ["Progress", "Reporter", "log_to", "quiet_libraries", "warnings_to"]

LINE_EVERY_S = 10.0
"""Seconds between two progress lines where there is no terminal."""

Progress = Callable[[int, int, str], None]
"""Called with (done, total, note); ``done`` and ``total`` in the stage's own unit."""


class Reporter:
    """Prints steps and their progress to standard error; results go to standard output.

    On a terminal a bar shows the time left; elsewhere a line is written now and then.
    """

    def __init__(self, quiet: bool = False):
        self.quiet = quiet
        self.console = Console(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        """Print one line unless quiet."""
        if not self.quiet:
            self.console.print(plain(text), markup=False, soft_wrap=True)

    @contextmanager
    def step(self, title: str) -> Iterator[Progress]:
        """Announce a step, give its progress callback, and say how long it took."""
        started = time.monotonic()
        if self.quiet:
            yield _silent
            return
        with self._bar(title) if self.console.is_terminal else self._lines(title) as progress:
            yield progress
        self.say(f"  {title}: done in {time.monotonic() - started:.1f} s")

    @contextmanager
    def _bar(self, title: str) -> Iterator[Progress]:
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Bar(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task(title, total=None, note="", visible=False)
            phase = _Phase()

            def progress(done: int, total: int, note: str = "") -> None:
                if phase.begins(done, total):
                    bar.reset(task)  # the estimate of the time left starts again with each phase
                bar.update(task, completed=done, total=total, note=note, visible=True)

            yield progress

    @contextmanager
    def _lines(self, title: str) -> Iterator[Progress]:
        self.say(f"  {title} ...")
        started = last = time.monotonic()
        phase = _Phase()

        def progress(done: int, total: int, note: str = "") -> None:
            nonlocal last, started
            now = time.monotonic()
            if phase.begins(done, total):
                started = now
            if now - last >= LINE_EVERY_S and done:
                left = (now - started) / done * (total - done)
                self.say(
                    f"  {title}: {done}/{total} {note} about {left:.0f} s left".replace("  about", " about")
                )
                last = now

        yield progress


class _Phase:
    """Part of a step that counts something of its own, such as files first and then rows."""

    def __init__(self) -> None:
        self.done, self.total = 0, 0

    def begins(self, done: int, total: int) -> bool:
        """Whether another phase begins with this."""
        begins = self.total > 0 and (total != self.total or done < self.done)
        self.done, self.total = done, total
        return begins


def _silent(done: int, total: int, note: str = "") -> None:
    """The progress of a quiet run."""


def quiet_libraries(verbose: bool = False) -> None:
    """Silence the logs of libraries unless ``verbose``.

    Their log records still reach the run's log file, see :func:`log_to`.
    """
    if verbose:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr)
        for handler in logging.getLogger().handlers:
            handler.setFormatter(_Masking(logging.BASIC_FORMAT))
        return
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    warnings.filterwarnings("ignore")
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    for name in ("ray", "ray.data", "ray.train", "ray.serve", "httpx", "filelock"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextmanager
def log_to(path: Path, reporter: Reporter) -> Iterator[None]:
    """Append log records to ``path`` while the block runs, and the traceback it ends with.

    Ray's go into a file of their own beside it, whose name ends with ``-ray.log``. Warnings of
    this package are said by ``reporter`` as well.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    files = {False: path, True: path.with_name(f"{path.stem}-ray.log")}
    handlers = [_handler(file, of_ray) for of_ray, file in files.items()]
    package = logging.getLogger("react_ray")
    package.setLevel(logging.INFO)
    for handler in handlers:
        logging.getLogger().addHandler(handler)
    try:
        with warnings_to(reporter):
            yield
    except Exception:
        package.exception("the run failed")
        raise
    finally:
        for handler in handlers:
            logging.getLogger().removeHandler(handler)
            handler.close()


@contextmanager
def warnings_to(reporter: Reporter) -> Iterator[None]:
    """Print warnings of this package by ``reporter``, unless the log is on the screen anyway."""
    package, said = logging.getLogger("react_ray"), _Said(reporter)
    on_screen = any(type(handler) is logging.StreamHandler for handler in logging.getLogger().handlers)
    if not on_screen:
        package.addHandler(said)
    try:
        yield
    finally:
        package.removeHandler(said)


class _Said(logging.Handler):
    """Warnings, as lines between those of the steps."""

    def __init__(self, reporter: Reporter):
        super().__init__(logging.WARNING)
        self._reporter = reporter

    def emit(self, record: logging.LogRecord) -> None:
        self._reporter.say(f"  {record.getMessage()}")


class _PrivateFile(logging.FileHandler):
    """A log that only its owner can read: tracebacks may hold texts."""

    def _open(self) -> TextIO:  # type: ignore[override]
        return open_private(Path(self.baseFilename), self.mode)


class _Masking(logging.Formatter):
    """Formatter that masks the secrets of addresses in lines and tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


def _handler(path: Path, of_ray: bool) -> logging.Handler:
    handler = _PrivateFile(path, delay=True)
    handler.setFormatter(_Masking("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(lambda record: (record.name.partition(".")[0] == "ray") == of_ray)
    return handler
