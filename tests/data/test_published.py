"""Files of CLUE are read as they are published, here in a few made rows of each layout."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from react_ray.config.settings import Columns
from react_ray.data.read import read_file
from react_ray.data.records import Rows
from react_ray.data.row import ColumnSelection
from react_ray.data.sources import open_source
from react_ray.errors import InputError
from react_ray.tasks import get_task

TNEWS = [
    {"label": "113", "label_desc": "news_world", "sentence": "两国恢复会谈", "keywords": "会谈"},
    {"label": "103", "label_desc": "news_sports", "sentence": "主队客场取胜", "keywords": ""},
]
IFLYTEK = [{"label": 8, "label_des": "公共交通", "sentence": "扫码乘坐地铁和公交", "id": 0}]
AFQMC = [{"sentence1": "怎么还款", "sentence2": "如何还钱", "label": "1"}]
CSL = [{"id": 0, "abst": "本文提出一种方法", "keyword": ["方法", "网络"], "label": "0"}]
OCNLI = [
    {"level": "easy", "sentence1": "他穿着大衣", "sentence2": "他有衣服", "label": "entailment", "id": 0},
    {"level": "hard", "sentence1": "他在走路", "sentence2": "他去上班", "label": "-", "label0": "neutral"},
]
CLUENER = [
    {
        "text": "高勇在北京见到高勇",
        "label": {"name": {"高勇": [[0, 1], [7, 8]]}, "address": {"北京": [[3, 4]]}},
    },
    {"text": "没有实体", "label": {}},
    {"text": "高勇在北京", "label": {"name": {"高勇": [[1, 2]]}}},
    {"text": "高勇在北京", "label": {"name": {"高勇": 3}}},
]
C3 = [[["男：你好。"], [{"question": "谁？", "choice": ["男", "女"], "answer": "男"}], "1-1"]]


def written(folder: Path, rows: list[Any], name: str = "train.json") -> Path:
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / name).write_text(lines, encoding="utf-8")
    return folder / name


def read(
    path: Path, task: str, labeled: bool = True, columns: Columns | None = None
) -> tuple[list[dict[str, Any]], dict[int, str]]:
    """Rows kept, and number and reason of the others."""
    source = open_source(str(path))
    batches = list(read_file(source, columns or Columns(), task=get_task(task), labeled=labeled))
    refused = {row["row"]: row["reason"] for batch in batches for row in batch.refused}
    return [row for batch in batches for row in batch.rows.to_pylist()], refused


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (TNEWS, [("两国恢复会谈", "news_world"), ("主队客场取胜", "news_sports")]),
        (IFLYTEK, [("扫码乘坐地铁和公交", "公共交通")]),
        ([{"id": 0, "sentence": "一篇", "label": "1"}], [("一篇", "1")]),
    ],
)
def test_classes_have_the_names_that_stand_beside_their_numbers(tmp_path, rows, expected):
    kept, refused = read(written(tmp_path, rows), "text-classification")
    assert [(row["text"], row["label"]) for row in kept] == expected
    assert not refused


def test_columns_that_the_user_names_are_read_as_they_are(tmp_path):
    columns = Columns(text="sentence")
    kept, _ = read(written(tmp_path, TNEWS), "text-classification", columns=columns)
    assert [(row["text"], row["label"]) for row in kept] == [("两国恢复会谈", "113"), ("主队客场取胜", "103")]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(AFQMC, ("怎么还款", "如何还钱", "1")), (CSL, ("本文提出一种方法", "方法，网络", "0"))],
)
def test_two_sentences_or_an_abstract_with_keywords_are_a_pair(tmp_path, rows, expected):
    [row], refused = read(written(tmp_path, rows), "text-pair-classification")
    assert (row["text"], row["text_pair"], row["label"]) == expected
    assert not refused


def test_a_pair_is_not_read_as_a_single_text(tmp_path):
    with pytest.raises(InputError, match="has no column 'text'"):
        read(written(tmp_path, AFQMC), "text-classification")


@pytest.mark.parametrize("rows", [OCNLI, OCNLI[::-1]])
def test_pairs_on_which_annotators_disagree_are_rejected(tmp_path, rows):
    kept, refused = read(written(tmp_path, rows), "text-pair-classification")
    assert [row["label"] for row in kept] == ["entailment"]
    assert list(refused.values()) == ["no agreed label: the annotators disagree (label '-')"]
    unlabelled, refused = read(tmp_path / "train.json", "text-pair-classification", labeled=False)
    assert (len(unlabelled), refused) == (2, {}), "labels are not read"


def test_the_original_row_keeps_its_keys(tmp_path):
    path = written(tmp_path, TNEWS)
    originals = [row for _, _, row in Rows(open_source(str(path)), ColumnSelection(groups=(("text",),)))]
    assert [json.loads(row) for row in originals] == TNEWS


def test_mentions_of_cluener_end_with_their_last_character(tmp_path):
    kept, refused = read(written(tmp_path, CLUENER), "token-classification")
    task = get_task("token-classification")
    assert [task.shown(row["tags"], row) for row in kept] == [
        "name: 高勇; address: 北京; name: 高勇",
        "no entity",
    ]
    assert refused[3] == "wrong span: '高勇' is not at [1, 2], where the text has '勇在'"
    assert refused[4].startswith("unreadable span")


def test_the_true_entities_of_a_pool_may_be_those_of_cluener(tmp_path):
    path = written(tmp_path, CLUENER[:2])
    kept, refused = read(path, "token-classification", labeled=False, columns=Columns(truth="label"))
    assert [row["truth"][:2] for row in kept] == [["B-name", "I-name"], ["O", "O"]]
    assert [row["tags"] for row in kept] == [None, None]
    assert not refused


@pytest.mark.parametrize("indent", [None, 2])
def test_multiple_choice_is_an_error_that_says_what_to_do(tmp_path, indent):
    path = tmp_path / "c3.json"
    path.write_text(json.dumps(C3, ensure_ascii=False, indent=indent), encoding="utf-8")
    with pytest.raises(InputError, match=r"multiple-choice.*write a pair of texts.*--validation"):
        read(path, "text-pair-classification")


SAMPLES = {
    "tnews_public/dev.json": "text-classification",
    "fewclue/iflytek/train_0.json": "text-classification",
    "afqmc_public/dev.json": "text-pair-classification",
    "ocnli/dev.json": "text-pair-classification",
    "fewclue/csl/train_0.json": "text-pair-classification",
    "cluener_public/train.json": "token-classification",
}


@pytest.mark.skipif("CLUE" not in os.environ, reason="the folder of CLUE's files is not named by CLUE")
@pytest.mark.parametrize(("name", "task"), SAMPLES.items())
def test_every_row_of_the_files_themselves_is_read_or_has_no_agreed_label(name, task):
    kept, refused = read(Path(os.environ["CLUE"], name), task)
    assert all(row[get_task(task).target.name] is not None for row in kept)
    assert kept
    assert {reason.split(":")[0] for reason in refused.values()} <= {"no agreed label"}
