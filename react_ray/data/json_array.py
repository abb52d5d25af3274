"""Rows of json files: a list of objects, as annotation tools export them."""

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
OUTSIDE, INSIDE = re.compile(rb'["\[\]{},]'), re.compile(rb'["\\]')
"""Characters of JSON that count outside of a string, and inside of one."""
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
    element, depth, string, escaped = Unfinished("an object"), 0, False, False
    chunk = stream.read(CHUNK_BYTES).removeprefix(b"\xef\xbb\xbf")
    blank = True  # whether the element at hand has only white space
    while chunk:
        start = place = 0
        if escaped:
            place, escaped = 1, False
        while match := (INSIDE if string else OUTSIDE).search(chunk, place):
            place, mark = match.end(), match[0]
            if string:
                string = mark == b"\\"
                if string and place == len(chunk):
                    escaped = True
                place += string
                continue
            string = mark == b'"'
            if mark in b"[{":
                depth += 1
                start = place if depth == 1 else start
            elif mark in b"]}":
                depth -= 1
            if (depth == 0 and mark in b"]}") or (depth == 1 and mark == b","):
                piece = chunk[start : place - 1]
                if not (blank and not piece.strip(BLANK) and depth == 0):
                    yield element.end(piece)
                start, blank, element = place, True, Unfinished("an object")
            if depth <= 0 and mark in b"]}":
                if (chunk[place:] + stream.read(CHUNK_BYTES)).strip(BLANK):
                    raise InputError(
                        f"{source.path} has more text behind the end of its list: a bracket is wrong"
                    )
                return
        if depth:
            blank = blank and not chunk[start:].strip(BLANK)
            element.add(chunk[start:])
        chunk = stream.read(CHUNK_BYTES)
    raise InputError(f"{source.path} ends inside of its list: it is not whole; make the file again")
