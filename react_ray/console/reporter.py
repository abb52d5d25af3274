"""Progress output and logs: steps, remaining time, warnings, log files."""

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
"""Callback with (done, total, note); the unit of ``done`` and ``total`` depends on the stage."""


class Reporter:
    """Prints steps and their progress to standard error; results go to standard output.

    A terminal gets a progress bar with the remaining time; elsewhere, a line is printed every
    LINE_EVERY_S seconds.
    """

    def __init__(self, quiet: bool = False):
        self.quiet = quiet
        self.console = Console(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        """Print a line unless quiet."""
        if not self.quiet:
            self.console.print(plain(text), markup=False, soft_wrap=True)

    @contextmanager
    def step(self, title: str) -> Iterator[Progress]:
        """Context manager: print a step with its progress and duration; yields the progress callback."""
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
                    bar.reset(task)  # each phase has an estimate of its own
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
                self.say(f"  {title}: {done}/{total} {f'{note} ' if note else ''}about {left:.0f} s left")
                last = now

        yield progress


class _Phase:
    """Detects phases of a step that count different things, such as first files and then rows."""

    def __init__(self) -> None:
        self.done, self.total = 0, 0

    def begins(self, done: int, total: int) -> bool:
        """Whether this progress belongs to a new phase."""
        begins = self.total > 0 and (total != self.total or done < self.done)
        self.done, self.total = done, total
        return begins


def _silent(done: int, total: int, note: str = "") -> None:
    """Progress callback of a quiet run."""


def quiet_libraries(verbose: bool = False) -> None:
    """Silence the logs of libraries unless ``verbose``.

    Their log records still reach the run's log file, see :func:`log_to`.
    """
    if verbose:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr)
        for handler in logging.getLogger().handlers:
            handler.setFormatter(_MaskingFormatter(logging.BASIC_FORMAT))
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
    """Context manager: append log records, and the traceback of an error, to ``path``.

    Ray's records go into another file in the same folder, whose name ends with ``-ray.log``. Warnings of
    this package are also printed by ``reporter``.
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
    """Context manager: print warnings of this package, unless the log is on the screen already."""
    package, handler = logging.getLogger("react_ray"), _WarningHandler(reporter)
    on_screen = any(type(handler) is logging.StreamHandler for handler in logging.getLogger().handlers)
    if not on_screen:
        package.addHandler(handler)
    try:
        yield
    finally:
        package.removeHandler(handler)


class _WarningHandler(logging.Handler):
    """Prints warnings by a reporter, between the lines of its steps."""

    def __init__(self, reporter: Reporter):
        super().__init__(logging.WARNING)
        self._reporter = reporter

    def emit(self, record: logging.LogRecord) -> None:
        self._reporter.say(f"  {record.getMessage()}")


class _PrivateFile(logging.FileHandler):
    """Log file with mode 600: tracebacks may contain texts."""

    def _open(self) -> TextIO:  # type: ignore[override]
        return open_private(Path(self.baseFilename), self.mode)


class _MaskingFormatter(logging.Formatter):
    """Formatter that masks the secrets of addresses in lines and tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


def _handler(path: Path, of_ray: bool) -> logging.Handler:
    handler = _PrivateFile(path, delay=True)
    handler.setFormatter(_MaskingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(lambda record: (record.name.partition(".")[0] == "ray") == of_ray)
    return handler
