"""Common interface of tokenizers: those of transformers, and of the tokenizers library without torch."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from react_ray.errors import InputError
from react_ray.models import tokens
from react_ray.models.chunks import chunk_ranges
from react_ray.models.tokens import Side

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

__all__ = ["QuickTokenizer", "SavedTokenizer", "TextTokenizer", "TransformersTokenizer", "Window"]

SLACK = 64
"""Extra tokens beyond the maximum length: tokenizers look some characters ahead."""
PAIR_SPECIAL = 4
"""Special tokens of a pair, at most."""
CHARS_AT_A_TIME = 1 << 18
"""Characters of pairs tokenized at once: all their windows are in memory, including truncated ones."""


class Window(NamedTuple):
    """Tokens of a text, or of a part of a text that is too long for the model.

    ``offsets`` are the start and end characters of each token. ``parts`` says which text of a pair a token is
    from: 0 or 1, or None for special tokens.
    """

    ids: list[int]
    types: list[int]
    offsets: list[tuple[int, int]]
    parts: list[int | None]


class TextTokenizer(ABC):
    """Token ids of texts, truncated to ``max_length`` tokens on the side of the model's tokenizer."""

    reads_types = True
    """Whether the model takes token types, which distinguish the two texts of a pair."""
    prefix = ""
    """Text that tasks with generated answers put before every input."""

    most_windows = 1
    """Windows of a long text that a classifier reads, see :meth:`long_ids`."""

    def __init__(self, max_length: int, side: Side, windows: int = 1):
        self.max_length = max_length
        self.side: Side = side
        self.most_windows = windows
        self._clones: dict[tuple[int | None, str], Tokenizer] = {}

    def longer(self, times: int) -> Self:
        """Return a copy that reads ``times`` as much of a text: more windows, or else a longer one."""
        wider = copy.copy(self)
        if self.most_windows > 1:
            wider.most_windows = times * self.most_windows
            return wider
        wider.max_length, wider._clones = times * self.max_length, {}
        wider.__dict__.pop("_cutting", None)
        return wider

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text."""
        return [encoding.ids for encoding in self._cutting.encode_batch_fast(list(texts))]

    def target_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text as a target of generation."""
        return self.ids(texts) if texts else []

    def text_of(self, ids: Sequence[int]) -> str:
        """Convert generated tokens to text."""
        return str(self._backend().decode(list(ids), skip_special_tokens=True))

    def reach(self, text: str) -> int:
        """Return the number of characters of ``text`` before the end of its last token."""
        windows = [_window(self._cutting.encode(text))]
        if self.most_windows > 1:
            windows = self.windows([text], 0)[0][: self.most_windows]
        return max((end for window in windows for _, end in window.offsets), default=0)

    def pairs(self, texts: Sequence[str], others: Sequence[str]) -> list[Window]:
        """Return the tokens of each pair of texts; the longer text is truncated first."""
        pairs = list(zip(texts, others, strict=True))
        windows: list[Window] = []
        for part in chunk_ranges((len(first) + len(second) for first, second in pairs), CHARS_AT_A_TIME):
            shortened = self._shortened(pairs[part.start : part.stop])
            windows += map(_window, self._cutting.encode_batch(shortened))
        return windows

    def _shortened(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Remove the ends of long texts that the tokenizer would truncate.

        Otherwise it creates a window for every part of one text with every part of the other: gigabytes.
        """
        room = self.max_length + SLACK
        long = [number for number, pair in enumerate(pairs) if max(map(len, pair)) > room]
        texts = iter(self._clone(None).encode_batch([text for number in long for text in pairs[number]]))
        shortened = list(pairs)
        for number in long:
            encoded = next(texts), next(texts)
            lengths = [len(encoding.ids) for encoding in encoded]
            longest = lengths.index(max(lengths))  # it is cut first
            first, second = (
                self._start(text, encoding, room + (place == longest))
                for place, (text, encoding) in enumerate(zip(pairs[number], encoded, strict=True))
            )
            shortened[number] = first, second
        return shortened

    def _start(self, text: str, encoded: Any, most: int) -> str:
        """Return the part of a text that ``most`` tokens cover, from the side that is not truncated."""
        if len(encoded.ids) <= most:
            return text
        left = self.side == "left"
        return text[encoded.offsets[-most][0] :] if left else text[: encoded.offsets[most - 1][1]]

    def long_ids(self, texts: Sequence[str]) -> list[list[list[int]]]:
        """Return the token ids of up to ``most_windows`` windows of each text, which do not overlap."""
        rows = [[ids] for ids in self.ids(texts)]
        for numbers in self._long([row[0] for row in rows], [len(text) for text in texts]):
            windows = self.windows([texts[number] for number in numbers], 0)
            for number, row_windows in zip(numbers, windows, strict=True):
                rows[number] += [window.ids for window in row_windows[1 : self.most_windows]]
        return rows

    def long_pairs(self, texts: Sequence[str], others: Sequence[str]) -> list[list[Window]]:
        """Return up to ``most_windows`` windows of each pair: parts of the longer text, with the other text.

        The other text is cut at half the maximum length.
        """
        rows = [[window] for window in self.pairs(texts, others)]
        sizes = [len(text) + len(other) for text, other in zip(texts, others, strict=True)]
        for numbers in self._long([row[0].ids for row in rows], sizes):
            for number in numbers:
                text, other = texts[number], others[number]
                windows = self._pair_windows([text], [other], 0, int(len(other) >= len(text)))[0]
                if len(windows) > 1:
                    rows[number] = windows[: self.most_windows]
        return rows

    def _long(self, ids: Sequence[Sequence[int]], sizes: Sequence[int]) -> Iterator[list[int]]:
        """Iterate over the numbers of texts that may have several windows, some at a time.

        ``ids`` are those of the first windows, ``sizes`` the lengths of the texts in characters.
        """
        full = [number for number, tokens in enumerate(ids) if len(tokens) >= self.max_length]
        if self.most_windows > 1:
            for part in chunk_ranges((sizes[number] for number in full), CHARS_AT_A_TIME):
                yield full[part.start : part.stop]

    def windows(self, texts: Sequence[str], stride: int) -> list[list[Window]]:
        """Return windows with all tokens of each text; consecutive windows overlap by ``stride`` tokens."""
        backend = self._clone(min(stride, max(0, (self.max_length - 2) // 2)))
        encodings = backend.encode_batch(list(texts))
        return [[_window(encoding), *map(_window, encoding.overflowing)] for encoding in encodings]

    def pair_windows(self, texts: Sequence[str], others: Sequence[str], stride: int) -> list[list[Window]]:
        """Return windows with all tokens of each of ``others``, each behind the text that belongs to it.

        The text is cut at half the maximum length; consecutive windows overlap by at most ``stride`` tokens.
        """
        return self._pair_windows(texts, others, stride, 1)

    def _pair_windows(
        self, texts: Sequence[str], others: Sequence[str], stride: int, long: int
    ) -> list[list[Window]]:
        """Return windows of the texts at place ``long`` (0 or 1) of the pairs, see :meth:`pair_windows`."""
        room = max(1, self.max_length // 2 - PAIR_SPECIAL)
        sides = [list(texts), list(others)]
        encodings = self._clone(None).encode_batch(sides[1 - long], add_special_tokens=False)
        sides[1 - long] = [
            self._start(text, encoded, room) for text, encoded in zip(sides[1 - long], encodings, strict=True)
        ]
        strategy = ("only_first", "only_second")[long]
        backend = self._clone(min(stride, max(0, self.max_length // 4 - PAIR_SPECIAL)), strategy)
        pairs = backend.encode_batch(list(zip(*sides, strict=True)))
        return [[_window(encoding), *map(_window, encoding.overflowing)] for encoding in pairs]

    @cached_property
    def _cutting(self) -> Tokenizer:
        return self._clone(0)

    def _clone(self, stride: int | None, strategy: str = "longest_first") -> Tokenizer:
        """Return a clone of the tokenizer with its own settings, so that concurrent calls do not interfere.

        Without a ``stride`` it does not truncate. Clones are cached: with a multilingual vocabulary, creating
        one takes half a second.
        """
        from tokenizers import Tokenizer

        if (stride, strategy) in self._clones:
            return self._clones[stride, strategy]
        backend = Tokenizer.from_str(self._backend().to_str())
        backend.no_padding()
        backend.no_truncation()
        if stride is not None:
            backend.enable_truncation(self.max_length, stride=stride, strategy=strategy, direction=self.side)
        return self._clones.setdefault((stride, strategy), backend)

    @abstractmethod
    def _backend(self) -> Tokenizer:
        """Return the underlying tokenizer of the tokenizers library."""


class TransformersTokenizer(TextTokenizer):
    """A tokenizer of transformers, for training."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, max_length: int, prefix: str = "", windows: int = 1
    ):
        super().__init__(max_length, "left" if tokenizer.truncation_side == "left" else "right", windows)
        self.prefix = prefix
        self.tokenizer = tokenizer
        self.reads_types = "token_type_ids" in tokenizer.model_input_names

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, at least one."""
        return tokens.encode(self.tokenizer, texts, self.max_length)

    def target_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text as a target of generation."""
        if not texts:
            return []
        options = {"truncation": True, "max_length": self.max_length}
        return list(self.tokenizer(text_target=list(texts), **options)["input_ids"])

    def text_of(self, ids: Sequence[int]) -> str:
        """Convert generated tokens to text."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def reach(self, text: str) -> int:
        """Return the number of characters of ``text`` before the end of its last token."""
        return super().reach(text) if self.tokenizer.is_fast else len(text)  # slow tokenizers have no offsets

    def _backend(self) -> Tokenizer:
        if not self.tokenizer.is_fast:
            raise InputError(
                f"{self.tokenizer.name_or_path}: its tokenizer has no offsets of tokens, which this task "
                "needs: give a model with a fast tokenizer (tokenizer.json)"
            )
        return self.tokenizer.backend_tokenizer


class QuickTokenizer(TextTokenizer):
    """Wrapper of a tokenizer, whose :meth:`ids` process only the part of a long text that is needed."""

    def __init__(self, tokenizer: TextTokenizer):
        super().__init__(tokenizer.max_length, tokenizer.side, tokenizer.most_windows)
        self.reads_types = tokenizer.reads_types
        self.prefix = tokenizer.prefix
        self._wrapped = tokenizer

    def longer(self, times: int) -> Self:
        """Return a copy that reads ``times`` as much of a text: more windows, or else a longer one."""
        wider = super().longer(times)
        wider._wrapped = self._wrapped.longer(times)
        return wider

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, at least one."""
        return tokens.encode_start(self._wrapped.ids, texts, self.max_length, self.side)

    def long_ids(self, texts: Sequence[str]) -> list[list[list[int]]]:
        """Return the token ids of up to ``most_windows`` windows of each text, which do not overlap."""
        if self.most_windows == 1:
            return super().long_ids(texts)
        most = self.most_windows * self.max_length
        return tokens.encode_windows_start(self._wrapped.long_ids, texts, most, self.side)

    def reach(self, text: str) -> int:
        """Return the number of characters of ``text`` before the end of its last token."""

        def measure(part: str) -> tuple[list[int], int]:
            ids = [token for window in self._wrapped.long_ids([part])[0] for token in window]
            return ids, self._wrapped.reach(part)

        return tokens.reach_of(measure, text, self.most_windows * self.max_length, self.side)

    def pairs(self, texts: Sequence[str], others: Sequence[str]) -> list[Window]:
        """Return the tokens of each pair of texts; the longer text is truncated first."""

        def encode(parts: Sequence[tuple[str, str]]) -> list[Window]:
            firsts, seconds = zip(*parts, strict=True)
            return self._wrapped.pairs(firsts, seconds)

        pairs = list(zip(texts, others, strict=True))
        return tokens.encode_pair_start(encode, pairs, lambda window: window.ids, self.max_length, self.side)

    def long_pairs(self, texts: Sequence[str], others: Sequence[str]) -> list[list[Window]]:
        """Return up to ``most_windows`` windows of each pair: parts of the longer text, with the other."""
        if self.most_windows == 1:
            return super().long_pairs(texts, others)

        def encode(parts: Sequence[tuple[str, str]]) -> list[list[Window]]:
            firsts, seconds = zip(*parts, strict=True)
            return self._wrapped.long_pairs(firsts, seconds)

        def ids(windows: list[Window]) -> list[int]:
            return [token for window in windows for token in window.ids]

        pairs = list(zip(texts, others, strict=True))
        return tokens.encode_pair_start(encode, pairs, ids, self.most_windows * self.max_length, self.side)

    def text_of(self, ids: Sequence[int]) -> str:
        """Convert generated tokens to text."""
        return self._wrapped.text_of(ids)

    def windows(self, texts: Sequence[str], stride: int) -> list[list[Window]]:
        """Return windows with all tokens of each text; consecutive windows overlap by ``stride`` tokens."""
        return self._wrapped.windows(texts, stride)

    def pair_windows(self, texts: Sequence[str], others: Sequence[str], stride: int) -> list[list[Window]]:
        """Return windows with all tokens of each of ``others``, each behind the text that belongs to it."""
        return self._wrapped.pair_windows(texts, others, stride)

    def _backend(self) -> Tokenizer:
        return self._wrapped._backend()


class SavedTokenizer(TextTokenizer):
    """The ``tokenizer.json`` in ``folder``, without torch; ``blank`` is the token of an empty text."""

    def __init__(self, folder: Path, max_length: int, blank: int, windows: int = 1):
        super().__init__(max_length, tokens.truncation_side(folder), windows)
        self._file, self._blank = str(folder / "tokenizer.json"), blank

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, at least one."""
        return tokens.never_empty(super().ids(texts), self._blank)

    def _backend(self) -> Tokenizer:
        from tokenizers import Tokenizer

        return Tokenizer.from_file(self._file)


def _window(encoding: object) -> Window:
    return Window(encoding.ids, encoding.type_ids, encoding.offsets, encoding.sequence_ids)  # type: ignore[attr-defined]
