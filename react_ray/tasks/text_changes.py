"""Text augmentation by small changes that keep the label (S3).

The operations are those of Wei & Zou 2019 (arXiv:1901.11196) that need no thesaurus.
They work on words, or on characters in scripts without spaces, so that Chinese and
Japanese are changed as little as English; an emoji is never split.
"""

from __future__ import annotations

import hashlib
import random
import re
import unicodedata
from collections.abc import Callable

from react_ray.config.settings import AugmentConfig
from react_ray.models.writing_systems import NO_SPACES

__all__ = ["DEFAULT_OPERATIONS", "OPERATIONS", "augment", "normal_form"]

DEFAULT_OPERATIONS = ("delete", "swap", "crop")
"""Operations where none are named."""
TRIES = 8
"""Draws for one copy; a short text has few variants, and most are soon taken."""

_EMOJI = "\u2190-\u21ff\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
_ATTACHED = (
    "\u0300-\u036f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece"
    "\u102b-\u103e\u17b4-\u17d3\u20d0-\u20ff\u3099\u309a\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f"
)
_FLAG = "[\U0001f1e6-\U0001f1ff]{2}"
_CHARACTER = f"(?:{_FLAG}|[{NO_SPACES}{_EMOJI}])(?:[{_ATTACHED}]|\u200d.)*"
_UNIT = re.compile(f"({_CHARACTER}|[^\\s{NO_SPACES}{_EMOJI}]+)(\\s*)")
_ASCII_UNIT = re.compile(r"(\S+)(\s*)")
"""The same where all units are words, and twice as fast."""
_FULL_WIDTH = re.compile("[\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]")
"""Full-width digits and letters."""

Unit = tuple[str, str]
"""A word or character, and the white space behind it."""


def normal_form(text: str) -> str:
    """Normalize a text to find duplicates: Unicode form NFC, single spaces, and usual letters and digits.

    >>> normal_form("２０２４年　ＮＢＡ")
    '2024年 NBA'
    """
    if not text.isascii():
        text = _FULL_WIDTH.sub(lambda match: chr(ord(match[0]) - 0xFEE0), unicodedata.normalize("NFC", text))
    return " ".join(text.split())


def augment(text: str, config: AugmentConfig, seed: int = 0) -> list[str]:
    """Make at most ``config.copies`` changed copies of ``text``, all different from it and each other.

    The copies are determined by text and seed. A text that is too short to be changed
    has fewer copies, or none; no copy is empty.
    """
    units: list[Unit] = (_ASCII_UNIT if text.isascii() else _UNIT).findall(text)
    operations = DEFAULT_OPERATIONS if config.operations is None else config.operations
    if not (units and config.strength and operations):
        return []
    changes = max(1, round(config.strength * len(units)))
    copies: list[str] = []
    seen = {normal_form(text)}
    draw = random.Random(0)  # seeding it again takes half as long as making another
    for number in range(config.copies):
        draw.seed(_seed(text, seed, number))
        for _ in range(TRIES):
            changed = OPERATIONS[draw.choice(operations)](units, changes, draw)
            copy = "".join(unit + space for unit, space in changed).strip()
            if copy and normal_form(copy) not in seen:
                seen.add(normal_form(copy))
                copies.append(copy)
                break
    return copies


def _seed(text: str, seed: int, number: int) -> int:
    key = f"{seed} {number} {text}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest())


def _delete(units: list[Unit], changes: int, draw: random.Random) -> list[Unit]:
    gone = set(draw.sample(range(len(units)), changes))
    return [unit for place, unit in enumerate(units) if place not in gone]


def _crop(units: list[Unit], changes: int, draw: random.Random) -> list[Unit]:
    """Cut words from the two ends."""
    before = draw.randint(0, changes)
    return units[before : len(units) - changes + before]


def _swap(units: list[Unit], changes: int, draw: random.Random) -> list[Unit]:
    """Swap neighbouring words; white space is unchanged."""
    words = [word for word, _ in units]
    for _ in range(changes if len(words) > 1 else 0):
        left = draw.randrange(len(words) - 1)
        words[left], words[left + 1] = words[left + 1], words[left]
    return [(word, space) for word, (_, space) in zip(words, units, strict=True)]


def _typo(units: list[Unit], changes: int, draw: random.Random) -> list[Unit]:
    """Swap two letters inside a word; a single character is doubled."""
    chosen = set(draw.sample(range(len(units)), changes))
    return [
        (_mistype(word, draw) if place in chosen else word, space)
        for place, (word, space) in enumerate(units)
    ]


def _mistype(word: str, draw: random.Random) -> str:
    places = [i for i in range(1, len(word) - 1) if word[i].isalpha() and word[i + 1].isalpha()]
    if places:
        left = draw.choice(places)
        return word[:left] + word[left + 1] + word[left] + word[left + 2 :]
    return word * 2 if re.fullmatch(f"[{NO_SPACES}]", word) else word


OPERATIONS: dict[str, Callable[[list[Unit], int, random.Random], list[Unit]]] = {
    "delete": _delete,
    "swap": _swap,
    "crop": _crop,
    "typo": _typo,
}
