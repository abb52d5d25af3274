"""Detect command line mistakes that the argument parser would misinterpret."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from typer.core import TyperCommand

from react_ray.config.masking import mask
from react_ray.console.terminal import not_utf8
from react_ray.errors import InputError

__all__ = ["Command", "is_data_name"]

DATA = ("--labeled", "--unlabeled", "--validation", "--test", "--input")
"""Options that take data: one file, folder or glob each."""
DATA_FILE = re.compile(
    r"(?i).*\.(csv|tsv|jsonl|ndjson|parquet|json|txt|conll|bio|iob2?|bioes|bmes)(\.(gz|bz2|xz|zst|zip))?"
)
"""Matches names of data files, without their folder."""


class Command(TyperCommand):
    """A command that detects missing values and globs that the shell has expanded."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse ``args``, with secrets masked in errors of the parser. Raises InputError."""
        named = [(name, p) for p in self.params for name in p.opts if name.startswith("-")]
        valued = {name for name, p in named if not getattr(p, "is_flag", True)}
        options = {name for name, _ in named}
        for number, word in enumerate(args):
            if reason := not_utf8(word):
                raise InputError(reason)
            if word == "--":
                break
            if word in valued:
                _check_value(word, args[number + 1 :], options)
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if hasattr(error, "message"):  # an error of the parser, which quotes the arguments
                error.message = mask(str(error.message))
            raise


def _check_value(option: str, following: Sequence[str], options: set[str]) -> None:
    if following and following[0].partition("=")[0] in options:
        raise InputError(f"{option} needs a value, but the option {following[0]} follows it")
    extra = [*takewhile(_is_data, following[1:])] if option in DATA else []
    if extra:
        folder = Path(following[0]).parent
        example = f"{option} '{folder / '*'}{Path(following[0]).suffix}'"
        shown = extra[0] + (", ..." if len(extra) > 1 else "")
        raise InputError(
            f"{option} takes one file, folder or glob, and {len(extra)} more follow {following[0]}: {shown}"
            f". Put a glob in quotes, so that the shell does not expand it ({example}), or give a folder"
        )


def _is_data(word: str) -> bool:
    if word.startswith("-"):
        return False
    looks_like_data = is_data_name(word) or Path(word).is_dir()
    return looks_like_data and ("=" not in word or Path(word).exists())


def is_data_name(word: str) -> bool:
    """Whether a file of this name contains data, judging by its extension."""
    return DATA_FILE.fullmatch(Path(word).name) is not None
