"""Files of SQuAD and CMRC 2018: contexts with questions inside become a row for each question."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from react_ray.data.nested_questions import is_nested
from react_ray.data.records import Rows
from react_ray.data.row import Broken, ColumnSelection
from react_ray.data.sources import open_source
from react_ray.tasks import get_task
from react_ray.tasks.columns import NO_OPTIONS

CONTEXT = "Ada lives in Paris. 她住在巴黎。"
SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": "Ada",
            "paragraphs": [
                {
                    "context": CONTEXT,
                    "qas": [
                        {"id": "1", "question": "Where?", "answers": [{"text": "Paris", "answer_start": 13}]},
                        {"id": "2", "question": "Why?", "answers": [], "is_impossible": True},
                    ],
                },
                {"context": "Bob.", "qas": [{"id": "3", "question": "Who?"}]},
            ],
        }
    ],
}
CMRC = [
    {
        "context_id": "T",
        "context_text": CONTEXT,
        "qas": [{"query_id": "4", "query_text": "哪里？", "answers": ["巴黎", "在巴黎"]}],
        "title": "x",
    }
]


def rows(path: Path) -> list[tuple[int, Any]]:
    wanted = ColumnSelection(groups=(("context", "question"),), targets=(("answers",),))
    return [(number, cells) for number, cells, _ in Rows(open_source(str(path)), wanted)]


@pytest.mark.parametrize("indent", [None, 2])
def test_every_question_of_squad_is_a_row(tmp_path, indent):
    path = tmp_path / "dev.json"
    path.write_text(json.dumps(SQUAD, indent=indent), encoding="utf-8")
    first, second, third = rows(path)
    assert first == (
        1,
        {"context": CONTEXT, "question": "Where?", "answers": {"text": ["Paris"], "answer_start": [13]}},
    )
    assert second[1]["answers"] == {"text": [], "answer_start": []}
    assert third == (3, {"context": "Bob.", "question": "Who?"}), "it is not labelled"


def test_answers_of_cmrc_are_found_in_their_context(tmp_path):
    path = tmp_path / "trial.json"
    path.write_text(json.dumps(CMRC, ensure_ascii=False, indent=1), encoding="utf-8")
    ((_, cells),) = rows(path)
    assert cells["question"] == "哪里？"
    places = zip(cells["answers"]["text"], cells["answers"]["answer_start"], strict=True)
    assert all(CONTEXT.startswith(text, start) for text, start in places)


def test_an_answer_of_cmrc_that_is_not_in_its_context_says_so(tmp_path):
    article = {"context_text": "李白写诗。", "qas": [{"query_text": "谁？", "answers": ["杜甫"]}]}
    path = tmp_path / "trial.json"
    path.write_text(json.dumps([article], ensure_ascii=False), encoding="utf-8")
    ((_, cells),) = rows(path)
    with pytest.raises(ValueError, match="answer not in the context: '杜甫'"):
        get_task("question-answering").parse(cells, NO_OPTIONS)


@pytest.mark.parametrize(
    ("answers", "spans"),
    [
        ({"text": ["Ada"], "answer_start": [0]}, [[0, 3]]),
        ({"text": [], "answer_start": []}, []),
        (None, None),
    ],
)
def test_answers_of_a_nested_file_may_be_those_of_a_flat_one(tmp_path, answers, spans):
    path = tmp_path / "dev.json"
    questions = [{"question": "Who?", "answers": answers, "is_impossible": False}, {"answers": []}]
    path.write_text(json.dumps([{"paragraphs": [{"context": "Ada sings.", "qas": questions}]}]))
    (_, cells), _ = rows(path)
    assert get_task("question-answering").parse(cells, NO_OPTIONS)["answers"] == spans


def test_an_answer_that_is_a_text_alone_is_rejected_and_not_read_as_no_answer(tmp_path):
    path = tmp_path / "dev.json"
    question = {"question": "Who?", "answers": "Ada"}
    path.write_text(json.dumps([{"paragraphs": [{"context": "Ada sings.", "qas": [question]}]}]))
    ((_, cells),) = rows(path)
    with pytest.raises(ValueError, match="wrong answers"):
        get_task("question-answering").parse(cells, NO_OPTIONS)


def test_articles_in_another_encoding_are_rejected_for_that(tmp_path):
    path = tmp_path / "trial.json"
    path.write_bytes(json.dumps(CMRC, ensure_ascii=False).encode("gb18030"))
    ((_, broken),) = rows(path)
    assert isinstance(broken, Broken)
    assert "bad encoding" in broken.reason


def test_what_is_no_article_is_broken_and_others_are_read(tmp_path):
    path = tmp_path / "bad.json"
    wrong = [{"paragraphs": [{"qas": [None]}]}, {"title": "x"}, {"paragraphs": [{"context": "c"}, 5]}]
    path.write_text(json.dumps({"data": [1, *SQUAD["data"], *wrong]}))
    first, *found = rows(path)
    assert isinstance(first[1], Broken)
    assert [number for number, _ in found] == [*range(2, 9)]
    assert [cells["context"] for _, cells in found[3:]] == [None, None, "c", None]
    assert all(cells["question"] is None for _, cells in found[3:]), "they are rejected, not dropped"


def test_other_files_are_no_questions(tmp_path):
    for content in (
        '[{"text": "a", "label": "b"}]',
        '{"text": "a"}\n{"text": "qas"}\n',
        '{"data": {"a": 1}}',
    ):
        path = tmp_path / "rows.json"
        path.write_text(content)
        assert not is_nested(open_source(str(path)))
