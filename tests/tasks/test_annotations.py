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


def region(first, last, **value):
    return {"type": "labels", "value": {"start": first, "end": last, **value}}


ADA = [Span(0, 1, "PER")]
TAGGED = {
    "a tag for each word": {"text": "Ada met us", "tags": ["B-PER", "O", "O"]},
    "a tag for each word, in ner_tags": {"tokens": ["Ada", "met", "us"], "ner_tags": ["B-PER", "O", "O"]},
    "a string as data, as doccano writes it": {"id": 1, "data": "Ada met us", "label": [[0, 3, "PER"]]},
    "another key in data": {
        "data": {"sentence": "Ada met us", "id": 4},
        "annotations": [{"result": [region(0, 3, labels=["PER"])]}],
    },
    "hypertext": {
        "data": {"text": "Ada met us"},
        "annotations": [
            {
                "result": [
                    {
                        "type": "hypertextlabels",
                        "value": {
                            "start": "/p[1]/text()[1]",
                            "end": "/p[1]/text()[1]",
                            "globalOffsets": {"start": 0, "end": 3},
                            "hypertextlabels": ["PER"],
                        },
                    },
                    {"type": "choices", "value": {"start": 0, "end": 3, "choices": ["sure"]}},
                ]
            }
        ],
    },
    "the ground truth of several annotators": {
        "text": "Ada met us",
        "annotations": [
            {"result": [region(4, 7, labels=["X"])]},
            {"result": [region(0, 3, labels=["PER"])], "ground_truth": True},
        ],
    },
    "the first annotator with entities": {
        "text": "Ada met us",
        "annotations": [
            {"result": [region(4, 7, labels=["X"])], "was_cancelled": True, "ground_truth": True},
            {"result": []},
            {"result": [region(0, 3, labels=["PER"])]},
        ],
    },
}


@pytest.mark.parametrize("row", TAGGED.values(), ids=TAGGED)
def test_rows_with_other_names_and_several_annotators(row):
    words, spans = read_annotation(row)
    assert (words.text, spans) == ("Ada met us", ADA)


@pytest.mark.parametrize("tags", [["B-P", "I-P", "O", "O"], ["B-P", "I-P", "O", "O", "O"]])
def test_a_tag_for_each_character(tags):
    words, spans = read_annotation({"text": "高勇 在京", "tags": tags})
    assert words.words() == ["高", "勇", "在", "京"]
    assert spans == [Span(0, 2, "P")]


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
        ({"text": "ab c", "tags": ["O"] * 6}, "tags without tokens: 6 tags, expected 2 .* or 4 "),
        ({"tokens": ["a"], "ner_tags": [1]}, "name of each tag, such as B-PER"),
        ({"tokens": ["a"], "tags": ["I-X"]}, "data.scheme"),
        ({"tokens": ["a"], "tags": ["PER"]}, "data.scheme"),
        ({"text": "ab", "annotations": [{"label": 3, "start_offset": 0, "end_offset": 2}]}, "3 is an id"),
        ({"data": {"a": "x", "b": "y"}, "annotations": []}, "keys 'a', 'b'; .*--column text=KEY"),
        ({"text": "ab", "annotations": [{"result": [region(0, 2)]}]}, "region without a label"),
    ],
)
def test_rows_that_cannot_be_right_say_why(row, reason):
    with pytest.raises(ValueError, match=reason):
        read_annotation(row)


@pytest.mark.parametrize("tokens", [["In", 2019, "Ada"], ["a", None]])
def test_tokens_that_are_no_strings_are_named(tokens):
    with pytest.raises(ValueError, match="not tokens: expected a list of strings"):
        read_annotation({"tokens": tokens})
