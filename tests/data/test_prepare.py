from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from react_ray.config.settings import Columns, DataConfig
from react_ray.data.prepare import GROUP_ROWS, prepare
from react_ray.data.shards import text_id
from react_ray.data.vocabulary import ModelChoice
from react_ray.errors import InputError
from react_ray.tasks import DEFAULT_TASK
from react_ray.tasks.labels import LabelMap

ARTICLES = [f"{topic} number {n}" for n in range(20) for topic in ("match", "share")]
LABELLED = pd.DataFrame({"text": ARTICLES, "label": ["sport", "business"] * 20})


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to write inputs into, which is also the working folder; outputs go to ``out``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    return tmp_path


def run(folder: Path, **inputs: Any) -> tuple[pd.DataFrame, list[dict[str, Any]], dict[str, Any]]:
    """Rows kept, rows refused and the summary."""
    summary = prepare(DataConfig(**inputs), folder / "out", task=DEFAULT_TASK)
    assert json.loads((folder / "out" / "summary.json").read_text(encoding="utf-8")) == summary
    refused = [json.loads(line) for line in (folder / "out" / "refused.jsonl").open(encoding="utf-8")]
    return pq.read_table(folder / "out" / "rows.parquet").to_pandas(), refused, summary


def test_files_that_are_skipped_beside_others_are_named(files: Path) -> None:
    (files / "in").mkdir()
    LABELLED.head(10).to_csv("in/labels.csv", index=False)
    LABELLED[10:14].to_json("in/more.json", orient="records")
    _, _, summary = run(files, labeled="in")
    (warning,) = [line for line in summary["warnings"] if "not read" in line]
    assert "in/more.json" in warning
    assert "write .jsonl" in warning


def test_a_file_in_another_encoding_is_warned_of(files: Path) -> None:
    rows = "text,label\n早上好,a\n谢谢,a\nplain,b\n"
    (files / "labels.csv").write_bytes(rows.encode("gb18030"))
    kept, refused, summary = run(files, labeled="labels.csv")
    assert [row["row"] for row in refused] == [1]
    assert kept["text"].tolist() == ["лл", "plain"], "bytes of some Chinese words are UTF-8 too"
    assert "iconv -f GB18030" in "".join(summary["warnings"])


def test_four_inputs_become_one_table(files: Path) -> None:
    LABELLED.head(10).to_csv("labels.csv", index=False)
    pd.DataFrame({"text": ["pool a", "match number 0", "pool b"]}).to_parquet("pool.parquet")
    LABELLED[10:14].to_json("val.jsonl", orient="records", lines=True)
    pd.concat([LABELLED[14:20], LABELLED[10:12]]).to_csv("test.tsv", sep="\t", index=False)
    rows, refused, summary = run(
        files, labeled="labels.csv", unlabeled="pool.parquet", validation="val.jsonl", test="test.tsv"
    )
    assert rows.columns.tolist() == ["id", "text", "label", "part", "file", "row", "truth"]
    assert rows["part"].value_counts(sort=False).to_dict() == {
        "labeled": 10, "unlabeled": 2, "validation": 2, "test": 8,
    }  # fmt: skip
    assert rows["text"].tolist()[9:13] == ["share number 4", "pool a", "pool b", "match number 6"]
    assert rows["id"].tolist() == [text_id(text) for text in rows["text"]]
    assert rows.loc[11, ["file", "row"]].tolist() == ["pool.parquet", 3]
    assert [(row["file"], row["row"], row["reason"]) for row in refused] == [
        ("pool.parquet", 2, "also labelled: the same text is labels.csv, row 1"),
        ("val.jsonl", 1, "also in test: the same text is test.tsv, row 7"),
        ("val.jsonl", 2, "also in test: the same text is test.tsv, row 8"),
    ]
    assert refused[0]["text"] == "match number 0"
    assert summary["parts"] == {"labeled": 10, "unlabeled": 2, "validation": 2, "test": 8}
    assert summary["classes"] == {"business": 5, "sport": 5}
    assert summary["refused"] == {"also in test": 2, "also labelled": 1}
    assert summary["files"][1] == {
        "input": "unlabeled", "file": "pool.parquet", "read": 3, "rows": 2, "unused": 0, "refused": 1,
    }  # fmt: skip
    assert LabelMap.load(files / "out" / "labels.json").names == ("business", "sport")
    assert not (files / "out" / "shards").exists()


def test_one_file_with_blank_labels_is_enough(files: Path) -> None:
    table = pd.DataFrame({"text": ["股市上涨", "球队夺冠", "新片上映 🎬"], "label": ["财经", "体育", None]})
    for name, write in (("a.csv", table.to_csv), ("b.parquet", table.to_parquet)):
        write(name, index=False)
        rows, refused, _ = run(files, labeled=name)
        assert rows["text"].tolist() == table["text"].tolist()
        assert rows["part"].tolist() == ["labeled", "labeled", "unlabeled"]
        assert refused == []


def test_bad_rows_go_to_the_list_in_order_and_the_others_are_used(files: Path) -> None:
    content = b'text,label\nmatch,sport\n,sport\nshare,business\nmatch,sport\ncaf\xe9,sport\nten,"a\nb\nodd\n'
    Path("a.csv").write_bytes(content)
    rows, refused, summary = run(files, labeled="a.csv")
    assert rows["row"].tolist() == [1, 3]
    assert [(row["row"], row["reason"].split(":")[0]) for row in refused] == [
        (2, "empty text"), (4, "duplicate"), (5, "bad encoding"),
        (6, "broken quotes"), (7, "wrong number of fields"), (8, "wrong number of fields"),
    ]  # fmt: skip
    assert all(set(row) == {"file", "row", "reason", "text"} for row in refused)
    assert summary["refused"]["wrong number of fields"] == 2


def test_texts_that_differ_in_white_space_or_unicode_form_are_the_same(files: Path) -> None:
    LABELLED.head(2).to_csv("a.csv", index=False)
    texts = [
        "caf\u00e9  open\n",
        " cafe\u0301 open",
        "CAF\u00c9 open",
        "\uff12\uff10年\u3000\uff21",
        "20年 A",
        "20年 a",
    ]
    pd.DataFrame({"text": texts}).to_csv("b.csv", index=False)
    rows, refused, _ = run(files, labeled="a.csv", unlabeled="b.csv")
    assert rows["text"].tolist()[2:] == [texts[0], *texts[2:4], texts[5]]
    assert [row["row"] for row in refused] == [2, 5]


def many(count: int, classes: int) -> pd.DataFrame:
    return pd.DataFrame(
        [(f"a text about {n}", f"class {n % classes}") for n in range(count)], columns=list(LABELLED)
    )


@pytest.mark.parametrize(
    ("count", "classes", "held"), [(140, 2, False), (160, 2, True), (160, 8, True), (160, 9, False)]
)
def test_labelled_rows_are_held_back_only_when_there_are_enough(
    files: Path, count: int, classes: int, held: bool
) -> None:
    many(count, classes).to_csv("a.csv", index=False)
    rows, _, summary = run(files, labeled="a.csv")
    assert (summary["parts"]["validation"] > 0) == held
    assert sum(summary["parts"].values()) == count
    assert rows["label"].notna().all()
    assert summary["classes"] == rows[rows["part"] == "labeled"]["label"].value_counts().to_dict()


@pytest.mark.parametrize(("unlabeled", "held"), [(None, True), ("pool.parquet", False)])
def test_thresholds_of_labels_have_rows_that_the_model_does_not_know(
    files: Path, unlabeled: str | None, held: bool
) -> None:
    rows = many(160, 9).assign(labels=lambda table: [[label] for label in table["label"]])
    rows[["text", "labels"]].to_json("a.jsonl", orient="records", lines=True)
    pd.DataFrame({"text": ["another text"]}).to_parquet("pool.parquet")
    config = DataConfig(labeled="a.jsonl", unlabeled=unlabeled)
    parts = prepare(config, files / "out", task="multi-label-classification")["parts"]
    assert (parts["validation"] > 0) == held


def test_questions_on_one_context_are_all_held_back_or_none(files: Path) -> None:
    rows = [
        {"context": f"Ada {n} met Bob {n}.", "question": f"Who met, {q}?", "answer_text": "Ada"}
        for n in range(60)
        for q in range(4)
    ]
    pd.DataFrame(rows).to_csv("a.csv", index=False)
    prepare(DataConfig(labeled="a.csv"), files / "out", task="question-answering")
    found = pd.read_parquet(files / "out" / "rows.parquet")
    assert len(found) == len(found["id"].unique()) == 240
    parts = found.groupby("text")["part"].agg(set)
    assert {*map(len, parts)} == {1}
    assert {part for (part,) in parts} == {"labeled", "validation"}


def test_held_back_rows_stay_where_they_were_when_data_is_added(files: Path) -> None:
    many(160, 2).to_csv("a.csv", index=False)
    rows, _, _ = run(files, labeled="a.csv")
    first = set(rows[rows["part"] == "validation"]["text"])
    many(300, 2).to_csv("a.csv", index=False)
    rows, _, _ = run(files, labeled="a.csv")
    assert first == set(rows[rows["part"] == "validation"]["text"]) & set(many(160, 2)["text"])
    many(5, 2).assign(text=lambda t: "new " + t["text"]).to_csv("val.csv", index=False)
    assert run(files, labeled="a.csv", validation="val.csv")[2]["parts"]["validation"] == 5


def test_class_descriptions_replace_examples(files: Path) -> None:
    Path("labels.yaml").write_text("sport: games\nbusiness:\nfilm: cinema\n")
    pd.DataFrame({"text": ["some text"]}).to_csv("pool.csv", index=False)
    _, _, summary = run(files, unlabeled="pool.csv", labels="labels.yaml")
    assert summary["classes"] == {"business": 0, "film": 0, "sport": 0}
    assert LabelMap.load(files / "out" / "labels.json").descriptions["sport"] == "games"
    LABELLED.assign(label=LABELLED["label"].replace("sport", "sprot")).to_csv("a.csv", index=False)
    _, refused, _ = run(files, labeled="a.csv", unlabeled="pool.csv", labels="labels.yaml")
    assert {row["reason"] for row in refused} == {"unknown label: sprot is not in the --labels file"}


def test_the_truth_is_carried_along_and_must_be_somewhere(files: Path) -> None:
    LABELLED.head(4).to_csv("a.csv", index=False)
    pd.DataFrame({"text": ["p", "q"], "label": ["sport", None]}).to_csv("pool.csv", index=False)
    rows, _, _ = run(files, labeled="a.csv", unlabeled="pool.csv", columns=Columns(truth="label"))
    assert rows.loc[4:, "truth"].fillna("-").tolist() == ["sport", "-"]
    assert rows.loc[4:, "label"].isna().all()
    with pytest.raises(InputError, match="no row has a value in the column 'real' that --truth-column names"):
        run(files, labeled="a.csv", unlabeled="pool.csv", columns=Columns(truth="real"))


def test_row_groups_are_even_and_the_output_is_always_the_same(files: Path) -> None:
    LABELLED.to_csv("a.csv", index=False)
    (files / "pool").mkdir()
    for part in range(3):
        texts = [f"{part} {n} 涨" for n in range(3000)] + ["same"]
        pd.DataFrame({"text": texts}).to_csv(f"pool/{part}.csv.gz", index=False)
    states = []
    for _ in range(2):
        _, _, summary = run(files, labeled="a.csv", unlabeled="pool/*.csv.gz")
        content = [
            (files / "out" / name).read_bytes() for name in ("rows.parquet", "refused.jsonl", "summary.json")
        ]
        states.append([hashlib.sha256(c).hexdigest() for c in content])
    assert states[0] == states[1]
    assert summary["parts"]["unlabeled"] == 9001
    groups = pq.ParquetFile(files / "out" / "rows.parquet").metadata
    sizes = [groups.row_group(g).num_rows for g in range(groups.num_row_groups)]
    assert sizes[:-1] == [GROUP_ROWS] * 4
    assert sizes[-1] == 9041 - 4 * GROUP_ROWS


def test_files_can_be_read_in_any_order_and_a_kill_loses_only_the_one_at_hand(files: Path) -> None:
    LABELLED.to_csv("a.csv", index=False)
    (files / "pool").mkdir()
    for part in range(3):
        pd.DataFrame({"text": [f"{part} {n}" for n in range(5)]}).to_json(
            f"pool/{part}.jsonl", orient="records", lines=True
        )
    inputs = {"labeled": "a.csv", "unlabeled": "pool"}
    expected, _, _ = run(files, **inputs)
    done: list[str] = []

    def killed(make: Callable[[], Any], items: Sequence[dict[str, Any]]) -> int:
        read = make()
        for item in reversed(items):
            if len(done) == 2:
                raise KeyboardInterrupt
            done.append(item["source"]["path"])
            read(item)
        return 0

    def rest(make: Callable[[], Any], items: Sequence[dict[str, Any]]) -> int:
        done.extend(item["source"]["path"] for item in items)
        return sum(map(make(), items))

    config = DataConfig(**inputs)
    with pytest.raises(KeyboardInterrupt):
        prepare(config, files / "out", task=DEFAULT_TASK, run=killed)
    prepare(config, files / "out", task=DEFAULT_TASK, run=rest)
    assert done == ["pool/2.jsonl", "pool/1.jsonl", "a.csv", "pool/0.jsonl"]
    pd.testing.assert_frame_equal(pq.read_table(files / "out" / "rows.parquet").to_pandas(), expected)


def test_all_unusable_files_are_named_and_can_be_mended(files: Path) -> None:
    Path("a.csv").write_text("text,topic\nx,a\n")
    Path("pool.csv").write_bytes("text\nx\n".encode("utf-16"))
    with pytest.raises(InputError) as error:
        run(files, labeled="a.csv", unlabeled="pool.csv")
    told = str(error.value).splitlines()
    assert told[0].startswith("--labeled a.csv has no column 'label'")
    assert told[1].startswith("--unlabeled pool.csv is UTF-16")
    Path("pool.csv").write_text("text\nx\n")
    LABELLED.to_csv("a.csv", index=False)
    run(files, labeled="a.csv", unlabeled="pool.csv")


def test_an_empty_file_beside_good_ones_is_only_noted(files: Path) -> None:
    (files / "data").mkdir()
    LABELLED.to_csv("data/a.csv", index=False)
    Path("data/b.csv").write_text("")
    _, refused, _ = run(files, labeled="data")
    assert [(row["file"], row["row"], row["reason"]) for row in refused] == [
        ("data/b.csv", 0, "empty file: it holds no rows")
    ]
    with pytest.raises(
        InputError, match=r"--labeled: none of its rows is usable(.|\n)*empty file.*data/b.csv"
    ):
        run(files, labeled="data/b.csv")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("text,label\nmatch,sport\nother match,sport\n", "only one class, 'sport'"),
        ("text,label\nmatch,\n", "no row has a label"),
        (
            "text,label\nmatch,sport\nshare,business\n,film\n",
            "the class 'film' has neither a usable row nor a name",
        ),
        ("text,label\n,sport\n,business\n", "none of its rows is usable"),
    ],
)
def test_data_that_cannot_be_learned_from_is_an_error(files: Path, content: str, told: str) -> None:
    Path("a.csv").write_text(content)
    with pytest.raises(InputError, match=told):
        run(files, labeled="a.csv")


def test_one_row_a_class_is_enough(files: Path) -> None:
    Path("a.csv").write_text("text,label\nmatch,sport\nshare,business\n")
    assert run(files, labeled="a.csv")[2]["classes"] == {"business": 1, "sport": 1}


def test_models_that_cannot_read_the_texts_are_named(
    files: Path, tiny_model: Path, tiny_chinese_model: Path
) -> None:
    table = pd.DataFrame({"text": ["股市上涨", "比赛球队"], "label": ["财经", "体育"]})
    table.to_csv("a.csv", index=False)
    config = DataConfig(labeled="a.csv")
    chosen = ModelChoice("--model", (str(tiny_chinese_model),))
    prepare(config, files / "out", task=DEFAULT_TASK, models=[chosen])
    with pytest.raises(InputError, match=r"--encoder .* cannot read these texts"):
        prepare(
            config,
            files / "out",
            task=DEFAULT_TASK,
            models=[chosen, ModelChoice("--encoder", (str(tiny_model),))],
        )


def test_of_a_large_pile_the_same_rows_are_used_whatever_else_is_there(files: Path) -> None:
    LABELLED.head(4).to_csv("labels.csv", index=False)
    pile = pd.DataFrame({"text": [f"text {n}" for n in range(300)]})

    def used(rows: pd.DataFrame, pool: int) -> tuple[list[str], int]:
        rows.to_csv("pile.csv", index=False)
        kept, refused, summary = run(files, labeled="labels.csv", unlabeled="pile.csv", pool=pool)
        assert not refused
        assert summary["parts"]["labeled"] == 4
        texts = kept.loc[kept["part"] == "unlabeled", "text"].tolist()
        assert len(texts) == summary["parts"]["unlabeled"]
        return texts, summary["unused"]

    some, unused = used(pile, 100)
    assert (len(some), unused) == (100, 200)
    assert some == [text for text in pile["text"] if text in set(some)], "in their order"
    assert 20 <= sum(text in set(pile["text"][:100]) for text in some) <= 50, "drawn from everywhere"
    fewer, _ = used(pile, 40)
    assert set(fewer) < set(some)
    half, _ = used(pile[:150], 100)
    assert {text for text in some if text in set(pile["text"][:150])} <= set(half)
    assert used(pile, 300) == (pile["text"].tolist(), 0)
    assert used(pile, 0) == ([], 300)
