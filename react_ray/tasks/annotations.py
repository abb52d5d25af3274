"""Parser of entity annotations: tags of tokens, spans of characters, exports of annotation tools.

Converts columns ``tokens`` and ``tags``, or ``text`` and ``spans``, rows exported by doccano, Label Studio
and Prodigy, and rows of CLUENER to one form: words with their offsets, and spans of words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from react_ray.tasks.tagging import Scheme, Span, bio_tags, spans_of
from react_ray.tasks.word_splitting import Words, find_words, join_words, split_words, trim
from react_ray.tasks.written_lists import written_value

__all__ = ["parsed", "read_annotation"]

START = ("start", "start_offset", "begin")
END = ("end", "end_offset", "stop")
LABEL = ("label", "labels", "entity", "entity_group", "type", "tag")
SPANS = ("spans", "entities", "label", "labels", "annotations", "completions")
"""Column names for spans in the exports of annotation tools."""
EXPECTED = 'expected a list of {"start", "end", "label"}'
EXPECTED_MENTIONS = "expected {type: {mention: [[first, last], ...]}}"


def read_annotation(cells: Mapping[str, Any], scheme: Scheme = "BIO") -> tuple[Words, list[Span] | None]:
    """Return the words of a row and its entities as spans of words (None: unlabelled).

    An empty list of spans is a label (no entity), a blank cell is none. Raises ValueError ("kind: details")
    for tokens and tags of different lengths, tags that ``scheme`` does not allow, spans that are out of range
    or overlap, and rows that hold neither tokens nor a text.

    Example
    -------
    >>> row = {"text": "Ada in Paris", "spans": [{"start": 7, "end": 12, "label": "LOC"}]}
    >>> read_annotation(row)[1]
    [Span(start=2, end=3, label='LOC')]
    """
    if cells.get("answer") in ("reject", "ignore"):  # Prodigy
        raise ValueError(f"not accepted: the annotator's answer is {cells['answer']!r}")
    tokens = parsed(cells.get("tokens"))
    strings = isinstance(tokens, list) and all(isinstance(token, str) for token in tokens)
    if isinstance(tokens, list) and not strings and not all(isinstance(it, Mapping) for it in tokens):
        raise ValueError(f"not tokens: expected a list of strings, found {str(tokens)[:60]}")  # maps: Prodigy
    if tokens and strings:
        tags, found = parsed(cells.get("tags")), _spans(cells)
        if tags or not found:
            words, spans = _of_tags(tokens, tags, cells.get("text"), scheme)
            return words, found if spans is None else spans
    text = _text(cells)
    found = _spans(cells)
    if found is None:
        return split_words(text), None
    characters = [trim(text, span) for span in found]
    words = split_words(text, characters)
    spans = sorted(words.span(span) for span in set(characters))
    bio_tags(spans, len(words))  # raises ValueError where they overlap
    return words, spans


def _of_tags(tokens: list[str], tags: Any, text: Any, scheme: Scheme) -> tuple[Words, list[Span] | None]:
    """Locate words in ``text``, or join them to a text if it is missing or does not match."""
    if any(not token.strip() for token in tokens):
        raise ValueError("empty token: a token is blank")
    words = (find_words(text, tokens) if isinstance(text, str) else None) or join_words(tokens)
    if tags is None or tags == []:
        return words, None
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError(f"tags are not a list of strings: {str(tags)[:60]}")
    if len(tags) != len(tokens):
        raise ValueError(f"wrong lengths: {len(tokens)} tokens and {len(tags)} tags")
    return words, spans_of(tags, scheme)


def _text(cells: Mapping[str, Any]) -> str:
    data = cells.get("data")  # Label Studio
    text = cells.get("text", data.get("text") if isinstance(data, Mapping) else None)
    if text is None or text == "":
        raise ValueError("empty text")
    if not isinstance(text, str):
        raise ValueError(f"not text: {type(text).__name__} where text is expected")
    return text


def _spans(cells: Mapping[str, Any]) -> list[Span] | None:
    """Return spans of characters; None if the row has no column with spans."""
    for column in SPANS:
        value = parsed(cells.get(column))
        if value is None or (column == "annotations" and value == []):  # Label Studio: not labelled yet
            continue
        if isinstance(value, Mapping) and all(isinstance(item, Mapping) for item in value.values()):
            return _of_cluener(value, cells.get("text"))
        if not isinstance(value, list):
            raise ValueError(f"spans are not a list: {str(value)[:60]}; {EXPECTED}")
        if value and isinstance(value[0], Mapping) and "result" in value[0]:
            return _of_label_studio(value)
        return [_span(item) for item in value]
    return None


def _of_cluener(types: Mapping[str, Mapping[str, Any]], text: Any) -> list[Span]:
    """Return the spans of {type: {mention: [[first, last], ...]}}, where ``last`` is the last character."""
    spans = []
    for label, mentions in types.items():
        for mention, places in mentions.items():
            known = places if isinstance(places, list) else [places]
            spans += [_mention(place, mention, label, text) for place in known]
    return spans


def _mention(place: Any, mention: str, label: str, text: Any) -> Span:
    if not (isinstance(place, list) and len(place) == 2 and all(map(_is_place, place))):
        raise ValueError(f"unreadable span: {str({mention: place})[:60]}; {EXPECTED_MENTIONS}")
    span = Span(int(place[0]), int(place[1]) + 1, label)
    known = text[span.start : span.end] if isinstance(text, str) and span.start >= 0 else None
    if known != mention:
        raise ValueError(f"wrong span: {mention!r} is not at {place}, where the text has {known!r}")
    return span


def _of_label_studio(annotations: Sequence[Mapping[str, Any]]) -> list[Span] | None:
    """Return the spans of the first annotation that was not cancelled."""
    for annotation in annotations:
        if not annotation.get("was_cancelled"):
            results = annotation.get("result") or []
            return [_span(item["value"]) for item in results if _has_span(item.get("value"))]
    return None


def _has_span(value: Any) -> bool:
    return isinstance(value, Mapping) and any(key in value for key in START)


def _span(item: Any) -> Span:
    if isinstance(item, Mapping):
        start, end, label = (_first(item, keys) for keys in (START, END, LABEL))
        label = label[0] if isinstance(label, list) and len(label) == 1 else label
    elif isinstance(item, Sequence) and not isinstance(item, str) and len(item) == 3:
        start, end, label = item
    else:
        raise ValueError(f"unreadable span: {str(item)[:60]}; {EXPECTED}")
    if not (_is_place(start) and _is_place(end) and isinstance(label, str) and label.strip()):
        raise ValueError(f"unreadable span: {str(item)[:60]}; {EXPECTED}")
    return Span(int(start), int(end), label.strip())


def _is_place(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()


def _first(item: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((item[key] for key in keys if key in item), None)


def parsed(value: Any) -> Any:
    """Return the list in a cell (a text in csv files, see ``written_value``); None if the cell is blank."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        written = written_value(value)
        return json.loads(value) if written is None else written
    except (ValueError, RecursionError):
        raise ValueError(f"not a list in JSON: {value[:60]!r}") from None
