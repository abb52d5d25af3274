"""Sequences of tokens for the model, in flat files that are mapped into memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from react_ray.models.pretrained import load_tokenizer
from react_ray.models.writing_systems import NO_SPACES
from react_ray.pretraining.masking import INSIDE, SPECIAL, START
from react_ray.pretraining.texts import TRAIN, VALIDATION, TextShard

__all__ = ["EncodeTexts", "Sequences"]

SHORTEST_REST = 8
"""Tokens of the last window of a long text below which it is left out."""
OF_NO_SPACES = re.compile(f"[{NO_SPACES}]")
PARTS = {"train": TRAIN, "validation": VALIDATION}


@dataclass(frozen=True)
class EncodeTexts:
    """Worker task: tokenize the texts of a shard, cut into sequences of ``length`` tokens."""

    model: str
    length: int

    def __call__(self) -> Callable[[dict[str, Any]], int]:
        """Load the tokenizer and return a function that encodes a shard."""
        tokenizer = load_tokenizer(self.model)
        before, after = _around(tokenizer)
        room = self.length - len(before) - len(after)

        def cut(texts: list[str]) -> Iterator[tuple[list[int], list[int]]]:
            for ids, kinds in _tokens(tokenizer, texts):
                for part in _windows(len(ids), room):
                    flags = [SPECIAL] * len(before) + kinds[part] + [SPECIAL] * len(after)
                    yield [*before, *ids[part], *after], flags

        def encode(item: dict[str, Any]) -> int:
            shard, rows = TextShard(Path(item["source"])), 0
            for part, number in PARTS.items():
                writer = _Writer(Path(f"{item['target']}-{part}"))
                for texts in shard.texts(number):
                    writer.add(list(cut(texts)))
                    rows += len(texts)
                writer.close()
            Path(f"{item['target']}.done").touch()
            return rows

        return encode


def _around(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Return the special tokens before and after a text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    ids = tokenizer("a")["input_ids"]
    start = next(i for i in range(len(ids)) if ids[i : i + len(bare)] == bare)
    return ids[:start], ids[start + len(bare) :]


def _tokens(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> Iterator[tuple[list[int], list[int]]]:
    """Yield ids and kinds (START or INSIDE a word) of the tokens of each text.

    Characters of scripts without spaces are words of their own; so is every token of a tokenizer that does
    not say which word a token is from.
    """
    if not texts:
        return
    fast = tokenizer.is_fast
    encoded = tokenizer(
        list(texts), add_special_tokens=False, return_offsets_mapping=fast, truncation=False, verbose=False
    )
    for number, text in enumerate(texts):
        ids = encoded["input_ids"][number]
        if not fast:
            yield ids, [START] * len(ids)
            continue
        words, offsets = encoded.word_ids(number), encoded["offset_mapping"][number]
        kinds = [
            START
            if i == 0
            or words[i] != words[i - 1]
            or (offsets[i] != offsets[i - 1] and OF_NO_SPACES.match(text, offsets[i][0]))
            else INSIDE
            for i in range(len(ids))
        ]
        yield ids, kinds


def _windows(tokens: int, room: int) -> Iterator[slice]:
    """Yield the parts of a text of so many tokens."""
    for start in range(0, tokens, room):
        if start == 0 or tokens - start >= SHORTEST_REST:
            yield slice(start, start + room)


class _Writer:
    """Writes sequences into flat files: tokens, kinds of tokens, lengths."""

    def __init__(self, stem: Path):
        self._stem = stem
        self._lengths: list[int] = []
        for path in (self._tokens, self._kinds):
            path.write_bytes(b"")

    @property
    def _tokens(self) -> Path:
        return Path(f"{self._stem}.tokens")

    @property
    def _kinds(self) -> Path:
        return Path(f"{self._stem}.kinds")

    def add(self, sequences: Sequence[tuple[list[int], list[int]]]) -> None:
        """Append sequences of tokens and their kinds."""
        with self._tokens.open("ab") as tokens, self._kinds.open("ab") as kinds_file:
            for ids, kinds in sequences:
                tokens.write(np.array(ids, dtype=np.int32).tobytes())
                kinds_file.write(np.array(kinds, dtype=np.uint8).tobytes())
                self._lengths.append(len(ids))

    def close(self) -> None:
        """Write the lengths, which complete the files."""
        np.save(f"{self._stem}.lengths.npy", np.array(self._lengths, dtype=np.int32))


class Sequences:
    """The sequences of a part (train or validation) that :class:`EncodeTexts` wrote into ``folder``."""

    def __init__(self, folder: Path, part: str):
        stems = [str(path).removesuffix(".lengths.npy") for path in folder.glob(f"*-{part}.lengths.npy")]
        self._files = [_File.open(stem) for stem in sorted(stems)]
        self.lengths: NDArray[np.int64] = np.concatenate(
            [np.diff(file.starts) for file in self._files] or [np.zeros(0, np.int64)]
        )
        self._first = np.cumsum([0, *(len(file.starts) - 1 for file in self._files)])

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the tokens of a sequence and their kinds."""
        number = int(np.searchsorted(self._first, index, side="right")) - 1
        file = self._files[number]
        start, end = file.starts[index - self._first[number] :][:2]
        return file.tokens[start:end].astype(np.int64), file.kinds[start:end].astype(np.int64)


@dataclass(frozen=True)
class _File:
    starts: NDArray[np.int64]
    tokens: NDArray[np.int32]
    kinds: NDArray[np.uint8]

    @classmethod
    def open(cls, stem: str) -> _File:
        lengths = np.load(f"{stem}.lengths.npy").astype(np.int64)
        starts = np.concatenate([[0], np.cumsum(lengths)])
        if not len(lengths):  # an empty file cannot be mapped
            return cls(starts, np.zeros(0, np.int32), np.zeros(0, np.uint8))
        tokens = np.memmap(f"{stem}.tokens", dtype=np.int32, mode="r")
        return cls(starts, tokens, np.memmap(f"{stem}.kinds", dtype=np.uint8, mode="r"))
