"""csv and tsv files: separators, quotes, names of columns, and rows that do not fit the header."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from react_ray.config.settings import Columns
from react_ray.data.read import read_file
from react_ray.data.sources import find_files
from react_ray.errors import InputError
from react_ray.tasks.text_classification import TEXT_CLASSIFICATION

Read = tuple[list[tuple[str, str | None]], dict[int, str], list[str]]


def read(folder: Path, content: str | bytes, name: str = "a.csv", labeled: bool = True) -> Read:
    """Texts with labels, reasons of the rejected rows by number, and notes on the file."""
    data = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    [source] = find_files(str(folder / name))
    batches = list(read_file(source, Columns(), task=TEXT_CLASSIFICATION, labeled=labeled))
    rows = [(row["text"], row["label"]) for batch in batches for row in batch.rows.to_pylist()]
    refused = {row["row"]: row["reason"] for batch in batches for row in batch.refused}
    return rows, refused, [note for batch in batches for note in batch.notes]


ROWS = [
    ("fears for a pension", "Business"),
    ('"The race is on', "Science"),
    ("a grant to study", "Science"),
    ("prediction of fires", "Science"),
    ('a screen of 5"', "Science"),
    ("shares fell", "Business"),
    ("the team won", "Sports"),
]
"""A quote that opens a cell in the second row and one that closes it in the fifth: a class would be gone."""


def joined(separator: str, end: str = "\n") -> str:
    return end.join(separator.join(row) for row in [("text", "label"), *ROWS]) + end


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz", "a.csv", "a.csv.gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_between_tabs_a_quote_is_a_character(tmp_path: Path, name: str, end: str) -> None:
    rows, refused, notes = read(tmp_path, joined("\t", end), name)
    assert rows == ROWS
    assert refused == {}
    assert notes == ([] if "tsv" in name else ["separated by tabs"])


@pytest.mark.parametrize("separator", [",", ";", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_stray_quote_costs_its_row_and_not_those_it_swallowed(
    tmp_path: Path, separator: str, end: str
) -> None:
    rows, refused, _ = read(tmp_path, joined(separator, end))
    assert rows == [ROWS[0], *ROWS[2:]]
    assert refused == {2: "broken quotes: a quote is open for 3 more lines, which look like rows"}


STRAY = {
    "the next row": 'text,label\na b,x\n"open,x\nclosed 5",y\nc d,y\n',
    "text last": 'label,text\nx,a b\nx,"open\ny,closed 5"\ny,c d\n',
    "blank labels": 'text,label\na b,\n"open,\nc d,\nclosed 5",\ne f,\n',
    "three columns": 'id,text,label\n1,a b,x\n2,"open,x\n3,c d,y\n4,closed 5",y\n5,e f,y\n',
    "a field too many": 'text,label\na b,x\n"open,y\nc d,x\ne f,y\nclosed 5",x,y\ng h,x\n',
    "one column": 'text\na b\n"open\nc d\nclosed 5"\nhe said "no" to it\n',
    "at the end": 'text,label\na b,x\nc d,y\n"open,x',
    "before the last line": 'text,label\na b,x\n"open,y\nlast,x\n',
    "a backslash": 'text,label\na b,x\n"open \\"no\\"",y\nc d,x\n',
    "a backslash at the end of a cell": 'text,label\na b,x\n"open \\"",y\nc d,x\n"e, f",y\n',
}


@pytest.mark.parametrize("content", STRAY.values(), ids=STRAY)
def test_a_quote_without_an_end_is_rejected_and_the_rows_behind_it_are_kept(
    tmp_path: Path, content: str
) -> None:
    lines = content.strip("\n").split("\n")
    rows, refused, _ = read(tmp_path, content, labeled=False)
    opener = next(number for number, line in enumerate(lines) if '"open' in line)
    assert refused[opener].startswith("broken quotes: ")
    assert len(rows) + len(refused) == len(lines) - 1, "every line is a row of its own"
    assert all("\n" not in text for text, _ in rows)


TEXTS = {
    "prose": 'text,label\n"Dear Sir,\nplease find it, attached\nBye",x\na b,y\nc d,x\n',
    "a comma in the middle": 'text,label\n"first\nsecond, with comma\nthird",x\na b,y\n',
    "text last": 'label,text\nx,"Dear all,\nhello, you"\ny,a b\n',
    "a sentence with a comma": 'label,text\nabcdef,"Five Stars\ngreat smell, and it works"\nuvwxyz,a b\n',
    "paragraphs": 'text,label\n"first\n\n\nlast",x\na b,y\n',
    "doubled quotes": 'text,label\n"a ""b"",\nc",x\na b,y\n',
    "lines of a table": 'text,label\n"a,x\nb,y\n",x\nc d,y\n',
    "one column": 'text\n"first\nsecond, third"\nfourth\n',
    "a line end at the end": 'text,label\n"first\n",x\na b,y\n',
}


@pytest.mark.parametrize("content", TEXTS.values(), ids=TEXTS)
def test_texts_of_several_lines_are_read(tmp_path: Path, content: str) -> None:
    expected = list(csv.DictReader(io.StringIO(content, newline="")))
    rows, refused, _ = read(tmp_path, content, labeled=False)
    assert [text for text, _ in rows] == [row["text"] for row in expected]
    assert refused == {}


def test_a_cell_that_may_be_a_text_or_rows_is_named(tmp_path: Path) -> None:
    *_, notes = read(tmp_path, 'text\nfoo\n"open\nmiddle\nclose"\nbar\n', labeled=False)
    assert notes == [
        "quoted cells with line ends, each read as one text though it may be several rows: 1 (first: row 2)"
    ]


CELL = st.text(st.sampled_from('ab ,;\t"\n'), min_size=1).filter(lambda cell: cell.strip())


@given(st.lists(st.tuples(CELL, st.sampled_from(["x", "y"])), min_size=8, max_size=12))
def test_what_a_writer_of_csv_quotes_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    """Where lines inside a text look like rows, the text is rejected, never changed without a word."""
    written = io.StringIO(newline="")
    writer = csv.writer(written, quoting=csv.QUOTE_ALL)
    writer.writerows([("text", "label"), *rows])
    found, refused, _ = read(tmp_path_factory.mktemp("csv"), written.getvalue())
    assert refused or found == rows


SEPARATED = {
    "semicolons": "text;label;n\nc, d;x;0,5\n",
    "tabs": "text\tlabel\nc, d\tx\n",
    "vertical bars": "text|label\nc, d|x\n",
    "sep=": "sep=;\r\ntext;label\r\nc, d;x\r\n",
    "sep= in quotes, in capitals, behind a mark": '\ufeff"SEP=;"\ntext;label\nc, d;x\n',
    "sep= with a tab": "sep=\t\ntext\tlabel\nc, d\tx\n",
    "names in quotes": '"text";"label"\n"c, d";"x"\n',
    "a blank line first": "\n\ntext;label\nc, d;x\n",
}


@pytest.mark.parametrize("content", SEPARATED.values(), ids=SEPARATED)
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_the_separator_is_that_of_the_file(tmp_path: Path, content: str, name: str) -> None:
    rows, refused, notes = read(tmp_path, content, name)
    assert rows == [("c, d", "x")]
    assert refused == {}
    assert notes[0].startswith("separated by ")


def test_commas_in_a_tsv_file(tmp_path: Path) -> None:
    rows, _, notes = read(tmp_path, 'text,label\n"c, d",x\n', "a.tsv")
    assert (rows, notes) == ([("c, d", "x")], ["separated by commas"])


def test_a_tsv_file_with_every_name_in_quotes_has_quoted_cells(tmp_path: Path) -> None:
    rows, _, notes = read(tmp_path, '"text"\t"label"\n"say ""no"""\t"x"\n', "a.tsv")
    assert (rows, notes) == ([('say "no"', "x")], [])


def test_a_single_column_is_not_split(tmp_path: Path) -> None:
    rows, _, notes = read(tmp_path, "text\na; b; c\nd | e\n", labeled=False)
    assert ([text for text, _ in rows], notes) == (["a; b; c", "d | e"], [])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("body;label\nx;a\n", r"no column 'text' \(it has: 'body', 'label'\)"),
        ('"text,label\nx,a\ny 5",b\nz,c\n', "the header has broken quotes"),
        ("sep=;\ntext,label\n", "it has: 'text,label'"),
        ("text,label," + "x" * 500 + "\n" * 2, None),
        ("a" * 300 + "\nx\n", "it has: '" + "a" * 60 + "'"),
        ("text" + "," * 100_001 + "\n", "100,002 columns, at most 100,000"),
    ],
)
def test_a_header_that_cannot_be_used(tmp_path: Path, content: str, told: str | None) -> None:
    if told is None:
        assert read(tmp_path, content)[1] == {0: "empty file: it holds no rows"}
        return
    with pytest.raises(InputError, match=told):
        read(tmp_path, content)


def test_columns_without_a_name_and_cells_beyond_them(tmp_path: Path) -> None:
    content = ",text,label,,\n0,a,x,,\n1,b,y\n2,c,x,,,,,\n3,d,y,e,\n4,f\n5,g,x,,,,h\n"
    rows, refused, _ = read(tmp_path, content)
    assert rows == [("a", "x"), ("b", "y"), ("c", "x"), ("d", "y")]
    assert refused == {
        5: "wrong number of fields: 2 under 5 columns",
        6: "wrong number of fields: 7 under 5 columns",
    }


def test_only_a_doubled_name_that_is_needed_is_an_error(tmp_path: Path) -> None:
    assert read(tmp_path, "text,n,label,n\na,1,x,2\n")[0] == [("a", "x")]
    with pytest.raises(InputError, match="2 columns 'text'"):
        read(tmp_path, "text,n,text,label\na,1,x,2\n")


def test_bytes_that_are_not_utf8_cost_the_row_in_whichever_cell(tmp_path: Path) -> None:
    content = b"text,label,n\na,x,caf\xe9\nb\xff,y,c\nd,y,e\n"
    rows, refused, _ = read(tmp_path, content)
    assert rows == [("d", "y")]
    assert refused == dict.fromkeys((1, 2), "bad encoding: bytes that are not UTF-8")


def test_many_columns(tmp_path: Path) -> None:
    names = [*(f"c{n}" for n in range(10_000)), "text", "label"]
    content = f"{','.join(names)}\n{','.join('1' for _ in range(10_000))},a,x\n"
    assert read(tmp_path, content)[0] == [("a", "x")]
