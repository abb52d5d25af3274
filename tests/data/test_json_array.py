"""Files that hold a JSON list of objects."""

from __future__ import annotations

import io
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from react_ray.config.settings import Columns
from react_ray.data import json_array
from react_ray.data.originals import column_kinds, original_of
from react_ray.data.read import read_file
from react_ray.data.row import Broken, ColumnSelection
from react_ray.data.sources import Source, find_files
from react_ray.data.tables import OutputColumns, open_output
from react_ray.errors import InputError
from react_ray.tasks.text_classification import TEXT_CLASSIFICATION

TEXT = ColumnSelection((("text",),))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


class Chunks(io.BytesIO):
    """A stream that gives a few bytes at a time."""

    def __init__(self, content: bytes, size: int):
        super().__init__(content)
        self.chunk = size

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self.chunk)


@given(st.lists(VALUES, max_size=4), st.integers(1, 9), st.sampled_from([None, 2]), st.booleans())
def test_elements_are_found_wherever_chunks_end(
    values: list[Any], size: int, indent: int | None, escaped: bool
) -> None:
    content = json.dumps(values, indent=indent, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    source = Source("a.json", "", "a.json")
    found = list(json_array.split_array(Chunks(content, size), source))
    if escaped:  # halves of emoji are no UTF-8
        assert [json.loads(element) for element in found] == values
    assert len(found) == len(values)


def read(content: str | bytes, **settings: Any) -> tuple[list[Any], dict[int, str]]:
    """Rows kept, and number and reason of the others."""
    Path("a.json").write_bytes(content.encode() if isinstance(content, str) else content)
    batches = list(read_file(find_files("a.json")[0], Columns(), task=TEXT_CLASSIFICATION, **settings))
    rows = [row for batch in batches for row in batch.rows.to_pylist()]
    return rows, {row["row"]: row["reason"] for batch in batches for row in batch.refused}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_objects_of_a_list_are_rows() -> None:
    rows, refused = read(
        '\ufeff[\n {"text": "a, [b]", "label": 1},\n\n {"label": ["x"],\n"text": "\\"c\\""}\n]\n'
    )
    assert [(row["text"], row["label"], row["row"]) for row in rows] == [("a, [b]", "1", 1), ('"c"', "x", 2)]
    assert not refused


def test_a_bad_object_is_rejected_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("react_ray.data.lines.LINE_BYTES", 200)
    long = json.dumps({"text": "x" * 300, "label": "a"}).encode()
    objects = [b'{"text": "good", "label": "a"}', b"7", b'{"text" "a"}', b"", b'{"text": "\xff"}', long]
    rows, refused = read(b"[" + b",".join([*objects, b'{"text": "last", "label": "b"}']) + b"]")
    assert [row["row"] for row in rows] == [1, 7]
    assert {row: reason.partition(":")[0] for row, reason in refused.items()} == {
        2: "not a JSON object", 3: "not JSON", 4: "not JSON", 5: "bad encoding", 6: "too long",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('[{"text": "a"}, {"text": ', "ends inside its list"),
        ('[{"text": "a"]}, {"text": "b"}]', "check its brackets"),
        ('{"data": [\n{"text": "a"}\n]}', "holds one JSON object; expected a list of objects"),
        ('[{"body": "a"}]', r"no column 'text' \(it has: 'body'\)"),
    ],
)
def test_a_file_that_is_no_whole_list_is_an_error(content: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read(content, labeled=False)


@pytest.mark.parametrize("content", ["", "[]", " [ ] "])
def test_an_empty_list_is_an_empty_file(content: str) -> None:
    assert read(content) == ([], {0: "empty file: it holds no rows"})


def test_objects_on_lines_may_be_called_json_too() -> None:
    rows, _ = read('{"text": "a"}\n{"text": "b", "label": "x"}\n')
    assert [(row["row"], row["label"]) for row in rows] == [(1, None), (2, "x")]


def test_json_files_beside_data_are_not_read(folder: Path) -> None:
    (folder / "dataset_info.json").write_text('{"a": 1}')
    assert [source.path for source in find_files(".")] == ["dataset_info.json"]
    (folder / "a.csv").write_text("text\na\n")
    assert [source.path for source in find_files(".")] == ["a.csv"]


def written(name: str, target: str, wanted: ColumnSelection = TEXT) -> str:
    """What ``predict`` writes for a file, with one answer for all rows."""
    source, path = find_files(name)[0], Path(target)
    original = original_of(source, wanted, column_kinds(source, wanted))
    with closing(open_output(path, path, OutputColumns([original]))) as output:
        output.begin(original)
        for _, cells, whole in original.rows:
            if not isinstance(cells, Broken):
                output.add(whole, "x", 0.5)
    if target.endswith(".parquet"):
        import pyarrow.parquet as pq

        return json.dumps(pq.read_table(path).to_pylist())
    return path.read_text()


def test_objects_come_back_as_they_were() -> None:
    Path("a.json").write_text('[{"text": "a",\n "label": [1,  2]}, {"n": 7, "text": "b"}]')
    assert written("a.json", "o.jsonl").splitlines() == [
        '{"text": "a", "label_given": [1,  2], "label": "x", "score": 0.5}',
        '{"n": 7, "text": "b", "label": "x", "score": 0.5}',
    ]
    assert written("a.json", "o.csv").splitlines() == [
        "text,label_given,n,label,score", 'a,"[1,  2]",,x,0.5', "b,,7,x,0.5",
    ]  # fmt: skip


def test_sentences_come_back_as_tokens_and_tags() -> None:
    Path("a.conll").write_text("Ada B-PER\nin O\n\nyes O\n")
    wanted = ColumnSelection((("tokens",),))
    expected = [{"tokens": ["Ada", "in"], "tags": ["B-PER", "O"]}, {"tokens": ["yes"], "tags": ["O"]}]
    expected = [{**row, "label": "x", "score": 0.5} for row in expected]
    assert [json.loads(line) for line in written("a.conll", "o.jsonl", wanted).splitlines()] == expected
    assert json.loads(written("a.conll", "o.parquet", wanted)) == expected
    assert (
        written("a.conll", "o.csv", wanted).splitlines()[1]
        == '"[""Ada"", ""in""]","[""B-PER"", ""O""]",x,0.5'
    )
    Path("b.conll").write_text("Ada\n")
    assert json.loads(written("b.conll", "p.jsonl", wanted)) == {
        "tokens": ["Ada"],
        "label": "x",
        "score": 0.5,
    }
