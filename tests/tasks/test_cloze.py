"""Cloze questions, and the spans that they ask for."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from react_ray.config.settings import Columns, DataConfig
from react_ray.data.prepare import prepare
from react_ray.data.read import read_file
from react_ray.data.sources import find_files
from react_ray.errors import InputError
from react_ray.tasks import get_task
from react_ray.tasks.answer_like import answer_like_spans
from react_ray.tasks.cloze import DROPPED, EACH, NUMBERS, OTHERS, cloze_questions, cloze_rows
from react_ray.tasks.columns import NO_OPTIONS, Options

TASK = get_task("question-answering")
CHINESE = "他的队友马里奥·爱迪生贡献了 6 次擒杀。职业碗在1998年举行。"


def spans(text: str) -> list[str]:
    return [text[start:end] for start, end in answer_like_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("In 1843 Ada Lovelace wrote it.", ["1843", "Ada Lovelace"]),
        ("The Duke of York paid 3.5 million.", ["Duke of York", "3.5 million"]),
        ("The engine broke. An engine is iron.", ["engine", "engine"]),
        ('He said "no more tears" twice.', ["no more tears"]),
        ("He left.", []),
        ("", []),
    ],
)
def test_numbers_names_quotations_and_frequent_words_look_like_answers(text, expected):
    assert spans(text) == expected


def test_chinese_spans_are_numbers_with_units_names_and_short_runs():
    found = spans(CHINESE)
    assert {"6 次", "1998年"} <= {*found}
    assert any("马里奥·爱迪生" in span for span in found)
    assert not any(word in span for span in found for word in "的在")


LONG = "In 1843 Ada Lovelace wrote about the Analytical Engine in London for Charles Babbage and others. "


@pytest.mark.parametrize("text", [CHINESE, LONG * 3, "x" * 300 + " Ada " + "y" * 300])
def test_a_cloze_question_has_words_of_the_sentence_and_a_question_word_for_the_answer(text):
    chinese = text is CHINESE
    questions = cloze_questions(text, 20)
    assert questions == cloze_questions(text, 20), "always the same"
    for question, (start, end) in questions:
        asked = (*NUMBERS[not chinese], *OTHERS[not chinese])
        words = [word for word in asked if word in question]
        assert words, question
        assert (start, end) in answer_like_spans(text)
        left = question
        for word in words:
            left = left.replace(word, "", 1)
        assert {*left} <= {*text, "?", "？", " "}


def test_numbers_are_asked_for_by_words_for_numbers():
    for question, (start, end) in cloze_questions(LONG, 20):
        numeric = LONG[start:end] == "1843"
        assert question.startswith(NUMBERS[True]) == numeric


def test_words_are_dropped_and_change_places_but_not_far():
    words = [f"w{number}" for number in range(12)]
    text = " ".join(["The Engine", *words])
    ((question, _),) = cloze_questions(text, 1)
    places = [words.index(word) for word in question.rstrip("?").split() if word in words]
    assert len(places) < len(words)
    assert places != sorted(places)
    assert all(abs(place - rank) < 12 * DROPPED + 5 for rank, place in enumerate(places))


def test_a_number_of_rows_is_shared_by_the_passages():
    passages = [f"In {year} Ada met Babbage in London and Paris." for year in range(1800, 1900)]
    assert len(cloze_rows(passages, 200)) == 200
    assert {row["text"] for row in cloze_rows(passages, 30)} == {*passages[:30]}
    assert len(cloze_rows([LONG * 5], 1000)) == EACH
    assert cloze_rows(["He left."], 10) == []
    assert cloze_rows([], 10) == []


def test_passages_are_accepted_only_where_they_are_asked_for():
    cells = {"context": "She met Ada Lovelace.", "question": ""}
    with pytest.raises(ValueError, match="blank question"):
        TASK.parse(cells, NO_OPTIONS)
    row = TASK.parse(cells, Options(passages=True))
    assert (row["question"], row["answers"]) == ("?", None), "a row of the pool"
    with pytest.raises(ValueError, match="blank question"):
        TASK.parse({**cells, "answers": [[8, 11]]}, Options(passages=True))
    with pytest.raises(ValueError, match="blank context"):
        TASK.parse({"context": " ", "question": None}, Options(passages=True))
    asked = TASK.parse({**cells, "question": "Who?"}, Options(passages=True))
    rows = pa.Table.from_pylist([row, asked], schema=pa.schema([*TASK.inputs]))
    assert TASK.complete(rows).to_pylist() == [{"text": asked["text"], "question": "Who?"}]
    made = TASK.self_supervised(rows, 100).to_pylist()
    assert {tuple(map(tuple, one["answers"])) for one in made} == {((8, 20),)}
    assert made[0]["question"].endswith("?")


@pytest.mark.parametrize("passages", [True, False])
def test_a_file_of_passages_needs_no_column_with_questions(tmp_path, passages):
    labeled = [{"context": f"Ada {n} met Bob.", "question": "who?", "answer_text": "Bob"} for n in range(4)]
    lines = "".join(f"{json.dumps(row)}\n" for row in labeled)
    (tmp_path / "labeled.jsonl").write_text(lines)
    (tmp_path / "pool.csv").write_text("context\nShe met Ada Lovelace.\n")
    config = DataConfig(
        labeled=str(tmp_path / "labeled.jsonl"), unlabeled=str(tmp_path / "pool.csv"), passages=passages
    )
    if not passages:
        with pytest.raises(InputError, match="no column 'question'"):
            prepare(config, tmp_path / "out", task=TASK.name)
        return
    prepare(config, tmp_path / "out", task=TASK.name)
    rows = pq.read_table(tmp_path / "out" / "rows.parquet").to_pylist()
    pool = [(row["text"], row["question"]) for row in rows if row["part"] == "unlabeled"]
    assert pool == [("She met Ada Lovelace.", "?")]


def test_a_blank_question_of_the_pool_names_the_setting_for_passages(tmp_path):
    (tmp_path / "pool.csv").write_text("context,question\nShe met Ada.,\n,who?\n")
    (source,) = find_files(str(tmp_path / "pool.csv"))
    (batch,) = read_file(source, Columns(), task=TASK, labeled=False)
    first, second = [row["reason"] for row in batch.refused]
    assert first.startswith("empty text: blank question")
    assert "data.passages=true" in first
    assert second.startswith("empty text: blank context")
