"""Labelling files: every row, column and their order are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from react_ray.cli import main
from react_ray.data.sources import filesystem_of
from react_ray.inference.classifier import Classifier
from react_ray.pipeline.predict import predict_file

TEXTS = ["goal for the team", "", 'bank, stock and "tax"', "  ", "雨 rain\nand snow 🌧"]


@pytest.fixture(scope="module")
def model(word_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained classifier: which label it gives is not the matter here."""
    folder = tmp_path_factory.mktemp("classifier")
    names = ["Wetter", "Sport", "money"]
    torch.manual_seed(0)
    classifier = AutoModelForSequenceClassification.from_pretrained(
        word_model,
        num_labels=3,
        id2label=dict(enumerate(names)),
        label2id={n: i for i, n in enumerate(names)},
    )
    classifier.save_pretrained(folder)
    AutoTokenizer.from_pretrained(word_model).save_pretrained(folder)
    return folder


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {"key": range(5), "text": TEXTS, "label": list("abcde"), "note": ["x", "", "y", "z", "w"]}
    )


def write(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix in (".jsonl", ".json"):
        frame.to_json(path, orient="records", lines=path.suffix == ".jsonl", force_ascii=False)
    else:
        frame.to_parquet(path, index=False)
    return path


def read(path: Path) -> pd.DataFrame:
    if path.suffix == ".csv":
        return pd.read_csv(path, keep_default_na=False)
    return pd.read_json(path, lines=True) if path.suffix == ".jsonl" else pd.read_parquet(path)


@pytest.mark.parametrize("source", [".csv", ".jsonl", ".json", ".parquet"])
@pytest.mark.parametrize("target", [".csv", ".jsonl", ".parquet"])
def test_rows_columns_and_order_are_kept(model: Path, tmp_path: Path, source: str, target: str) -> None:
    given = write(table(), tmp_path / f"in{source}")
    output = tmp_path / f"out{target}"
    assert main(["predict", str(model), "--input", str(given), "--output", str(output), "--quiet"]) == 0
    made = read(output)
    assert list(made.columns) == ["key", "text", "label_given", "note", "label", "score"]
    assert made["key"].astype(int).tolist() == list(range(5))
    assert made["text"].tolist() == TEXTS
    assert made["label_given"].tolist() == list("abcde")
    labelled = made["label"].isin(["Wetter", "Sport", "money"])
    assert labelled.tolist() == [True, False, True, False, True], "rows without text have no label"
    assert made.loc[labelled, "score"].astype(float).between(1 / 3, 1).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([given.name, output.name])


def test_a_long_file_is_cut_and_joined_in_order(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("react_ray.pipeline.predict.PART_ROWS", 10)
    given = write(pd.DataFrame({"text": [f"goal and rain {i}" for i in range(95)]}), tmp_path / "in.csv")
    output = tmp_path / "out.jsonl"
    assert main(["predict", str(model), "--input", str(given), "--output", str(output), "--quiet"]) == 0
    made = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in made] == [f"goal and rain {i}" for i in range(95)]


def test_secrets_in_the_address_of_the_input_are_not_written_down(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "mock:///in.csv?key=SECRET"
    with filesystem_of(address).open_output_stream("in.csv") as file:
        file.write(b"text\ngoal\nrain\nsnow\n")
    monkeypatch.setattr("react_ray.pipeline.predict.PART_ROWS", 1)
    with monkeypatch.context() as patch:
        answers, calls = Classifier.answers, iter([True, False])
        patch.setattr(
            Classifier, "answers", lambda *given, **more: answers(*given, **more) if next(calls) else 1 / 0
        )
        with pytest.raises(ZeroDivisionError):
            predict_file(str(model), address, tmp_path / "out.csv", quiet=True)
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.parent.name == "labelled" for path in kept), "so that the next call goes on"
    assert [path for path in kept if b"SECRET" in path.read_bytes()] == []
    predict_file(str(model), address, tmp_path / "out.csv", quiet=True)
    assert read(tmp_path / "out.csv")["text"].tolist() == ["goal", "rain", "snow"]
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--input", "IN", "--output", "OUT.txt"], ["OUT.txt", ".csv"]),
        (["--input", "IN", "--output", "s3://bucket/out.csv"], ["s3://bucket/out.csv", "file system"]),
        (["--input", "nowhere.csv", "--output", "OUT.csv"], ["nowhere.csv"]),
        (
            ["--input", "IN", "--output", "OUT.csv", "--text-column", "body"],
            ["body", "text", "--text-column"],
        ),
    ],
)
def test_errors_say_what_to_do(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: list[str],
) -> None:
    given = write(table(), tmp_path / "in.csv")
    places = {"IN": str(given), "OUT.csv": str(tmp_path / "OUT.csv"), "OUT.txt": str(tmp_path / "OUT.txt")}
    command = ["predict", str(model), *(places.get(word, word) for word in arguments), "--quiet"]
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"], "nothing is left behind"


def test_numbers_widen_from_part_to_part(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("react_ray.pipeline.predict.PART_ROWS", 2)
    given = tmp_path / "in.jsonl"
    rows = [{"text": "goal", "n": 1}, {"text": "rain", "n": 2}, {"text": "tax", "n": 0.5}, {"text": "win"}]
    given.write_text("\n".join(map(json.dumps, rows)))
    output = tmp_path / "out.jsonl"
    assert main(["predict", str(model), "--input", str(given), "--output", str(output), "--quiet"]) == 0
    made = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [row.get("n") for row in made] == [1, 2, 0.5, None]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"text": ["a", "list"]}], ["in.jsonl", "'text'", "not text: 1", "--column"]),
        ([{f"k{n}": n for n in range(10_001)}], ["in.jsonl", "10,000 different keys", ".jsonl"]),
        ([{"label": "a", "label_given": "b"}], ["in.jsonl", "'label'", "'label_given'", "rename"]),
    ],
)
def test_what_the_output_cannot_hold_is_named_before_the_work(
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rows: list[dict[str, Any]],
    words: list[str],
) -> None:
    def work(*_: object) -> None:
        pytest.fail("labelled before the columns were checked")

    monkeypatch.setattr("react_ray.pipeline.predict.PART_ROWS", 2)
    monkeypatch.setattr("react_ray.pipeline.predict.LabelTask.__call__", work)
    given = tmp_path / "in.jsonl"
    given.write_text("\n".join(json.dumps({"text": "goal", **row}) for row in rows))
    output = str(tmp_path / "out.csv")
    assert main(["predict", str(model), "--input", str(given), "--output", output, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words)


def test_paths_count_from_where_the_command_is_given_and_not_from_the_workers_folder(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def map_elsewhere(make: Any, items: list[dict[str, Any]], **_: object) -> None:
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / "elsewhere")
        work = make()
        for item in items:
            work(item)
        monkeypatch.chdir(tmp_path)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("react_ray.pipeline.predict.map_items", map_elsewhere)
    write(table(), tmp_path / "in.csv")
    Path("model").symlink_to(model)
    assert main(["predict", "model", "--input", "in.csv", "--output", "out.csv", "--quiet"]) == 0
    assert len(read(tmp_path / "out.csv")) == 5


def test_without_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = write(table(), tmp_path / "in.csv")
    assert main(["predict", str(tmp_path), "--input", str(given), "--output", str(tmp_path / "o.csv")]) == 2
    assert "no model found" in capsys.readouterr().err


def test_rows_that_cannot_be_read_are_listed_beside_and_the_others_are_labelled(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("react_ray.pipeline.predict.PART_ROWS", 2)
    (tmp_path / "pile").mkdir()
    given = tmp_path / "pile"
    (given / "a.csv").write_bytes(
        b'text,n\ngoal,1\nbad \xff,2\ntax,3\n"open,4\nrain,5\nshort\n\xfe,6\nwin,7\n'
    )
    (given / "b.jsonl").write_text(
        '{"text": "snow", "n": "1"}\n{"text"\n{"text": "\\ud83d", "n": "3"}\n["x"]\n'
    )
    binary = pa.table({"text": pa.array([b"team", b"caf\xe9", None]), "n": ["1", "2", "3"]})
    pq.write_table(binary, given / "c.parquet")
    (given / "d.csv").write_text("")
    command = ["predict", str(model), "--input", str(given), "--output", str(tmp_path / "out.csv"), "--quiet"]
    assert main(command) == 0
    made = read(tmp_path / "out.csv")
    assert made["text"].tolist() == ["goal", "tax", "rain", "win", "snow", "team", ""]
    assert made["n"].astype(str).tolist() == ["1", "3", "5", "7", "1", "1", "3"]
    listed = [json.loads(line) for line in (tmp_path / "out.csv.refused.jsonl").open(encoding="utf-8")]
    assert [(Path(row["file"]).name, row["row"], row["reason"].split(":")[0]) for row in listed] == [
        ("a.csv", 2, "bad encoding"), ("a.csv", 4, "broken quotes"), ("a.csv", 6, "wrong number of fields"),
        ("a.csv", 7, "bad encoding"), ("b.jsonl", 2, "not JSON"), ("b.jsonl", 3, "bad encoding"),
        ("b.jsonl", 4, "not a JSON object"), ("c.parquet", 2, "bad encoding"), ("d.csv", 0, "empty file"),
    ]  # fmt: skip
    assert {row["text"] for row in listed} >= {'"open,4', "caf\\xe9"}
    told = capsys.readouterr().out
    assert "7 rows, 1 of them without text" in told
    assert "rejected: 9 (bad encoding: 4" in told
    assert "out.csv.refused.jsonl" in told
    assert (tmp_path / "out.csv.refused.jsonl").stat().st_mode & 0o077 == 0, "it holds texts"
    write(table(), given / "a.csv")
    for name in ("b.jsonl", "c.parquet", "d.csv"):
        (given / name).unlink()
    assert main(command) == 0
    assert not (tmp_path / "out.csv.refused.jsonl").exists(), "a list of another time"


def test_formulas_are_guarded_and_long_texts_rejected_on_request(model: Path, tmp_path: Path) -> None:
    given = write(pd.DataFrame({"text": ["=goal", "rain", "a text that is too long"]}), tmp_path / "in.csv")
    output = tmp_path / "out.csv"
    command = ["predict", str(model), "--input", str(given), "--output", str(output), "--quiet"]
    assert main([*command, "--guard-formulas", "--max-chars", "10"]) == 0
    assert read(output)["text"].tolist() == ["'=goal", "rain"]
    [refused] = (tmp_path / "out.csv.refused.jsonl").read_text().splitlines()
    assert json.loads(refused)["reason"] == "too long: 23 characters, at most 10 (data.max_chars)"
    assert main(command) == 0
    assert read(output)["text"].tolist() == ["=goal", "rain", "a text that is too long"]


def test_the_separator_and_doubtful_quotes_are_named(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.csv").write_text('sep=;\ntext;n\n"Dear Sir;\nBye";1\nrain;2\n')
    command = f"predict {model} --input {tmp_path}/in.csv --output {tmp_path}/o.csv".split()
    assert main([*command, "--quiet"]) == 0
    told = capsys.readouterr().out
    assert "in.csv: separated by semicolons" in told
    assert "though it may be several rows: 1 (first: row" in told
