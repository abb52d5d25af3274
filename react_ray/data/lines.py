"""Split a stream of UTF-8 text into lines of bounded length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

__all__ = ["BAD_ENCODING", "CHUNK_BYTES", "LINE_BYTES", "FlawedLine", "Unfinished", "read_lines"]

LINE_BYTES = 1 << 24
"""A longer line is rejected: hundreds of times ``data.max_chars``, and little enough to hold in memory."""
CHUNK_BYTES = 1 << 18
SHOWN_BYTES = 1000
BAD_ENCODING = "bad encoding: bytes that are not UTF-8"


class FlawedLine(str):
    """A line that cannot be used, with the reason; only the start of a line that is too long is kept."""

    reason: str
    too_long: bool

    @classmethod
    def of(cls, line: bytes, reason: str, too_long: bool = False) -> FlawedLine:
        """Decode a line; bytes that are not UTF-8 become lone surrogates."""
        flawed = cls(line.decode("utf-8", "surrogateescape"))
        flawed.reason, flawed.too_long = reason, too_long
        return flawed


def read_lines(stream: IO[bytes] | Any) -> Iterator[str]:
    r"""Yield every line with its end (\n, \r\n or \r); a byte order mark is dropped.

    Memory does not grow with the length of a line: lines of more than ``LINE_BYTES`` bytes, and lines
    that are not UTF-8, are yielded as :class:`FlawedLine`.
    """
    line = Unfinished()
    chunk = stream.read(CHUNK_BYTES).removeprefix(b"\xef\xbb\xbf")
    while chunk:
        if chunk.endswith(b"\r"):  # its \n may be the next byte
            chunk += stream.read(1)
        pieces = chunk.splitlines(keepends=True)
        last = b"" if pieces[-1].endswith((b"\n", b"\r")) else pieces.pop()
        if pieces and line.size:
            yield line.end(pieces.pop(0))
        for piece in pieces:
            try:
                yield piece.decode()
            except UnicodeDecodeError:
                yield FlawedLine.of(piece, BAD_ENCODING)
        line.add(last)
        chunk = stream.read(CHUNK_BYTES)
    if line.size:
        yield line.end(b"")


class Unfinished:
    """Pieces of a line that continues in the next chunk; ``what`` names it in messages."""

    def __init__(self, what: str = "a line") -> None:
        self.size = 0
        self._what = what
        self._pieces: list[bytes] = []

    def add(self, piece: bytes) -> None:
        """Append a piece; only the start of a line that is too long is kept."""
        self.size += len(piece)
        if self.size > LINE_BYTES:
            self._pieces = [b"".join(self._pieces)[:SHOWN_BYTES]]
        elif piece:
            self._pieces.append(piece)

    def end(self, piece: bytes) -> str:
        """Append the last piece and return the line."""
        self.add(piece)
        line, too_long = b"".join(self._pieces), self.size > LINE_BYTES
        self.size, self._pieces = 0, []
        if too_long:
            start = line[:SHOWN_BYTES] + b"\n"
            return FlawedLine.of(
                start, f"too long: {self._what} of more than {LINE_BYTES:,} bytes", too_long=True
            )
        try:
            return line.decode()
        except UnicodeDecodeError:
            return FlawedLine.of(line, BAD_ENCODING)
