"""Answers of questions in files: as SQuAD's object, as a text with its place, or as spans."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from react_ray.tasks.annotations import parsed

__all__ = ["parse_answers"]

YES, NO = {"true", "1", "yes"}, {"false", "0", "no", ""}


def parse_answers(context: str, cells: Mapping[str, Any]) -> list[list[int]] | None:
    """Return the characters of the answers in ``context``; [] for no answer, None if it is not labelled.

    ``answers`` holds {"text": [...], "answer_start": [...]}, a list of {"text", "answer_start"}, or spans
    [start, end]. Otherwise ``answer_text`` has the answer and ``answer_start`` its first character, or both
    are lists, with further right answers in ``all_answers``. An answer without its first character has to be
    in the context once. ``is_impossible`` is a question without an answer, whatever the other columns have:
    SQuAD 2.0 has plausible answers. Raises ValueError where an answer is not in the context.

    Example
    -------
    >>> parse_answers("Ada lives in Paris.", {"answers": {"text": ["Paris"], "answer_start": [13]}})
    [[13, 18]]
    """
    impossible = _truth(cells.get("is_impossible"))
    if impossible:
        return []
    try:
        answers = parsed(cells.get("answers"))
    except ValueError:
        raise ValueError(
            f'wrong answers: expected {{"text": [], "answer_start": []}}, not {cells["answers"]!r:.60}; '
            "a text alone goes in answer_text"
        ) from None
    if answers is not None and answers != "":
        return _unique(_of_answers(context, answers))
    text, start = _listed(cells.get("answer_text"), cells.get("answer_start"))
    if isinstance(text, list):
        return _unique(_of_answers(context, {"text": text, "answer_start": start}))
    if text is None or text == "":
        return [] if impossible is False and start in (-1, "-1") else None
    first = _span(context, str(text), start)
    return _unique([first, *_others(context, cells.get("all_answers"), first)])


def _listed(text: Any, start: Any) -> tuple[Any, Any]:
    """Return the cells answer_text and answer_start, as lists where csv files hold lists."""
    starts = parsed(start) if isinstance(start, str) and start.strip().startswith("[") else start
    if isinstance(text, list) or not isinstance(starts, list):
        return text, starts
    return parsed(text), starts


def _of_answers(context: str, answers: Any) -> Iterator[list[int]]:
    if isinstance(answers, Mapping):
        texts, starts = answers.get("text"), answers.get("answer_start")
        if starts is None and isinstance(texts, list):
            starts = [None] * len(texts)
        if not isinstance(texts, Sequence) or isinstance(texts, str) or not isinstance(starts, Sequence):
            raise ValueError(f"wrong answers: expected lists text and answer_start, not {answers!r:.80}")
        if len(texts) != len(starts):
            raise ValueError(f"wrong answers: {len(texts)} texts and {len(starts)} starts")
        pairs = zip(texts, starts, strict=True)
        yield from (_span(context, text, start) for text, start in pairs)
        return
    if not isinstance(answers, Sequence) or isinstance(answers, str):
        raise ValueError(f"wrong answers: expected a list or an object, not {answers!r:.80}")
    for answer in answers:
        if isinstance(answer, Mapping):
            yield _span(context, answer.get("text"), answer.get("answer_start"))
        elif isinstance(answer, Sequence) and len(answer) == 2:
            yield _checked(context, *answer)
        else:
            raise ValueError(f"wrong answer: expected [start, end] or an object, not {answer!r:.80}")


def _span(context: str, text: Any, start: Any) -> list[int]:
    """The characters of ``text``, which has to be at ``start``."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"wrong answer: expected a text, not {text!r:.80}")
    text = text.strip()
    if text not in context:
        raise ValueError(f"answer not in the context: {text!r:.80}; expected the same characters")
    if start is None or start == "":
        places = [n for n in range(len(context)) if context.startswith(text, n)]
        if len(places) > 1:
            raise ValueError(
                f"answer_start is missing: {text!r:.80} is {len(places)} times in the context, expected once"
            )
        return [places[0], places[0] + len(text)]
    place = first = _integer(start)
    while 0 <= first < len(context) and context[first].isspace():  # white space before it may be counted
        first += 1
    if first < 0 or not context.startswith(text, first):
        actual = f"where {context[place : place + len(text)]!r:.80} is"
        if not 0 <= place < len(context):
            actual = f"as the characters of the context are 0 to {len(context) - 1}"
        raise ValueError(f"answer not at its place: {text!r:.80} is not at {place}, {actual}")
    return [first, first + len(text)]


def _others(context: str, texts: Any, first: Sequence[int]) -> Iterator[list[int]]:
    """Further right answers: the place of each in the context that is nearest to the first answer."""
    for text in parsed(texts) or []:
        if not isinstance(text, str) or not (text := text.strip()):
            continue
        places = [match.start() for match in re.finditer(f"(?={re.escape(text)})", context)]
        if places:
            place = min(places, key=lambda start: abs(start - first[0]))
            yield [place, place + len(text)]


def _checked(context: str, start: Any, end: Any) -> list[int]:
    first, last = _integer(start), _integer(end)
    if not 0 <= first < last <= len(context):
        raise ValueError(f"span out of range: {first} to {last} of {len(context)} characters")
    return [first, last]


def _integer(value: Any) -> int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or number != int(number):
        raise ValueError(f"wrong place: expected a whole number, not {value!r:.80}")
    return int(number)


def _truth(value: Any) -> bool | None:
    """Whether a cell says yes; None where it is blank."""
    if value is None or isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in YES or text in NO:
        return text in YES if text else None
    raise ValueError(f"wrong is_impossible: expected true or false, not {value!r:.40}")


def _unique(spans: Any) -> list[list[int]]:
    return [list(span) for span in dict.fromkeys(tuple(span) for span in spans)]
