from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from react_ray.data.label_file import read_label_file
from react_ray.errors import InputError
from react_ray.tasks.label_names import label_name


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        (1, "1"),
        (1.0, "1"),
        ("1.0", "1"),
        (-2.0, "-2"),
        ("1.5", "1.5"),
        (True, "true"),
        ("False", "false"),
        (" sport ", "sport"),
        ("财经", "财经"),
        ("cafe\u0301", "café"),
        ("None", "None"),
    ],
)
def test_a_label_has_the_same_name_from_every_kind_of_file(cell: Any, name: str) -> None:
    assert label_name(cell) == name


@pytest.mark.parametrize("cell", [None, "", "  ", math.nan, "NaN", "nan"])
def test_a_blank_cell_is_no_label(cell: Any) -> None:
    assert label_name(cell) is None


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (["a", "b"], r"a list of labels where one is expected: \['a', 'b'\]"),
        ({"a": 1}, "a list of labels"),
        ("a\0", "bad encoding"),
        ("caf\udce9", "bad encoding"),
        ("x" * 500, "label too long: 500"),
        (b"a", "not a label: bytes"),
    ],
)
def test_what_is_no_single_name_is_refused_with_the_reason(cell: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        label_name(cell)


@settings(deadline=None)
@given(st.text(max_size=50) | st.integers() | st.booleans() | st.floats())
def test_a_name_is_stable(cell: Any) -> None:
    """What was written as a name and read again is the same name."""
    try:
        name = label_name(cell)
    except ValueError:
        return
    assert name is None or label_name(name) == name


def write(tmp_path: Path, content: str) -> str:
    path = tmp_path / "labels.yaml"
    path.write_text(content, encoding="utf-8")
    return str(path)


def test_descriptions_are_read_as_they_stand(tmp_path: Path) -> None:
    content = (
        "sport: games and\n  matches\n财经: 股市与银行\nno: refusals\n1.0: one star\n2: null\nTrue: yes\n"
    )
    assert read_label_file(write(tmp_path, content)) == {
        "sport": "games and matches",
        "财经": "股市与银行",
        "no": "refusals",
        "1": "one star",
        "2": "",
        "true": "yes",
    }


def test_a_list_of_names_has_no_descriptions(tmp_path: Path) -> None:
    assert read_label_file(write(tmp_path, "- sport\n- 2\n- yes\n")) == {"sport": "", "2": "", "yes": ""}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "expected lines of the form 'name: description'"),
        ("just words", "expected lines of the form"),
        ("a: [", "is not YAML"),
        ("a: x\na: y", "line 2: 'a' is listed twice"),
        ("- 1\n- 1.0", "class '1' is listed twice"),
        ("a: x\nb:\n  c: d", "line 3: expected one name or one description"),
        ("'': x", "a class without a name"),
    ],
)
def test_a_label_file_that_cannot_be_used_says_why(tmp_path: Path, content: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as error:
        read_label_file(write(tmp_path, content))
    assert "labels.yaml" in str(error.value)


def test_a_label_file_in_another_encoding_says_so(tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    path.write_bytes("财经: x".encode("gbk"))
    with pytest.raises(InputError, match="not YAML in UTF-8"):
        read_label_file(str(path))
