"""Standard output and error: text that every terminal can show, and pipes that close early."""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
from collections.abc import Callable

from react_ray.errors import ReactRayError
from react_ray.masking import mask

__all__ = ["command", "plain", "show", "with_exit_code"]

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What moves the cursor, recolours or reorders a terminal: a class name may hold it."""


def plain(text: str) -> str:
    """Return ``text`` without secrets of addresses, and with escapes for control characters."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), mask(text))


def show(text: str) -> None:
    """Print a result to standard output."""
    print(plain(text), flush=True)


def command(*words: object) -> str:
    """Return a ``react-ray`` command that can be copied into a shell, whatever its paths hold."""
    return plain(shlex.join(["react-ray", *map(str, words)]))


def with_exit_code(work: Callable[[], object]) -> int:
    """Call ``work``, print its errors, and return the exit code: 0, or that of the error (see ``errors``).

    What the terminal cannot show is escaped. A reader that closes the pipe (``| head -1``) ends the
    command without a traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _exit_code(work)
        _flush()
    except BrokenPipeError:
        code = 1
    except OSError as error:
        print(f"error: cannot write to standard output: {error.strerror}", file=sys.stderr)
        code = 1
    _discard_unwritten()
    return code


def _exit_code(work: Callable[[], object]) -> int:
    try:
        work()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except ReactRayError as error:
        print(f"error: {plain(str(error))}", file=sys.stderr)
        return error.exit_code
    except UnicodeEncodeError as error:
        if sys.getfilesystemencoding() == "utf-8":
            raise
        print(
            f"error: {error.object!r}: the locale of this shell ({sys.getfilesystemencoding()}) has no such "
            "characters for file names; set PYTHONUTF8=1",
            file=sys.stderr,
        )
        return 2
    return 0


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _discard_unwritten() -> None:
    """Keep the interpreter from complaining about what it cannot write at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
