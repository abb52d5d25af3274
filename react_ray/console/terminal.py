"""Safe output to any terminal, and exit codes of commands."""

from __future__ import annotations

import errno
import io
import os
import re
import shlex
import sys
from collections.abc import Callable

from react_ray.config.masking import mask
from react_ray.errors import InputError, ReactRayError

__all__ = ["command", "not_utf8", "plain", "show", "with_exit_code"]

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Characters that move the cursor, or recolour or reorder text: class names may contain them."""


def plain(text: str) -> str:
    """Mask secrets of addresses in ``text`` and escape control characters."""
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), mask(text))


def show(text: str) -> None:
    """Print a result to standard output."""
    print(plain(text), flush=True)


def command(*words: object) -> str:
    """Return a ``react-ray`` command, quoted so that it can be copied into a shell."""
    return plain(shlex.join(["react-ray", *map(str, words)]))


def with_exit_code(work: Callable[[], object]) -> int:
    """Call ``work``, print its error, and return the exit code: 0, or that of the error (see ``errors``).

    Characters that the terminal cannot show are escaped. If the reader of a pipe stops early
    (``| head -1``), there is no traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    code = _exit_code(work)
    return _flush() or code


def _exit_code(work: Callable[[], object]) -> int:
    try:
        work()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except ReactRayError as error:
        print(f"error: {plain(str(error))}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        return 1
    except OSError as error:
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        place = "cannot write the output" if error.filename is None else plain(str(error.filename))
        print(f"error: {place}: {error.strerror}", file=sys.stderr)
        return ReactRayError.exit_code
    except UnicodeEncodeError as error:
        reason = not_utf8(error.object)
        if reason is None:
            raise
        print(f"error: {reason}", file=sys.stderr)
        return InputError.exit_code
    return 0


def not_utf8(path: str) -> str | None:
    """Return why a path cannot be encoded on this system; None if it can."""
    encoding = sys.getfilesystemencoding()
    if encoding != "utf-8" and not path.isascii():
        return f"{path!r}: the locale of this shell ({encoding}) lacks these characters; set PYTHONUTF8=1"
    if re.search("[\ud800-\udfff]", path):
        return f"{path!r}: this name is not UTF-8; rename the file or folder"
    return None


def _flush() -> int:
    """Flush standard output and error; return 1 if that fails.

    The broken stream is redirected to the null device, because the interpreter flushes again when it exits.
    """
    failed = 0
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError as error:
            failed = 1
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if stream is sys.stdout and not isinstance(error, BrokenPipeError):
                print(f"error: cannot write the output: {error.strerror}", file=sys.stderr)
    return failed
