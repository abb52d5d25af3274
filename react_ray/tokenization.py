"""Token ids of texts that are longer than a model reads, without the cost of the part that it does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

__all__ = ["Side", "encode_start", "reach_of", "truncation_side"]

Side = Literal["left", "right"]
"""The end of a text that is cut off where it is too long, as ``transformers`` calls it."""
CHARS_A_TOKEN = 8
"""Of the first try: twice and more of what a token has in most languages, so that few texts need a second."""

Ids = list[int]


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
    found: dict[int, Ids] = {}
    before: dict[int, Ids] = {}
    waiting = list(range(len(texts)))
    size = CHARS_A_TOKEN * max_length
    while waiting:
        parts = encode([_part(texts[index], size, side) for index in waiting])
        for index, ids in zip(waiting, parts, strict=True):
            filled = len(ids) >= max_length and ids == before.get(index)
            if filled or len(texts[index]) <= size:
                found[index] = ids
            before[index] = ids
        waiting = [index for index in waiting if index not in found]
        size *= 2
    return [found[index] for index in range(len(texts))]


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
