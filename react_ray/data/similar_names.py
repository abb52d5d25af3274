"""Detection of class names that differ in case, spaces or invisible characters only."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal

__all__ = ["similar_names", "visible"]

SHOWN_GROUPS = 5
SHOWN_NAMES = 5
SHOWN_CHARS = 80
INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0" + "".join(map(chr, range(0xFE00, 0xFE10)))
"""Characters without a shape that Unicode counts as letters or marks."""
LOOKALIKES = str.maketrans(
    "аеорсухіјѕһԁԛԝАВЕЗКМНОРСТУХІЈЅԌԚԜαικνορυχΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "aeopcyxijshdqwABE3KMHOPCTYXIJSGQWaikvopuxABEZHIKMNOPTYX",
)
"""Cyrillic and Greek letters that look like Latin ones."""
NUMBER = re.compile(r"[+-]?\d{1,20}(\.\d{0,8})?(e[+-]?\d{1,2})?")


def similar_names(counts: Mapping[str, int]) -> list[str]:
    """Return a warning for each group of similar names in ``counts`` (class name -> rows), most rows first.

    >>> similar_names({"Sport": 40, "sport": 2, "news": 9})[0].partition(": ")[2]
    "'Sport' (40 rows), 'sport' (2 rows); if they mean one class, write them the same way"
    """
    groups: dict[str, list[str]] = {}
    for name in counts:
        groups.setdefault(_skeleton(name), []).append(name)
    similar = [sorted(names, key=lambda name: -counts[name]) for names in groups.values() if len(names) > 1]
    similar.sort(key=lambda names: -sum(counts[name] for name in names))
    warnings = [_describe(names, counts) for names in similar[:SHOWN_GROUPS]]
    more = len(similar) - SHOWN_GROUPS
    return [*warnings, f"and {more} more groups of such names"] if more > 0 else warnings


def visible(name: str, lookalikes: bool = False) -> str:
    """Quote ``name`` and escape invisible characters; with ``lookalikes``, ambiguous characters too."""
    shown = "".join(
        char.encode("unicode_escape").decode("ascii") if _is_hidden(char, lookalikes) else char
        for char in name[:SHOWN_CHARS]
    )
    return f"'{shown}{'…' if len(name) > SHOWN_CHARS else ''}'"


def _is_hidden(char: str, lookalikes: bool) -> bool:
    return (
        not char.isprintable()
        or char in INVISIBLE
        or unicodedata.normalize("NFKC", char) != char
        or (lookalikes and ord(char) in LOOKALIKES)
    )


def _plain(name: str) -> str:
    """Normalize a name: no case, spaces, compatibility forms or invisible characters."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    visible_characters = "".join(
        c for c in folded if unicodedata.category(c) not in ("Cf", "Cc") and c not in INVISIBLE
    )
    return "".join(unicodedata.normalize("NFKC", visible_characters).split())


def _skeleton(name: str) -> str:
    """Return a key that similar names share; numbers share their value: 1, 01 and 1e0."""
    latin = _plain(unicodedata.normalize("NFKC", name).translate(LOOKALIKES))
    return f"number {Decimal(latin).normalize() + 0}" if NUMBER.fullmatch(latin) else latin


def _describe(names: list[str], counts: Mapping[str, int]) -> str:
    lookalikes = len({_plain(name) for name in names}) > 1
    shown = [f"{visible(name, lookalikes)} ({_rows(counts[name])})" for name in names[:SHOWN_NAMES]]
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    numbers = all(NUMBER.fullmatch(_plain(name)) for name in names)
    aspect = (
        "in how a number is written" if numbers else "in case, spaces, Unicode form or invisible characters"
    )
    aspect += ", or in letters that look alike" if lookalikes and not numbers else ""
    return (
        f"class names that differ only {aspect}: {', '.join(shown)}{more}; if they mean one class, write "
        "them the same way"
    )


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"
