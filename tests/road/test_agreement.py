"""What a run takes, predict takes; what one rejects, the other rejects for the same reason."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from react_ray.cli import main
from react_ray.config.settings import Columns
from react_ray.data.read import EMPTY, read_file
from react_ray.data.rejections import kind_of
from react_ray.data.sources import find_files
from react_ray.errors import InputError
from react_ray.tasks import get_task


@pytest.fixture(scope="module")
def model(word_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    AutoModelForSequenceClassification.from_pretrained(word_model, num_labels=2).save_pretrained(folder)
    AutoTokenizer.from_pretrained(word_model).save_pretrained(folder)
    return folder


def check_agreement(model: Path, folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    output, refused = folder / "out.jsonl", folder / "out.jsonl.refused.jsonl"
    for path in (output, refused):
        path.unlink(missing_ok=True)
    command = ["predict", str(model), "--input", str(folder / name), "--output", str(output), "--quiet"]
    code = main(command)
    try:
        [source] = find_files(str(folder / name))
        batches = list(read_file(source, Columns(), task=get_task("text-classification"), labeled=False))
    except InputError:
        assert code == 2
        return
    texts = [text for batch in batches for text in batch.rows["text"].to_pylist()]
    told = [(row["row"], row["reason"]) for batch in batches for row in batch.refused]
    blank = sum(kind_of(reason) == EMPTY for _, reason in told)
    if not texts and not blank:
        assert code == 2
        return
    assert code == 0
    made = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in made if row["label"] is not None] == texts
    assert sum(row["label"] is None for row in made) == blank
    listed = [json.loads(line) for line in refused.open(encoding="utf-8")] if refused.exists() else []
    assert [(row["row"], row["reason"]) for row in listed] == [
        row for row in told if kind_of(row[1]) != EMPTY
    ]
    assert not [path for path in folder.iterdir() if path.name.startswith(".")], "no work folder is left"


LINE = st.text(st.sampled_from('ab",;\t\\ é'), max_size=12)
ODD = st.sampled_from([b'"', b"\xff", b"\0", b"\r", b'a,"b\nc",d', b"a,b,,,", b"a", b"x" * 300_000, b""])


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(["text,label", "text;label", "text\tlabel,", "text", ",text,", "sep=;\ntext;n"]),
    st.lists(LINE.map(str.encode) | ODD, max_size=12),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.sampled_from(["a.csv", "a.tsv", "a.csv.gz"]),
)
def test_csv(model: Path, tmp_path: Path, header: str, lines: list[bytes], end: bytes, name: str) -> None:
    content = end.join([header.encode().replace(b"\n", end), *lines])
    check_agreement(model, tmp_path, name, gzip.compress(content) if name.endswith("gz") else content)


VALUE = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.just({})
    | st.just([{}])
)
ROW = st.dictionaries(st.sampled_from(["text", "label", "meta", "id"]), VALUE, max_size=4)
TEXT_ROW = st.text(min_size=1, max_size=9).map(lambda text: {"text": text, "meta": {}})
BROKEN = st.sampled_from(
    [b"{", b"[1]", b"7", b"\xff", b'{"text": "\xff"}', b'{"text": "\\ud83d"}', b"[" * 9999, b""]
)


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(st.lists((ROW | TEXT_ROW).map(json.dumps).map(str.encode) | BROKEN, max_size=12))
def test_jsonl(model: Path, tmp_path: Path, lines: list[bytes]) -> None:
    check_agreement(model, tmp_path, "a.jsonl", b"\n".join(lines))


COLUMNS: list[tuple[list[Any], pa.DataType]] = [
    (["a", None, "", "b"], pa.large_string()),
    ([b"a", b"\xff", None, b"c"], pa.binary()),
    ([b"a", b"\xff", None, b"c"], pa.large_binary()),
    (["a", "b", "a", None], pa.dictionary(pa.int32(), pa.string())),
    (["a", "b", "a", None], pa.string_view()),
    ([1, 2, 3, None], pa.int64()),
    ([["a"], [], None, ["b", "c"]], pa.list_(pa.string())),
    ([None] * 4, pa.null()),
]


@pytest.mark.parametrize(("values", "kind"), COLUMNS, ids=[str(kind) for _, kind in COLUMNS])
def test_parquet(model: Path, tmp_path: Path, values: list[Any], kind: pa.DataType) -> None:
    table = pa.table(
        {"text": pa.array(values, kind), "text2": values, "more": [{"a": 1}, None, {"a": 2}, None]}
    )
    written = pa.BufferOutputStream()
    pq.write_table(table, written, row_group_size=3)
    check_agreement(model, tmp_path, "a.parquet", written.getvalue().to_pybytes())


def test_a_failed_call_leaves_nothing_and_does_not_fail_again(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.csv").write_text("text\na\n")
    command = f"predict {model} --input {tmp_path}/in.csv --output {tmp_path}/o.csv".split()

    def fail(*_: object) -> None:
        raise ValueError("a fault in the program")

    with monkeypatch.context() as patch:
        patch.setattr("react_ray.pipeline.predict.column_kinds", fail)
        with pytest.raises(ValueError, match="a fault"):
            main([*command, "--quiet"])
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]
    assert main([*command, "--quiet"]) == 0


def test_an_input_that_changes_meanwhile_is_an_error(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "in.csv"
    given.write_text("text\na\nb\n")
    from react_ray.pipeline import predict

    write = predict._Read.write

    def changed(*arguments: Any) -> str:
        given.write_text("text\nb\na\n")
        return write(*arguments)

    monkeypatch.setattr(predict._Read, "write", changed)
    command = ["predict", str(model), "--input", str(given), "--output", str(tmp_path / "out.csv"), "--quiet"]
    assert main(command) == 2
    assert "changed during prediction" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]
