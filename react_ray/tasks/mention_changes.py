"""Augmentation of rows with entities.

Mentions are replaced by others of their type, or words outside of them are changed, so that the tags stay
valid (Dai & Adel 2020, arXiv:2010.11683). Rows are dictionaries with text, starts, ends and tags, as in
token classification; the result is None if a row cannot be changed.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from react_ray.config.settings import AugmentConfig
from react_ray.tasks.tagging import OUTSIDE, spans_of
from react_ray.tasks.text_changes import DEFAULT_OPERATIONS

__all__ = [
    "MENTIONS",
    "Lexicon",
    "augment_row",
    "change_outside",
    "collect_mentions",
    "draw_of",
    "operations_of",
    "replace_mentions",
]

Row = dict[str, Any]
MENTIONS = "mentions"
"""The operation that replaces mentions by others of their type."""
MOST_MENTIONS = 1000
"""Mentions of a type that are kept: the lexicon is sent to every worker."""
TRIES = 8
"""Draws for one copy; a short text has few variants, and most are soon taken."""


class _Word(NamedTuple):
    """A word, the characters between it and the next word, and its tag."""

    text: str
    gap: str
    tag: str


Mention = tuple[tuple[str, str], ...]
"""The words of a mention, each with what stands behind it inside the mention."""
Lexicon = Mapping[str, Sequence[Mention]]
"""The mentions of each type, each once, in a fixed order."""


def collect_mentions(rows: Iterable[Row], most: int = MOST_MENTIONS) -> dict[str, list[Mention]]:
    """Collect the distinct mentions of each type in labelled rows, in a fixed order.

    At most ``most`` mentions of a type are kept, those with the smallest hashes: a uniform sample that does
    not depend on the order of the rows.

    Example
    -------
    >>> row = {"text": "to New York", "starts": [0, 3, 7], "ends": [2, 6, 11]}
    >>> collect_mentions([{**row, "tags": ["O", "B-LOC", "I-LOC"]}])
    {'LOC': [(('New', ' '), ('York', ''))]}
    """
    mentions: dict[str, set[Mention]] = {}
    for row in rows:
        words = _words(row)[1]
        for span in spans_of(row["tags"]):
            mentions.setdefault(span.label, set()).add(_mention(words[span.start : span.end]))
    return {label: sorted(heapq.nsmallest(most, mentions[label], key=_hash)) for label in sorted(mentions)}


def _hash(mention: Mention) -> bytes:
    return hashlib.blake2b(repr(mention).encode(), digest_size=8).digest()


def operations_of(config: AugmentConfig) -> tuple[str, ...]:
    """Return the operations of the settings, by default the usual ones and ``mentions``."""
    return (*DEFAULT_OPERATIONS, MENTIONS) if config.operations is None else config.operations


def augment_row(row: Row, config: AugmentConfig, seed: int, lexicon: Lexicon | None = None) -> list[Row]:
    """Make at most ``config.copies`` changed copies, all different from the row and each other.

    Each copy is the result of one operation; ``mentions`` needs a lexicon. The copies are determined by row,
    seed and lexicon.
    """
    operations = [name for name in operations_of(config) if config.strength or name == MENTIONS]
    copies: list[Row] = []
    seen = {row["text"]}
    for number in range(config.copies if operations and row["tags"] is not None else 0):
        draw = draw_of(row, seed, number)
        for _ in range(TRIES):
            copy = _copy(row, draw.choice(operations), config.strength, lexicon or {}, draw)
            if copy and copy["text"] not in seen:
                seen.add(copy["text"])
                copies.append(copy)
                break
    return copies


def _copy(row: Row, operation: str, strength: float, lexicon: Lexicon, draw: random.Random) -> Row | None:
    if operation == MENTIONS:
        return replace_mentions(row, lexicon, draw)
    return change_outside(row, operation, strength, draw)


def replace_mentions(row: Row, lexicon: Lexicon, draw: random.Random) -> Row | None:
    """Replace at least one mention by another of its type, and every other mention at random."""
    lead, words = _words(row)
    spans = spans_of(row["tags"])
    alternatives = {
        span: [m for m in lexicon.get(span.label, ()) if m != _mention(words[span.start : span.end])]
        for span in spans
    }
    free = [span for span in spans if alternatives[span]]
    if not free:
        return None
    first = draw.choice(free)
    for span in reversed(free):  # so that the places of those before still hold
        if span is first or draw.random() < 0.5:
            gap = words[span.end - 1].gap
            words[span.start : span.end] = _inserted(draw.choice(alternatives[span]), span.label, gap)
    return _row(row, lead, words)


def change_outside(row: Row, operation: str, strength: float, draw: random.Random) -> Row | None:
    """Change a share of the words outside of mentions.

    ``operation``: delete (a word), crop (words at one end of the text), swap (two neighbours) or typo (two
    letters of a word exchanged).
    """
    lead, words = _words(row)
    outside = [place for place, word in enumerate(words) if word.tag == OUTSIDE]
    count = max(1, round(strength * len(words)))
    changed = _OPERATIONS[operation](list(words), outside, count, draw)
    if not changed or changed == words:
        return None
    return _row(row, lead, changed)


def draw_of(row: Row, seed: int, number: int) -> random.Random:
    """Return a random generator seeded by row, seed and number of the copy."""
    key = f"{seed} {number} {row['text']}".encode()
    return random.Random(int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()))


def _words(row: Row) -> tuple[str, list[_Word]]:
    """Split a row into the characters before the first word, and the words."""
    text, starts, ends = row["text"], row["starts"], row["ends"]
    gaps = [text[end:start] for end, start in zip(ends, [*starts[1:], len(text)], strict=True)]
    words = [
        _Word(text[start:end], gap, tag)
        for start, end, gap, tag in zip(starts, ends, gaps, row["tags"], strict=True)
    ]
    return text[: starts[0]] if starts else text, words


def _row(row: Row, lead: str, words: Sequence[_Word]) -> Row:
    """Build a row from ``words``; only trailing space is removed, so that offsets stay valid."""
    text, starts, ends = lead, [], []
    for word in words:
        starts.append(len(text))
        text += word.text
        ends.append(len(text))
        text += word.gap
    return {**row, "text": text.rstrip(), "starts": starts, "ends": ends, "tags": [w.tag for w in words]}


def _mention(words: Sequence[_Word]) -> Mention:
    return tuple((word.text, word.gap if place + 1 < len(words) else "") for place, word in enumerate(words))


def _inserted(mention: Mention, label: str, gap: str) -> list[_Word]:
    """Return the words of a mention, with ``gap`` after the last."""
    return [
        _Word(text, inner if place + 1 < len(mention) else gap, f"{'I' if place else 'B'}-{label}")
        for place, (text, inner) in enumerate(mention)
    ]


def _delete(words: list[_Word], outside: list[int], count: int, draw: random.Random) -> list[_Word]:
    """Delete words; white space after a deleted word separates its neighbours if there is none before it."""
    gone = set(draw.sample(outside, min(count, len(outside))))
    kept: list[_Word] = []
    for place, word in enumerate(words):
        if place not in gone:
            kept.append(word)
        elif kept and not kept[-1].gap:
            kept[-1] = kept[-1]._replace(gap=word.gap)
    return kept


def _crop(words: list[_Word], outside: list[int], count: int, draw: random.Random) -> list[_Word]:
    """Cut up to ``count`` words at one end, but no word of a mention."""
    if draw.random() < 0.5:
        free = next((place for place, word in enumerate(words) if word.tag != OUTSIDE), len(words))
        return words[min(count, free) :]
    free = next((n for n, word in enumerate(reversed(words)) if word.tag != OUTSIDE), len(words))
    return words[: len(words) - min(count, free)]


def _swap(words: list[_Word], outside: list[int], count: int, draw: random.Random) -> list[_Word]:
    """Swap neighbouring words; white space is unchanged."""
    pairs = [place for place in outside if place + 1 < len(words) and words[place + 1].tag == OUTSIDE]
    for left in draw.sample(pairs, min(count, len(pairs))):
        first, second = words[left], words[left + 1]
        words[left : left + 2] = [first._replace(text=second.text), second._replace(text=first.text)]
    return words


def _typo(words: list[_Word], outside: list[int], count: int, draw: random.Random) -> list[_Word]:
    """Swap two letters inside a word."""
    long = [place for place in outside if len(words[place].text) > 3]
    for place in draw.sample(long, min(count, len(long))):
        text = words[place].text
        left = draw.randrange(1, len(text) - 2)
        changed = text[:left] + text[left + 1] + text[left] + text[left + 2 :]
        words[place] = words[place]._replace(text=changed)
    return words


_OPERATIONS = {"delete": _delete, "crop": _crop, "swap": _swap, "typo": _typo}
