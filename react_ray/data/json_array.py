"""Reader of json files with a list of objects, as annotation tools export them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, Any

from react_ray.data.json_lines import JsonRows
from react_ray.data.lines import CHUNK_BYTES, FlawedLine, Unfinished
from react_ray.data.sources import Source
from react_ray.errors import InputError

__all__ = ["JsonArrayRows", "is_array", "split_array"]

BLANK = b" \t\r\n"
TOP = re.compile(rb'"[^"\\]*"|["\[\]{},]')
FLAT = rb'(?:[^"\[\]{}]|"[^"\\]*")*+'
DEEP = re.compile(rb'"[^"\\]*"|\{' + FLAT + rb"\}|\[" + FLAT + rb'\]|["\[\]{}]')
INSIDE = re.compile(rb'["\\]')
"""Marks in JSON between the elements of a list, inside an element, and inside a string.

Strings without escapes, and flat objects and lists inside an element, are matched in one piece for speed.
"""
LINE_ENDS = re.compile(r"\s*[\r\n]\s*")


class JsonArrayRows(JsonRows):
    """Iterator over the objects of a json file; the original row is the text of its object, on one line.

    The number of a row is that of its object, from 1. Objects are read one by one: memory does not grow
    with the file.
    """

    def _objects(self) -> Iterator[tuple[int, str]]:
        elements = split_array(self.source.open_unpacked(), self.source)
        for number, element in enumerate(elements, start=1):
            if not isinstance(element, FlawedLine):  # in strings, line ends stand escaped
                element = LINE_ENDS.sub(" ", element.strip())
            yield number, element


def is_array(source: Source) -> bool:
    """Return whether a json file holds a list; otherwise it is read as an object on each line.

    Raises InputError for one object over many lines.
    """
    head = source.open_unpacked().read(CHUNK_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip(BLANK)
    if head.startswith(b"{") and not head.splitlines()[0].rstrip().endswith(b"}") and b"\n" in head:
        raise InputError(
            f"{source.path} holds one JSON object; expected a list of objects, [{{...}}, ...], or an object "
            "on each line"
        )
    return head.startswith(b"[")


def split_array(stream: IO[bytes] | Any, source: Source, *, alone: bool = True) -> Iterator[str]:
    """Yield the text of each element of the list that ``stream`` holds, ``alone`` or with text after it.

    An element that is too long or not UTF-8 is yielded as :class:`react_ray.data.lines.FlawedLine`.
    Raises InputError if the list does not end.
    """
    element, start, blank = Unfinished("an object"), 0, True  # blank: only white space so far
    for chunk, place, mark in _marks(stream):
        if mark == b"[":
            start = place
        elif mark == b",":
            yield element.end(chunk[start : place - 1])
            start, blank = place, True
        elif mark:
            piece = chunk[start : place - 1]
            if not blank or piece.strip(BLANK):
                yield element.end(piece)
            if alone and (chunk[place:] + stream.read(CHUNK_BYTES)).strip(BLANK):
                raise InputError(f"{source.path} has text after the end of its list; check its brackets")
            return
        else:
            element.add(chunk[start:])
            start, blank = 0, blank and not chunk[start:].strip(BLANK)
    raise InputError(f"{source.path} is incomplete: it ends inside its list; write the file again")


def _marks(stream: IO[bytes] | Any) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield the outer brackets of a list and the commas between its elements: chunk, end of the mark, mark.

    An empty mark is yielded at the end of each chunk.
    """
    depth, string, escaped = 0, False, False
    chunk = stream.read(CHUNK_BYTES).removeprefix(b"\xef\xbb\xbf")
    while chunk:
        place, escaped = int(escaped), False
        while match := (INSIDE if string else DEEP if depth > 1 else TOP).search(chunk, place):
            place, mark = match.end(), match[0]
            if mark == b"\\":
                escaped = place == len(chunk)
                place += 1
            elif mark == b'"':
                string = not string
            elif len(mark) == 1:
                opens = mark in b"[{"
                depth += opens - (mark in b"]}")
                if depth == 0 or (depth == 1 and mark in b"[,"):
                    yield chunk, place, mark
        yield chunk, len(chunk), b""
        chunk = stream.read(CHUNK_BYTES)
