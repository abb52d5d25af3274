"""react_ray.read_rows: files with columns that the caller chooses."""

from __future__ import annotations

from pathlib import Path

import pytest

import react_ray


def test_rows_of_several_formats_have_the_chosen_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("item,title,price\n1,小说,9\n2,unclosed", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text('{"item": 3, "title": "x"}\nnot json\n', encoding="utf-8")
    rows = list(react_ray.read_rows(str(tmp_path), ["item", "text"], ["price"], {"text": "title"}))
    good = [(Path(row.file).name, row.number, dict(row.cells)) for row in rows if not row.reason]
    assert good == [
        ("a.csv", 1, {"item": "1", "text": "小说", "price": "9"}),
        ("b.jsonl", 1, {"item": 3, "text": "x"}),
    ]
    bad = [(Path(row.file).name, row.number) for row in rows if row.reason]
    assert bad == [("a.csv", 2), ("b.jsonl", 2)]


def test_a_missing_column_is_named_with_the_option_that_renames_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("item,title\n1,x\n", encoding="utf-8")
    with pytest.raises(react_ray.InputError, match=r"no column 'text'.*--column text=NAME"):
        list(react_ray.read_rows(str(tmp_path / "a.csv"), ["item", "text"]))
