"""Rows of annotated text as they come: written here as each tool writes them."""

from __future__ import annotations

import json

import pytest

from react_ray.tasks.annotations import read_annotation
from react_ray.tasks.tagging import Span

TEXT = "Ada met 高勇 in New York"
PEOPLE = [{"start": 0, "end": 3, "label": "PER"}, {"start": 8, "end": 10, "label": "PER"}]
PLACE = {"start": 14, "end": 22, "label": "LOC"}
FOUND = [("Ada", "PER"), ("高勇", "PER"), ("New York", "LOC")]

ROWS = {
    "spans": {"text": TEXT, "spans": [*PEOPLE, PLACE]},
    "csv": {"text": TEXT, "spans": json.dumps([*PEOPLE, PLACE]), "tokens": ""},
    "doccano, sequence labelling": {
        "id": 1,
        "text": TEXT,
        "label": [[0, 3, "PER"], [8, 10, "PER"], [14, 22, "LOC"]],
    },
    "doccano, with relations": {
        "id": 1,
        "text": TEXT,
        "entities": [
            {"id": 7, "label": span["label"], "start_offset": span["start"], "end_offset": span["end"]}
            for span in [*PEOPLE, PLACE]
        ],
        "relations": [],
    },
    "Label Studio": {
        "id": 5,
        "data": {"text": TEXT},
        "annotations": [
            {"was_cancelled": True, "result": []},
            {
                "was_cancelled": False,
                "result": [
                    {"type": "choices", "value": {"choices": ["news"]}},
                    *(
                        {
                            "type": "labels",
                            "value": {
                                "start": span["start"],
                                "end": span["end"],
                                "text": TEXT[span["start"] : span["end"]],
                                "labels": [span["label"]],
                            },
                        }
                        for span in [*PEOPLE, PLACE]
                    ),
                ],
            },
        ],
    },
    "Label Studio, short": {
        "text": TEXT,
        "label": [
            {"start": span["start"], "end": span["end"], "labels": [span["label"]]}
            for span in [*PEOPLE, PLACE]
        ],
    },
    "Prodigy": {
        "text": TEXT,
        "tokens": [{"text": "Ada", "start": 0, "end": 3, "id": 0}],
        "spans": [{**span, "token_start": 0, "token_end": 0} for span in [PLACE, *PEOPLE]],
        "answer": "accept",
    },
    "white space at the ends": {"text": TEXT, "spans": [*PEOPLE, {"start": 13, "end": 22, "label": "LOC"}]},
    "Label Studio, before 1.0": {
        "data": {"text": TEXT},
        "completions": [
            {"result": [{"value": {**span, "labels": [span["label"]]}} for span in [*PEOPLE, PLACE]]}
        ],
    },
    "marked twice": {"text": TEXT, "spans": [*PEOPLE, PLACE, PLACE]},
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_rows_of_every_tool_say_the_same(row):
    words, spans = read_annotation(row)
    found = [words.characters(span) for span in spans]
    assert [(words.text[span.start : span.end], span.label) for span in found] == FOUND
    assert words.text == TEXT


def test_tags_of_tokens():
    words, spans = read_annotation(
        {"tokens": ["高", "勇", "，", "CEO"], "tags": ["B-PER", "I-PER", "O", "B-JOB"]}
    )
    assert words.text == "高勇，CEO"
    assert spans == [Span(0, 2, "PER"), Span(3, 4, "JOB")]
    assert read_annotation({"tokens": '["a", "b"]', "tags": '["O", "O"]'})[1] == []


@pytest.mark.parametrize(
    ("tokens", "tags"), [("['Ada', \"don't\"]", "['B-PER', 'O']"), ("['Ada' \"don't\"]", "['B-PER' 'O']")]
)
def test_lists_as_pandas_writes_them_into_csv(tokens, tags):
    words, spans = read_annotation({"tokens": tokens, "tags": tags})
    assert (words.words(), spans) == (["Ada", "don't"], [Span(0, 1, "PER")])
    text = {"text": "Ada met", "spans": "[{'start': 0, 'end': 3, 'label': 'PER'}]"}
    assert read_annotation(text)[1] == [Span(0, 1, "PER")]


def test_tokens_of_a_text_stay_where_they_are_in_it():
    row = {"text": "Don't  go to Oslo", "tokens": ["Do", "n't", "go", "to", "Oslo"]}
    words, spans = read_annotation({**row, "tags": ["O", "O", "O", "O", "B-LOC"]})
    assert words.text == row["text"]
    assert words.words() == row["tokens"]
    assert words.characters(spans[0]) == Span(13, 17, "LOC")
    other = read_annotation({**row, "text": "Do not go to Oslo", "tags": ["O"] * 5})
    assert other[0].text == "Do n't go to Oslo", "the tokens are of another text"
    characters = read_annotation({**row, "spans": [{"start": 13, "end": 17, "label": "LOC"}]})
    assert characters[0].characters(characters[1][0]) == Span(13, 17, "LOC")


@pytest.mark.parametrize(
    ("row", "spans"),
    [
        ({"text": "a b", "spans": None}, None),
        ({"text": "a b", "spans": " "}, None),
        ({"text": "a b"}, None),
        ({"tokens": ["a", "b"]}, None),
        ({"tokens": ["a", "b"], "tags": None}, None),
        ({"text": "a b", "spans": []}, []),
        ({"text": "a b", "spans": "[]"}, []),
        ({"tokens": ["a", "b"], "spans": []}, []),
        ({"tokens": ["a", "b"], "tags": ["O", "O"]}, []),
        ({"data": {"text": "a b"}, "annotations": [{"result": []}]}, []),
        ({"data": {"text": "a b"}, "annotations": [{"result": [], "was_cancelled": True}]}, None),
    ],
)
def test_no_entity_is_a_label_and_a_blank_cell_is_none(row, spans):
    assert read_annotation(row)[1] == spans


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"tokens": ["a", "b"], "tags": ["O"]}, "wrong lengths: 2 tokens and 1 tags"),
        ({"tokens": ["a", "b"], "tags": ["O", "I-X"]}, "impossible tags"),
        ({"tokens": ["a", " "], "tags": ["O", "O"]}, "empty token"),
        ({"tokens": ["a"], "tags": [1]}, "not a list of strings"),
        ({"text": "ab", "spans": [{"start": 0, "end": 9, "label": "X"}]}, "span out of range: 0 to 9 of 2"),
        ({"text": "ab cd", "spans": [[0, 2, "X"], [1, 5, "Y"]]}, "overlapping spans"),
        ({"text": "ab", "spans": [{"start": 0, "label": "X"}]}, "unreadable span"),
        ({"text": "ab", "spans": [[0, 1]]}, "unreadable span"),
        ({"text": "ab", "spans": [[0.5, 1, "X"]]}, "unreadable span"),
        ({"text": "ab", "spans": [[0, float("inf"), "X"]]}, "unreadable span"),
        ({"text": "ab", "spans": [[0, 1, ""]]}, "unreadable span"),
        ({"text": "ab", "spans": "PER"}, "not a list in JSON: 'PER'"),
        ({"text": "ab", "spans": {"a": 1}}, "spans are not a list"),
        ({"spans": []}, "empty text"),
        ({"text": 5, "spans": []}, "not text: int"),
        ({"text": "ab", "spans": [], "answer": "reject"}, "not accepted"),
    ],
)
def test_rows_that_cannot_be_right_say_why(row, reason):
    with pytest.raises(ValueError, match=reason):
        read_annotation(row)


@pytest.mark.parametrize("tokens", [["In", 2019, "Ada"], ["a", None]])
def test_tokens_that_are_no_strings_are_named(tokens):
    with pytest.raises(ValueError, match="not tokens: expected a list of strings"):
        read_annotation({"tokens": tokens})
