"""Reader of json files with a list of objects, as annotation tools export them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, Any

from react_ray.data.json_lines import JsonRows
from react_ray.data.lines import CHUNK_BYTES, FlawedLine, Unfinished
from react_ray.data.sources import Source
from react_ray.errors import InputError

__all__ = ["JsonArrayRows", "is_array"]

BLANK = b" \t\r\n"
TOP = re.compile(rb'"[^"\\]*"|["\[\]{},]')
FLAT = rb'(?:[^"\[\]{}]|"[^"\\]*")*+'
DEEP = re.compile(rb'"[^"\\]*"|\{' + FLAT + rb"\}|\[" + FLAT + rb'\]|["\[\]{}]')
INSIDE = re.compile(rb'["\\]')
"""What counts in JSON between the elements of a list, inside of an element, and inside of a string.

Strings without escapes, and in an element objects and lists without others, are taken whole: it is faster.
"""
LINE_ENDS = re.compile(r"\s*[\r\n]\s*")


class JsonArrayRows(JsonRows):
    """The rows of a json file; the whole of a row is the text of its object, in one line.

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
    """Whether a json file holds a list; if not, it should have an object on each line.

    Raises InputError where it is one object over many lines.
    """
    head = source.open_unpacked().read(CHUNK_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip(BLANK)
    if head.startswith(b"{") and not head.splitlines()[0].rstrip().endswith(b"}") and b"\n" in head:
        raise InputError(
            f"{source.path} holds one JSON object; expected a list of objects, [{{...}}, ...], or an object "
            "on each line"
        )
    return head.startswith(b"[")


def split_array(stream: IO[bytes] | Any, source: Source) -> Iterator[str]:
    """Yield the text of each element of the list that ``stream`` holds.

    An element that is too long, or is not UTF-8, comes as a :class:`react_ray.data.lines.FlawedLine`.
    Raises InputError where the list does not end.
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
            if (chunk[place:] + stream.read(CHUNK_BYTES)).strip(BLANK):
                raise InputError(
                    f"{source.path} has more text behind the end of its list: a bracket is wrong"
                )
            return
        else:
            element.add(chunk[start:])
            start, blank = 0, blank and not chunk[start:].strip(BLANK)
    raise InputError(f"{source.path} ends inside of its list: it is not whole; make the file again")


def _marks(stream: IO[bytes] | Any) -> Iterator[tuple[bytes, int, bytes]]:
    """The bracket at each end of a list and the commas between its elements: chunk, place behind, mark.

    At the end of each chunk comes an empty mark.
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
