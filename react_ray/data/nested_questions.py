"""Reader of question answering files in the layouts of SQuAD and CMRC 2018: a row for each question."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import IO, Any

from react_ray.data.json_array import JsonArrayRows, split_array
from react_ray.data.json_lines import parse_object
from react_ray.data.lines import CHUNK_BYTES, FlawedLine
from react_ray.data.sources import Source

__all__ = ["NestedQuestions", "flatten", "is_nested"]

DATA = re.compile(rb'"data"\s*:\s*(?=\[)')
ARTICLE = re.compile(rb'"(?:paragraphs|context_text)"\s*:')


def is_nested(source: Source) -> bool:
    """Return whether a json file holds contexts with questions inside."""
    head = _head(source)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    listed = start == b"[" or (start == b"{" and DATA.search(head) is not None)
    return listed and ARTICLE.search(head) is not None and b'"qas"' in head


class NestedQuestions(JsonArrayRows):
    """Iterator over the questions of a file; the original row is a JSON object for one question.

    A row has ``id``, ``context``, ``question`` and, if the question has them, ``answers``. Its number is that
    of the question, from 1. Contexts are read one article at a time.
    """

    def _objects(self) -> Iterator[tuple[int, str]]:
        number = 0
        for element in split_array(_list_of(self.source), self.source, alone=False):
            article = None if isinstance(element, FlawedLine) else parse_object(element)
            if not isinstance(article, dict):
                number += 1
                yield number, element
                continue
            for row in flatten(article):
                number += 1
                yield number, json.dumps(row, ensure_ascii=False)


def flatten(article: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the questions of an article of SQuAD, or of a context of CMRC 2018, as flat rows.

    Example
    -------
    >>> question = {"query_id": "1", "query_text": "谁？", "answers": ["李白"]}
    >>> next(flatten({"context_text": "李白写诗。", "qas": [question]}))["answers"]
    {'text': ['李白'], 'answer_start': [0]}
    """
    if "context_text" in article:
        yield from _questions(article["context_text"], article.get("qas"))
        return
    paragraphs = article.get("paragraphs")
    for paragraph in paragraphs if isinstance(paragraphs, list) else [None]:
        content = paragraph if isinstance(paragraph, Mapping) else {}
        yield from _questions(content.get("context"), content.get("qas"))


def _questions(context: Any, questions: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of a context; without a list of questions, one row that has none, to be rejected."""
    for question in questions if isinstance(questions, list) else [None]:
        if not isinstance(question, Mapping):
            question = {}
        row = {
            "id": question.get("id", question.get("query_id")),
            "context": context,
            "question": question.get("question", question.get("query_text")),
        }
        if question.get("is_impossible"):
            row["answers"] = {"text": [], "answer_start": []}
        elif question.get("answers") is not None:
            row["answers"] = _answers(context, question["answers"])
        yield row


def _answers(context: Any, answers: Any) -> Any:
    """Texts and places; CMRC 2018 has texts alone, whose first place in the context is used.

    What is no list is returned as it is: the columns of a flat file are read, anything else is rejected.
    """
    if not isinstance(answers, list):
        return answers
    objects = [answer if isinstance(answer, Mapping) else {"text": answer} for answer in answers]
    texts = [answer.get("text") for answer in objects]
    starts = [
        answer["answer_start"] if "answer_start" in answer else _place(context, answer.get("text"))
        for answer in objects
    ]
    return {"text": texts, "answer_start": starts}


def _place(context: Any, text: Any) -> int | None:
    place = str(context).find(str(text))
    return None if place < 0 else place


def _head(source: Source) -> bytes:
    head: bytes = source.open_unpacked().read(CHUNK_BYTES)
    return head


def _list_of(source: Source) -> IO[bytes] | Any:
    """Open a file at the start of its list of articles."""
    stream = source.open_unpacked()
    if match := DATA.search(_head(source)):
        stream.read(match.end())
    return stream
