"""Common interface of tokenizers: those of transformers, and of the tokenizers library without torch."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
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

    def __init__(self, max_length: int, side: Side):
        self.max_length = max_length
        self.side: Side = side
        self._clones: dict[tuple[int | None, str], Tokenizer] = {}

    def resized(self, max_length: int) -> Self:
        """Return the same tokenizer with another maximum length."""
        other = copy.copy(self)
        other.max_length, other._clones = max_length, {}
        other.__dict__.pop("_cutting", None)
        return other

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
        return max((end for _, end in self._cutting.encode(text).offsets), default=0)

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
            lengths = [len(one.ids) for one in encoded]
            more = lengths.index(max(lengths))  # it is cut first
            first, second = (
                self._start(text, one, room + (place == more))
                for place, (text, one) in enumerate(zip(pairs[number], encoded, strict=True))
            )
            shortened[number] = first, second
        return shortened

    def _start(self, text: str, encoded: Any, most: int) -> str:
        """Return the part of a text that ``most`` tokens cover, from the side that is not truncated."""
        if len(encoded.ids) <= most:
            return text
        left = self.side == "left"
        return text[encoded.offsets[-most][0] :] if left else text[: encoded.offsets[most - 1][1]]

    def windows(self, texts: Sequence[str], stride: int) -> list[list[Window]]:
        """Return windows with all tokens of each text; consecutive windows overlap by ``stride`` tokens."""
        backend = self._clone(min(stride, max(0, (self.max_length - 2) // 2)))
        encodings = backend.encode_batch(list(texts))
        return [[_window(encoding), *map(_window, encoding.overflowing)] for encoding in encodings]

    def pair_windows(self, texts: Sequence[str], others: Sequence[str], stride: int) -> list[list[Window]]:
        """Return windows with all tokens of each of ``others``, each behind the text that belongs to it.

        The text is cut at half the maximum length; consecutive windows overlap by at most ``stride`` tokens.
        """
        room = max(1, self.max_length // 2 - PAIR_SPECIAL)
        encodings = self._clone(None).encode_batch(list(texts), add_special_tokens=False)
        short = [self._start(text, one, room) for text, one in zip(texts, encodings, strict=True)]
        backend = self._clone(min(stride, max(0, self.max_length // 4 - PAIR_SPECIAL)), "only_second")
        pairs = backend.encode_batch(list(zip(short, others, strict=True)))
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

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int, prefix: str = ""):
        super().__init__(max_length, "left" if tokenizer.truncation_side == "left" else "right")
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
        super().__init__(tokenizer.max_length, tokenizer.side)
        self.reads_types = tokenizer.reads_types
        self.prefix = tokenizer.prefix
        self._wrapped = tokenizer

    def resized(self, max_length: int) -> Self:
        """Return the same tokenizer with another maximum length."""
        other = super().resized(max_length)
        other._wrapped = self._wrapped.resized(max_length)
        return other

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, at least one."""
        return tokens.encode_start(self._wrapped.ids, texts, self.max_length, self.side)

    def reach(self, text: str) -> int:
        """Return the number of characters of ``text`` before the end of its last token."""

        def measure(part: str) -> tuple[list[int], int]:
            return self._wrapped.ids([part])[0], self._wrapped.reach(part)

        return tokens.reach_of(measure, text, self.max_length, self.side)

    def pairs(self, texts: Sequence[str], others: Sequence[str]) -> list[Window]:
        """Return the tokens of each pair of texts; the longer text is truncated first."""

        def encode(parts: Sequence[tuple[str, str]]) -> list[Window]:
            firsts, seconds = zip(*parts, strict=True)
            return self._wrapped.pairs(firsts, seconds)

        pairs = list(zip(texts, others, strict=True))
        return tokens.encode_pair_start(encode, pairs, lambda one: one.ids, self.max_length, self.side)

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

    def __init__(self, folder: Path, max_length: int, blank: int):
        super().__init__(max_length, tokens.truncation_side(folder))
        self._file, self._blank = str(folder / "tokenizer.json"), blank

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, at least one."""
        return tokens.never_empty(super().ids(texts), self._blank)

    def _backend(self) -> Tokenizer:
        from tokenizers import Tokenizer

        return Tokenizer.from_file(self._file)


def _window(encoding: object) -> Window:
    return Window(encoding.ids, encoding.type_ids, encoding.offsets, encoding.sequence_ids)  # type: ignore[attr-defined]
