"""Texts as token ids, by the same rule for training, encoding, torch and ONNX Runtime; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from react_ray.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["blank_token", "encode", "never_empty", "pad"]

SPECIAL = ("bos_token_id", "cls_token_id", "eos_token_id", "sep_token_id", "unk_token_id", "pad_token_id")


def encode(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int | None = None
) -> list[list[int]]:
    """Token ids of each text, at least one, cut at ``max_length`` where it is given."""
    if not len(texts):
        return []
    cut = {"truncation": True, "max_length": max_length} if max_length else {}
    return never_empty(tokenizer(list(texts), **cut)["input_ids"], blank_token(tokenizer))


def never_empty(rows: Iterable[list[int]], blank: int) -> list[list[int]]:
    """``rows`` with the one token ``blank`` in those that have none.

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
    """Token ids filled up with ``token`` to the longest of ``rows``, and the mask of those that are real.

    ``side`` is right or left, see ``pretrained.padding_side``.
    """
    longest = max(map(len, rows))
    ids = np.full((len(rows), longest), token, dtype=np.int64)
    mask = np.zeros_like(ids)
    for number, row in enumerate(rows):
        place = slice(longest - len(row), None) if side == "left" else slice(len(row))
        ids[number, place], mask[number, place] = row, 1
    return ids, mask
