"""Rows of files with columns that a caller chooses, for applications on top of the package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from react_ray.data.read import SHOWN_CHARS, printable
from react_ray.data.records import Rows
from react_ray.data.row import Broken, ColumnSelection
from react_ray.data.sources import find_files

__all__ = ["FileRow", "read_rows"]


@dataclass(frozen=True)
class FileRow:
    """A row of an input file: its cells by column, or the reason why it cannot be read.

    Attributes
    ----------
    file, number
        Path of the file, and number of the row in it, from 1; 0 stands for the whole file.
    cells
        Cells by name of the column; columns that the file lacks are missing. Cells of csv are strings, those
        of other formats keep their types.
    reason
        Why the row cannot be used ("kind: details"); empty for a good row.
    text
        Start of the raw text of a row that cannot be used.

    Example
    -------
    >>> FileRow("items.csv", 1, {"item": "a", "text": "a title"}).cells["text"]
    'a title'
    """

    file: str
    number: int
    cells: Mapping[str, Any]
    reason: str = ""
    text: str = ""


def read_rows(
    address: str,
    required: Sequence[str],
    optional: Sequence[str] = (),
    renamed: Mapping[str, str] | None = None,
) -> Iterator[FileRow]:
    r"""Read csv, jsonl, json or parquet files row by row; memory does not grow with the files.

    Parameters
    ----------
    address
        File, folder or glob, local or remote.
    required, optional
        Columns to read. Every file must have the required ones; in jsonl files, a row may lack some.
    renamed
        For columns that have another name in the files, that name.

    Yields
    ------
    FileRow
        The rows in the order of files and rows; those that cannot be read have a reason.

    Raises
    ------
    InputError
        There is no file, a required column is missing, or a file as a whole cannot be read.

    Example
    -------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "items.csv"
    >>> _ = path.write_text("item,title\na,A title\n")
    >>> [dict(row.cells) for row in read_rows(str(path), ["item", "text"], renamed={"text": "title"})]
    [{'item': 'a', 'text': 'A title'}]
    """
    names = {name: (renamed or {}).get(name, name) for name in (*required, *optional)}
    selection = ColumnSelection(
        groups=(tuple(names[name] for name in required),),
        optional=tuple(names[name] for name in optional),
        flags={place: f"--column {name}=NAME" for name, place in names.items()},
    )
    for source in find_files(address):
        for number, record, _ in Rows(source, selection):
            if isinstance(record, Broken):
                shown = printable(record.text[:SHOWN_CHARS])
                yield FileRow(source.path, number, {}, printable(record.reason), shown)
                continue
            cells = {name: record[place] for name, place in names.items() if place in record}
            yield FileRow(source.path, number, cells)
