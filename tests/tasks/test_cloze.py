"""Cloze questions, and the spans that they ask for."""

from __future__ import annotations

import pyarrow as pa
import pytest

from react_ray.tasks import get_task
from react_ray.tasks.answer_like import answer_like_spans
from react_ray.tasks.cloze import cloze_question
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


@pytest.mark.parametrize(
    "text", [CHINESE, "In 1843 Ada Lovelace wrote it. " * 3, "x" * 300 + " Ada " + "y" * 300]
)
def test_a_cloze_question_has_a_blank_for_its_answer(text):
    question, (start, end) = cloze_question(text)
    assert (question, (start, end)) == cloze_question(text), "always the same"
    blank = next(word for word in ("how much", "what", "多少", "什么") if word in question)
    before, after = question.split(blank, 1)
    assert text[:start].endswith(before)
    assert text[end:].startswith(after)
    assert len(question) < 220


def test_passages_get_questions_only_where_it_is_asked_for():
    assert cloze_question("He left.") is None
    cells = {"context": "She met Ada Lovelace.", "question": ""}
    with pytest.raises(ValueError, match="blank question"):
        TASK.parse(cells, NO_OPTIONS)
    row = TASK.parse(cells, Options(passages=True))
    assert (row["question"], row["answers"]) == ("She met what.", None), "a row of the pool"
    with pytest.raises(ValueError, match="blank question"):
        TASK.parse({**cells, "answers": [[8, 11]]}, Options(passages=True))
    with pytest.raises(ValueError, match="blank question"):
        TASK.parse({"context": "He left.", "question": None}, Options(passages=True))
    asked = TASK.parse({**cells, "question": "Who?"}, Options(passages=True))
    rows = pa.Table.from_pylist([row, asked], schema=pa.schema([*TASK.inputs]))
    assert TASK.synthetic_targets(rows) == [[[8, 20]], None]
