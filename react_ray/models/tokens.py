"""Token ids of texts, the same in training, encoding and serving; imports no torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from react_ray.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "Side",
    "blank_token",
    "encode",
    "encode_pair_start",
    "encode_start",
    "encode_windows_start",
    "never_empty",
    "pad",
    "reach_of",
    "truncation_side",
]

SPECIAL = ("bos_token_id", "cls_token_id", "eos_token_id", "sep_token_id", "unk_token_id", "pad_token_id")
Side = Literal["left", "right"]
"""Side of a text that is truncated, as in transformers."""
CHARS_A_TOKEN = 8
"""Characters per token in the first attempt; most languages have less than half as many."""

Ids = list[int]
Pair = tuple[str, str]
Part = TypeVar("Part")
Encoded = TypeVar("Encoded")


def encode(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int | None = None
) -> list[list[int]]:
    """Return the token ids of each text, at least one, truncated to ``max_length`` if given."""
    if not len(texts):
        return []
    truncation = {"truncation": True, "max_length": max_length} if max_length else {}
    return never_empty(tokenizer(list(texts), **truncation)["input_ids"], blank_token(tokenizer))


def never_empty(rows: Iterable[list[int]], blank: int) -> list[list[int]]:
    """Replace empty ``rows`` by the token ``blank``.

    Tokenizers without special tokens (of many decoders) return no tokens for an empty text, or for white
    space, and models need at least one.
    """
    return [row or [blank] for row in rows]


def blank_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the token for a text without tokens: the start token, or else another special token.

    Raises InputError if the tokenizer has no special tokens.
    """
    ids = (getattr(tokenizer, name) for name in SPECIAL)
    token = next((number for number in ids if number is not None), None)
    if token is None:
        raise InputError("the tokenizer is incomplete: it has no special tokens (tokenizer_config.json)")
    return int(token)


def pad(rows: Sequence[list[int]], token: int, side: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pad token ids with ``token`` to the length of the longest row; returns ids and attention mask.

    ``side`` is right or left, see ``pretrained.padding_side``.
    """
    longest = max(map(len, rows))
    ids = np.full((len(rows), longest), token, dtype=np.int64)
    mask = np.zeros_like(ids)
    for number, row in enumerate(rows):
        positions = slice(longest - len(row), None) if side == "left" else slice(len(row))
        ids[number, positions], mask[number, positions] = row, 1
    return ids, mask


def encode_start(
    encode: Callable[[Sequence[str]], list[Ids]],
    texts: Sequence[str],
    max_length: int,
    side: Side = "right",
) -> list[Ids]:
    """Return ``encode(texts)``, truncated to ``max_length`` tokens, without encoding all of long texts.

    A part of each text is encoded, then twice as much, until two consecutive parts fill the length with the
    same ids. Tokenizers look only a few characters ahead, so further text cannot change these ids. A text
    that is white space, or a single long unknown word, is encoded completely.
    """
    return _from_starts(encode, _starts_of(texts, side), list, len(texts), max_length)


def encode_windows_start(
    encode: Callable[[Sequence[str]], list[list[Ids]]],
    texts: Sequence[str],
    max_length: int,
    side: Side = "right",
) -> list[list[Ids]]:
    """Return the windows ``encode(texts)``, of ``max_length`` tokens together, as :func:`encode_start`."""

    def ids(windows: list[Ids]) -> Ids:
        return [token for window in windows for token in window]

    return _from_starts(encode, _starts_of(texts, side), ids, len(texts), max_length)


def _starts_of(texts: Sequence[str], side: Side) -> Callable[[int, int], tuple[str, bool]]:
    def start(index: int, size: int) -> tuple[str, bool]:
        return _part(texts[index], size, side), len(texts[index]) <= size

    return start


def encode_pair_start(
    encode: Callable[[Sequence[Pair]], list[Encoded]],
    pairs: Sequence[Pair],
    ids: Callable[[Encoded], Ids],
    max_length: int,
    side: Side = "right",
) -> list[Encoded]:
    """Encode pairs of texts as :func:`encode_start` does texts; ``ids`` gives the ids of an encoded pair.

    The longer text stays the longer one, because that is the one that a tokenizer truncates first.
    """

    def start(index: int, size: int) -> tuple[Pair, bool]:
        first, second = pairs[index]
        sizes = (2 * size, size) if len(first) > len(second) else (size, 2 * size)
        part = _part(first, sizes[0], side), _part(second, sizes[1], side)
        return part, part == pairs[index]

    return _from_starts(encode, start, ids, len(pairs), max_length)


def _from_starts(
    encode: Callable[[Sequence[Part]], list[Encoded]],
    start: Callable[[int, int], tuple[Part, bool]],
    ids: Callable[[Encoded], Ids],
    count: int,
    max_length: int,
) -> list[Encoded]:
    """Encode ``count`` texts, doubling the part that is encoded until the ids no longer change.

    ``start(index, size)`` returns a part of about ``size`` characters, and whether it is the whole text.
    """
    results: dict[int, Encoded] = {}
    previous: dict[int, Ids] = {}
    pending = list(range(count))
    size = CHARS_A_TOKEN * max_length
    while pending:
        parts, completeness = zip(*(start(index, size) for index in pending), strict=True)
        for index, encoded, complete in zip(pending, encode(parts), completeness, strict=True):
            token_ids = ids(encoded)
            if complete or (len(token_ids) >= max_length and token_ids == previous.get(index)):
                results[index] = encoded
            previous[index] = token_ids
        pending = [index for index in pending if index not in results]
        size *= 2
    return [results[index] for index in range(count)]


def reach_of(
    measure: Callable[[str], tuple[Ids, int]], text: str, max_length: int, side: Side = "right"
) -> int:
    """Return the characters of ``text`` before the end of its last token; ``measure`` returns ids and end."""
    size, previous = CHARS_A_TOKEN * max_length, None
    while True:
        part = _part(text, size, side)
        ids, end = measure(part)
        if len(part) == len(text) or (len(ids) >= max_length and ids == previous):
            return end + (len(text) - len(part) if side == "left" else 0)
        size, previous = 2 * size, ids


def truncation_side(folder: Path) -> Side:
    """Return the truncation side of the tokenizer in ``folder``; ``tokenizer.json`` does not have it."""
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return "left" if settings.get("truncation_side") == "left" else "right"


def _part(text: str, size: int, side: Side) -> str:
    return text[:size] if side == "right" else text[-size:]
