"""Token ids of texts, by the same rules in training, encoding and serving; imports no torch."""

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
    "never_empty",
    "pad",
    "reach_of",
    "truncation_side",
]

SPECIAL = ("bos_token_id", "cls_token_id", "eos_token_id", "sep_token_id", "unk_token_id", "pad_token_id")
Side = Literal["left", "right"]
"""The end of a text that is cut off where it is too long, as ``transformers`` calls it."""
CHARS_A_TOKEN = 8
"""Of the first try: twice and more of what a token has in most languages, so that few texts need a second."""

Ids = list[int]
Pair = tuple[str, str]
Part = TypeVar("Part")
Encoded = TypeVar("Encoded")


def encode(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int | None = None
) -> list[list[int]]:
    """Token ids of each text, at least one, cut at ``max_length`` where it is given."""
    if not len(texts):
        return []
    cut = {"truncation": True, "max_length": max_length} if max_length else {}
    return never_empty(tokenizer(list(texts), **cut)["input_ids"], blank_token(tokenizer))


def never_empty(rows: Iterable[list[int]], blank: int) -> list[list[int]]:
    """Replace empty ``rows`` by the one token ``blank``.

    A tokenizer that adds no special tokens (many decoders' do not) makes no token of an empty text, or of
    one of white space alone, and no model can read that. An empty text is a text: it gets an answer too.
    """
    return [row or [blank] for row in rows]


def blank_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """What stands for a text without tokens: where a text starts, or else another special token.

    Raises InputError where the tokenizer has no special token at all.
    """
    ids = (getattr(tokenizer, name) for name in SPECIAL)
    found = next((number for number in ids if number is not None), None)
    if found is None:
        raise InputError("the tokenizer has no special tokens (tokenizer_config.json): it is not complete")
    return int(found)


def pad(rows: Sequence[list[int]], token: int, side: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pad token ids with ``token`` to the longest of ``rows``, and return them with the attention mask.

    ``side`` is right or left, see ``pretrained.padding_side``.
    """
    longest = max(map(len, rows))
    ids = np.full((len(rows), longest), token, dtype=np.int64)
    mask = np.zeros_like(ids)
    for number, row in enumerate(rows):
        place = slice(longest - len(row), None) if side == "left" else slice(len(row))
        ids[number, place], mask[number, place] = row, 1
    return ids, mask


def encode_start(
    encode: Callable[[Sequence[str]], list[Ids]],
    texts: Sequence[str],
    max_length: int,
    side: Side = "right",
) -> list[Ids]:
    """``encode(texts)``, where ``encode`` cuts at ``max_length`` tokens, from the characters that it needs.

    A part of each text is encoded, then twice as much of it, until two parts in a row fill the length with
    the same ids. A tokenizer looks only some characters ahead, and the last part goes on for as many
    characters as there are in the one before, so its end is out of sight. A text that is white space, or
    one long unknown word, is read whole.
    """

    def start(index: int, size: int) -> tuple[str, bool]:
        return _part(texts[index], size, side), len(texts[index]) <= size

    return _from_starts(encode, start, list, len(texts), max_length)


def encode_pair_start(
    encode: Callable[[Sequence[Pair]], list[Encoded]],
    pairs: Sequence[Pair],
    ids: Callable[[Encoded], Ids],
    max_length: int,
    side: Side = "right",
) -> list[Encoded]:
    """As :func:`encode_start`, of pairs of texts; ``ids`` are the token ids of what ``encode`` gives.

    The longer text stays the longer one, for that is the one that a tokenizer cuts.
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
    """What ``encode`` gives for each of ``count`` texts, of which it gets no more than it needs.

    ``start`` gives a part of the text of a number and about a size, and whether it is the whole text.
    """
    found: dict[int, Encoded] = {}
    before: dict[int, Ids] = {}
    waiting = list(range(count))
    size = CHARS_A_TOKEN * max_length
    while waiting:
        parts, whole = zip(*(start(index, size) for index in waiting), strict=True)
        for index, encoded, last in zip(waiting, encode(parts), whole, strict=True):
            own = ids(encoded)
            if last or (len(own) >= max_length and own == before.get(index)):
                found[index] = encoded
            before[index] = own
        waiting = [index for index in waiting if index not in found]
        size *= 2
    return [found[index] for index in range(count)]


def reach_of(
    measure: Callable[[str], tuple[Ids, int]], text: str, max_length: int, side: Side = "right"
) -> int:
    """Characters of ``text`` before the end of its last token; ``measure`` gives the ids and that end."""
    size, before = CHARS_A_TOKEN * max_length, None
    while True:
        part = _part(text, size, side)
        ids, end = measure(part)
        if len(part) == len(text) or (len(ids) >= max_length and ids == before):
            return end + (len(text) - len(part) if side == "left" else 0)
        size, before = 2 * size, ids


def truncation_side(folder: Path) -> Side:
    """The side on which the tokenizer saved in ``folder`` cuts; ``tokenizer.json`` alone does not say it."""
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return "left" if settings.get("truncation_side") == "left" else "right"


def _part(text: str, size: int, side: Side) -> str:
    return text[:size] if side == "right" else text[-size:]
