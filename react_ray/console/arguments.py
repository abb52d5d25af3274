"""Checks of command line arguments for mistakes that the parser would misread."""

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
"""Options that name data: one file, folder or glob each."""
DATA_FILE = re.compile(
    r"(?i).*\.(csv|tsv|jsonl|ndjson|parquet|json|txt|conll|bio|iob2?|bioes|bmes)(\.(gz|bz2|xz|zst|zip))?"
)
"""The whole name of a file, without the folders it is in."""


class Command(TyperCommand):
    """A command that detects a missing value, and a glob expanded by the shell."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse ``args``; InputError for the mistakes above, errors of the parser without secrets."""
        named = [(name, p) for p in self.params for name in p.opts if name.startswith("-")]  # no arguments
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
            if hasattr(error, "message"):  # the parser's own: it repeats what it was given
                error.message = mask(str(error.message))
            raise


def _check_value(option: str, following: Sequence[str], options: set[str]) -> None:
    if following and following[0].partition("=")[0] in options:
        raise InputError(f"{option} needs a value, and the option {following[0]} follows it")
    more = [*takewhile(_is_data, following[1:])] if option in DATA else []
    if more:
        folder = Path(following[0]).parent
        raise InputError(
            f"{option} takes one file, folder or glob, and {len(more)} more follow {following[0]}: {more[0]}"
            f"{', ...' if len(more) > 1 else ''}. Put a glob in quotes, so that the shell leaves it as it is "
            f"({option} '{folder / '*'}{Path(following[0]).suffix}'), or give a folder"
        )


def _is_data(word: str) -> bool:
    if word.startswith("-"):
        return False
    whole = is_data_name(word) or Path(word).is_dir()
    return whole and ("=" not in word or Path(word).exists())


def is_data_name(word: str) -> bool:
    """Whether a file of this name holds data, by its ending."""
    return DATA_FILE.fullmatch(Path(word).name) is not None
