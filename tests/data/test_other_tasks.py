"""Rows of tasks whose target is not one label: what is read, compared, split and kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from react_ray import tasks
from react_ray.config.settings import AugmentConfig, Columns, Config, DataConfig
from react_ray.data.augment import augment_table
from react_ray.data.check import label_warnings
from react_ray.data.columns import check_columns
from react_ray.data.prepare import prepare
from react_ray.data.read import read_file
from react_ray.data.rejections import RejectedRows
from react_ray.data.shards import row_id, text_id
from react_ray.data.sources import find_files
from react_ray.errors import ConfigError, InputError
from react_ray.pipeline.run import located
from react_ray.tasks import get_task
from react_ray.tasks.annotations import read_annotation
from react_ray.tasks.columns import Column, Options
from react_ray.tasks.label_names import label_name
from react_ray.tasks.tagging import find_scheme
from react_ray.tasks.text_classification import TextClassification

STRINGS = pa.list_(pa.string())


class Topics(TextClassification):
    """Any number of labels for a text."""

    name = "topics"
    title = "topics of texts"
    columns = (Column("text", "text"), Column("labels", "labels", target=True))
    target = pa.field("labels", STRINGS)
    fewest_classes = 1

    def parse(self, cells: Mapping[str, Any], options: Options) -> dict[str, Any]:
        if options.label_columns and options.label_columns[0] in cells:
            return {"text": cells["text"], "labels": [n for n in options.label_columns if cells[n] == "1"]}
        value = cells.get("labels")
        if isinstance(value, str):
            value = value.split(options.separator) if options.separator and value else value or None
        if value is not None and not isinstance(value, list):
            raise ValueError(f"not a list of labels: {value!r}")
        return {"text": cells["text"], "labels": value and sorted(filter(None, map(label_name, value)))}

    def names_in(self, target: Sequence[str]) -> list[str]:
        return list(target)

    def shown(self, target: Sequence[str]) -> str:
        return ", ".join(target) or "none"


class Answers(TextClassification):
    """A question about a context."""

    name = "answers"
    title = "answers"
    columns = (Column("text", "text"), Column("context", "text"), Column("answer", "text", target=True))
    needs = (("text", "context"),)
    inputs = (pa.field("text", pa.string()), pa.field("context", pa.string()))
    target = pa.field("answer", pa.string())
    fewest_classes = 0

    def parse(self, cells: Mapping[str, Any], options: Options) -> dict[str, Any]:
        return {
            "text": cells["text"],
            "context": cells.get("context"),
            "answer": cells.get("answer") or None,
        }

    def names_in(self, target: str) -> list[str]:
        return []

    def augment(
        self, row: dict[str, Any], config: AugmentConfig, seed: int, known: Any = None
    ) -> list[dict[str, Any]]:
        return [{**row, "context": row["context"] + "!" * n} for n in range(1, config.copies + 1)]


class Entities(TextClassification):
    """Entities among the words of a text."""

    name = "entities"
    title = "entities"
    columns = (
        Column("text", "text"),
        Column("tokens", "tokens"),
        Column("data", "text"),
        Column("tags", "tags", target=True),
        Column("spans", "spans", target=True),
        Column("annotations", "spans", target=True),
    )
    needs: ClassVar = (("text",), ("tokens",), ("data",))
    inputs = (pa.field("text", pa.string()), pa.field("tokens", STRINGS))
    target = pa.field(
        "entities", pa.list_(pa.struct([("start", pa.int64()), ("end", pa.int64()), ("label", pa.string())]))
    )
    fewest_classes = 1

    def detect(self, sample: Sequence[Mapping[str, Any]], options: Options) -> Options:
        tags = [cells["tags"] for cells in sample if cells.get("tags")]
        return replace(options, scheme=find_scheme(tags)) if tags and not options.scheme else options

    def parse(self, cells: Mapping[str, Any], options: Options) -> dict[str, Any]:
        words, spans = read_annotation(cells, options.scheme or "BIO")
        entities = None if spans is None else [span._asdict() for span in spans]
        return {"text": words.text, "tokens": words.words(), "entities": entities}

    def names_in(self, target: Sequence[Mapping[str, Any]]) -> list[str]:
        return [entity["label"] for entity in target]


TASKS = {task.name: task for task in (Topics(), Answers(), Entities())}


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(tasks, "_REGISTRY", {})  # what is registered here is known here alone
    for task in TASKS.values():
        tasks.register(task)
    return tmp_path


def run(task: str, **inputs: Any) -> tuple[pd.DataFrame, dict[int, str], dict[str, Any]]:
    """Rows kept, reasons of the others by row, and the summary."""
    summary = prepare(DataConfig(**inputs), Path("out"), task=task)
    refused = [json.loads(line) for line in Path("out", "refused.jsonl").read_text("utf-8").splitlines()]
    rows = pq.read_table("out/rows.parquet").to_pandas()
    return rows, {row["row"]: row["reason"] for row in refused}, summary


def write(name: str, *rows: Mapping[str, Any]) -> str:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return name


def read(
    task: str, name: str, columns: Columns | None = None, **settings: Any
) -> tuple[list[Any], list[Any]]:
    """Rows kept and rows refused of one file."""
    batches = list(read_file(find_files(name)[0], columns or Columns(), task=TASKS[task], **settings))
    return (
        [row for batch in batches for row in batch.rows.to_pylist()],
        [row for batch in batches for row in batch.refused],
    )


def test_a_list_is_a_target_an_empty_one_too_and_a_blank_cell_is_none() -> None:
    write("a.jsonl", {"text": "a", "labels": ["y", "x"]}, {"text": "b", "labels": []}, {"text": "c"})
    rows, refused, summary = run("topics", labeled="a.jsonl")
    assert rows.columns.tolist() == ["id", "text", "labels", "part", "file", "row", "truth"]
    assert rows["part"].tolist() == ["labeled", "labeled", "unlabeled"]
    assert [None if row is None else list(row) for row in rows["labels"]] == [["x", "y"], [], None]
    assert not refused
    assert summary["classes"] == {"x": 1, "y": 1}
    assert rows["id"].tolist() == [text_id(text) for text in "abc"]


def test_targets_are_compared_as_wholes() -> None:
    rows = [
        {"text": "a", "labels": ["y", "x"]},
        {"text": "a", "labels": ["x", "y"]},
        {"text": "b", "labels": ["x"]},
        {"text": "b", "labels": []},
    ]
    write("a.jsonl", *rows)
    _, refused, _ = run("topics", labeled="a.jsonl")
    clash = "two targets: the same text is labelled x and none"
    assert refused == {2: "duplicate: the same text is a.jsonl, row 1", 3: clash, 4: clash}


def test_names_of_targets_must_be_known() -> None:
    write("a.jsonl", {"text": "a", "labels": ["x", "Y"]}, {"text": "b", "labels": ["x", "y"]})
    write("t.jsonl", {"text": "c", "labels": ["x"]}, {"text": "d", "labels": ["x", "z"]}, {"text": "e"})
    _, refused, summary = run("topics", labeled="a.jsonl", test="t.jsonl")
    assert refused[2] == "unknown label: z has neither a labelled row nor a name in a --labels file"
    assert refused[3] == "no label: a test row needs one"
    assert any("'Y' (1 row)" in warning for warning in summary["warnings"])
    Path("labels.yaml").write_text("[x, y, z]")
    _, refused, summary = run("topics", labeled="a.jsonl", test="t.jsonl", labels="labels.yaml")
    assert refused == {1: "unknown label: Y is not in the --labels file", 3: "no label: a test row needs one"}
    assert summary["classes"] == {"x": 1, "y": 1, "z": 0}


def test_a_class_that_is_lost_with_rejected_rows_is_named() -> None:
    write("a.jsonl", {"text": "a", "labels": ["x"]}, {"text": "", "labels": ["x", "gone"]})
    with pytest.raises(InputError, match="the class 'gone' has neither a usable row nor a name"):
        run("topics", labeled="a.jsonl")


def test_every_class_of_enough_rows_is_held_back_too() -> None:
    rows = [
        {"text": f"text {n}", "labels": ["common", *(["rare"] if n % 40 == 0 else [])]} for n in range(400)
    ]
    write("a.jsonl", *rows, *({"text": f"none {n}", "labels": []} for n in range(5)))
    table, _, summary = run("topics", labeled="a.jsonl", validation_fraction=0.1)
    assert 30 <= summary["parts"]["validation"] <= 60
    for part in ("labeled", "validation"):
        held = [set(labels) for labels in table.loc[table["part"] == part, "labels"]]
        assert any("rare" in names for names in held)
        assert any(not names for names in held)


def test_separators_and_columns_of_ones_and_zeros_reach_the_task() -> None:
    Path("a.csv").write_text("text,labels\na,x;y\nb,\n")
    rows, _ = read("topics", "a.csv", options=Options(separator=";"))
    assert [row["labels"] for row in rows] == [["x", "y"], None]
    Path("b.csv").write_text("text,x,y\na,1,1\nb,0,0\n")
    rows, _ = read("topics", "b.csv", options=Options(label_columns=("x", "y")))
    assert [row["labels"] for row in rows] == [["x", "y"], []]
    with pytest.raises(InputError, match=r"no column 'z' .*name it with --label-columns"):
        read("topics", "b.csv", options=Options(label_columns=("x", "z")))


@pytest.mark.parametrize("separator", ["|", "; ", ",", "、"])
def test_labels_that_look_like_several_are_a_warning_that_names_the_separator(separator: str) -> None:
    names = ["joy", "love", f"joy{separator}love", f"love{separator}rage", f"joy{separator}rage"]
    counts = dict.fromkeys(names, 2)
    several = get_task("multi-label-classification")
    warnings = label_warnings(counts, {}, RejectedRows(), several)
    assert len(warnings) == 1
    assert "3 of 5 labels contain" in warnings[0]
    assert f"--separator '{separator.strip()}'" in warnings[0]
    assert not label_warnings(counts, {}, RejectedRows(), get_task("text-classification"))
    plain = dict.fromkeys(["Research, development", "Sales, marketing", "Law"], 2)
    assert not label_warnings(plain, {}, RejectedRows(), several)


@pytest.mark.parametrize("setting", [{"separator": "|"}, {"label_columns": ("a", "b")}, {"scheme": "IOB1"}])
def test_settings_of_other_tasks_are_an_error(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"data.{next(iter(setting))} = .*text classification has no"):
        check_columns(get_task("text-classification"), DataConfig(**setting))
    other = "token-classification" if "scheme" in setting else "multi-label-classification"
    check_columns(get_task(other), DataConfig(**setting))


def test_the_text_of_label_studio_has_the_name_of_the_setting(tmp_path: Path) -> None:
    value = {"start": 0, "end": 3, "labels": ["PER"]}
    row = {"data": {"sentence": "Ada", "note": "x"}, "annotations": [{"result": [{"value": value}]}]}
    (tmp_path / "rows.json").write_text(json.dumps([row]))
    source = find_files(str(tmp_path / "rows.json"))[0]
    task = get_task("token-classification")
    batch = next(read_file(source, Columns(text="sentence"), task=task))
    assert batch.rows.select(["text", "tags"]).to_pylist() == [{"text": "Ada", "tags": ["B-PER"]}]


@pytest.mark.parametrize("tab", ["\t", " "])
def test_numbers_before_the_tokens_are_skipped(tmp_path: Path, tab: str) -> None:
    lines = ["1 EU B-ORG", "2 acts O", "", "1 Ada B-PER", ""]
    (tmp_path / "rows.conll").write_text("\n".join(lines).replace(" ", tab))
    source = find_files(str(tmp_path / "rows.conll"))[0]
    *_, batch = read_file(source, Columns(), task=get_task("token-classification"))
    assert batch.rows["text"].to_pylist() == ["EU acts", "Ada"]
    assert any("numbers the tokens" in note for note in batch.notes)


def test_the_scheme_is_detected_where_entities_are_late(tmp_path: Path) -> None:
    (tmp_path / "rows.conll").write_text("x O\n\n" * 1500 + "Ada I-PER\nL I-PER\n")
    source = find_files(str(tmp_path / "rows.conll"))[0]
    batches = list(read_file(source, Columns(), task=get_task("token-classification")))
    assert not any(batch.refused for batch in batches)


def test_a_blank_token_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.conll").write_text("高\tB-PER\n \tO\n在\tO\n\n我\tO\n")
    source = find_files(str(tmp_path / "rows.conll"))[0]
    batch = next(read_file(source, Columns(), task=get_task("token-classification")))
    assert [row["reason"] for row in batch.refused] == [
        "empty token: line 2 has a blank token or tag; delete the line"
    ]
    assert batch.rows["text"].to_pylist() == ["我"]


def test_the_truth_has_the_type_of_the_target() -> None:
    write(
        "pool.jsonl", {"text": "a", "real": ["x"], "labels": ["y"]}, {"text": "b"}, {"text": "c", "real": 7}
    )
    rows, refused = read("topics", "pool.jsonl", Columns(truth="real"), labeled=False)
    assert [(row["labels"], row["truth"]) for row in rows] == [(None, ["x"]), (None, None)]
    assert refused[0]["reason"] == "not a list of labels: 7"


def test_rows_of_several_inputs_are_one_row_where_all_are_the_same() -> None:
    rows = [("q", "c", "a"), ("q", "d", "b"), (" q", "c ", "a"), ("q", "", "a"), ("", "c", "a")]
    write("a.jsonl", *(dict(zip(("text", "context", "answer"), row, strict=True)) for row in rows))
    table, refused, summary = run("answers", labeled="a.jsonl")
    assert table[["text", "context", "answer"]].values.tolist() == [["q", "c", "a"], ["q", "d", "b"]]
    assert refused == {3: "duplicate: the same text is a.jsonl, row 1", 4: "empty text", 5: "empty text"}
    assert summary["classes"] == {}
    assert table["id"][0] == row_id(TASKS["answers"], {"text": "q", "context": "c"})
    assert table["id"].nunique() == 2


def test_needed_columns_are_named_with_the_option_that_renames_them() -> None:
    Path("a.csv").write_text("text,paragraph,answer\nq,c,a\n")
    with pytest.raises(InputError, match=r"no column 'context' .*--column context=NAME"):
        read("answers", "a.csv")
    rows, _ = read("answers", "a.csv", Columns(context="paragraph"))
    assert rows[0]["context"] == "c"
    Path("b.csv").write_text("body,tags\nq,c\n")
    with pytest.raises(
        InputError, match=r"no column 'text' or 'tokens' or 'data' \(it has: 'body', 'tags'\)"
    ):
        read("entities", "b.csv")
    Path("b.csv").write_text("text,other\nq,c\n")
    with pytest.raises(InputError, match=r"no column 'tags' or 'spans' or 'annotations' \(it has"):
        read("entities", "b.csv")


def test_settings_name_columns_that_the_task_has() -> None:
    check_columns(TASKS["answers"], DataConfig(columns=Columns(context="c", truth="t")))
    with pytest.raises(
        ConfigError, match=r"data.columns.cntxt = 'c': answers has no column 'cntxt'; its.*text"
    ):
        check_columns(TASKS["answers"], DataConfig(columns=Columns(cntxt="c")))
    with pytest.raises(ConfigError, match=r"text and data.columns.context both name the column 'text'"):
        check_columns(TASKS["answers"], DataConfig(columns=Columns(context="text")))
    with pytest.raises(ConfigError, match=r"task = 'nothing': unknown task; expected one of .*text-class"):
        located(Config(task="nothing", data=DataConfig(labeled="a.csv")))
    with pytest.raises(ConfigError, match="no column 'context'"):
        located(Config(data=DataConfig(labeled="a.csv", columns=Columns(context="c"))))


def test_copies_have_the_columns_of_the_task() -> None:
    row = {"id": ["1"], "text": ["q"], "context": ["c"], "answer": ["a"]}
    copies = augment_table(pa.table(row), AugmentConfig(copies=2), 0, TASKS["answers"]).to_pylist()
    assert [copy["context"] for copy in copies] == ["c!", "c!!"]
    assert {(copy["copy_of"], copy["text"], copy["answer"]) for copy in copies} == {("1", "q", "a")}
    assert copies[0]["id"] == row_id(TASKS["answers"], copies[0])


SCHEMES = {
    "BIO": "B-PER I-PER O B-LOC B-LOC",
    "IOB1": "I-PER I-PER O I-LOC B-LOC",
    "BIOES": "B-PER E-PER O S-LOC S-LOC",
}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("ending", ["conll", "bio", "iob2", "txt", "conll.gz"])
def test_conll_files_of_every_scheme_give_the_same_rows(scheme: str, ending: str) -> None:
    import gzip

    lines = [
        f"{word} NNP {tag}"
        for word, tag in zip(["Ada", "Lovelace", "in", "Rome", "Oslo"], SCHEMES[scheme].split(), strict=True)
    ]
    content = "-DOCSTART- -X- O\n\n# a comment\n" + "\n".join(lines) + "\n\nno NN O\n# NN O\n"
    path = Path(f"a.{ending}")
    path.write_bytes(gzip.compress(content.encode()) if ending.endswith("gz") else content.encode())
    rows, refused = read("entities", str(path))
    assert not refused
    assert [row["row"] for row in rows] == [4, 10]
    assert rows[0]["tokens"] == ["Ada", "Lovelace", "in", "Rome", "Oslo"]
    assert [tuple(entity.values()) for entity in rows[0]["entities"]] == [
        (0, 2, "PER"), (3, 4, "LOC"), (4, 5, "LOC"),
    ]  # fmt: skip
    assert (rows[1]["tokens"], rows[1]["entities"]) == (["no", "#"], [])
    notes = list(read_file(find_files(str(path))[0], Columns(), task=TASKS["entities"]))[-1].notes
    assert notes == [f"read with scheme {scheme} (detected in its first rows)"]


def test_a_wrong_line_costs_its_sentence_alone() -> None:
    content = (
        "good O\n\nAda B-PER\nLovelace\nhere O\n\ncaf\udce9 O\n\nx I-PER\n\nbare\tO\n\t O\n\nlast\tO\r\n"
    )
    Path("a.conll").write_bytes(content.encode("utf-8", "surrogateescape"))
    rows, refused = read("entities", "a.conll", options=Options(scheme="BIO"))
    assert [(row["row"], row["tokens"]) for row in rows] == [(1, ["good"]), (14, ["last"])]
    assert [(row["row"], row["reason"]) for row in refused] == [
        (3, "wrong number of fields: 1 in line 4 and 2 before"),
        (7, "bad encoding: bytes that are not UTF-8, in line 7"),
        (9, "impossible tags: 'I-PER' at token 0 follows no B-PER; data.scheme sets the tagging scheme"),
        (11, "empty token: line 12 has a blank token or tag; delete the line"),
    ]


def test_conll_files_without_tags_are_unlabelled_and_other_tasks_do_not_read_them() -> None:
    Path("a.conll").write_text("Ada\nin\nRome\n\nyes\n")
    rows, _ = read("entities", "a.conll", labeled=False)
    assert [(row["text"], row["entities"]) for row in rows] == [("Ada in Rome", None), ("yes", None)]
    with pytest.raises(InputError, match="no column 'tags'"):
        read("entities", "a.conll")
    with pytest.raises(InputError, match="topics of texts does not read files of tokens and tags"):
        read("topics", "a.conll")


def test_label_studio_s_export_is_a_list_of_objects() -> None:
    result = {"value": {"start": 7, "end": 12, "labels": ["LOC"]}}
    export = [
        {"id": 1, "data": {"text": "Ada in Paris"}, "annotations": [{"result": [result]}]},
        {"id": 2, "data": {"text": "nobody"}, "annotations": [{"result": []}]},
        {"id": 3, "data": {"text": "not yet"}, "annotations": []},
    ]
    Path("export.json").write_text(json.dumps(export, indent=2))
    rows, refused = read("entities", "export.json")
    assert not refused
    assert [row["text"] for row in rows] == ["Ada in Paris", "nobody", "not yet"]
    assert [row["entities"] for row in rows] == [[{"start": 2, "end": 3, "label": "LOC"}], [], None]


def test_the_truth_of_unlabelled_rows_is_read_as_it_is_written() -> None:
    tokens = tasks.get_task("token-classification")
    write("bioes.jsonl", {"tokens": ["Ada", "in", "Rome"], "gold": ["S-PER", "O", "S-LOC"]})
    batches = list(read_file(find_files("bioes.jsonl")[0], Columns(truth="gold"), task=tokens, labeled=False))
    (row,) = [row for batch in batches for row in batch.rows.to_pylist()]
    assert (row["tags"], row["truth"]) == (None, ["B-PER", "O", "B-LOC"])
    spans = [{"start": 0, "end": 2, "label": "NUM"}, {"start": 8, "end": 14, "label": "LOC"}]
    write("spans.jsonl", {"text": "10km to Berlin", "gold": spans})
    batches = list(read_file(find_files("spans.jsonl")[0], Columns(truth="gold"), task=tokens, labeled=False))
    (row,) = [row for batch in batches for row in batch.rows.to_pylist()]
    assert len(row["starts"]) == len(row["truth"]) == 4, "the words are those of the truth"


def test_a_text_with_other_words_is_the_same_text() -> None:
    tokens = tasks.get_task("token-classification")
    whole, cut = (
        tokens.parse({"text": "10km to Berlin", "spans": spans}, Options())
        for spans in ([], [{"start": 0, "end": 2, "label": "NUM"}])
    )
    assert whole["starts"] != cut["starts"]
    assert row_id(tokens, whole) == row_id(tokens, cut) == text_id("10km to Berlin")
