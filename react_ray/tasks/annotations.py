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
LABEL = ("label", "labels", "hypertextlabels", "entity", "entity_group", "type", "tag")
SPANS = ("spans", "entities", "label", "labels", "annotations", "completions")
"""Column names for spans in the exports of annotation tools."""
OTHER_RESULTS = ("choices", "relation", "textarea", "rating", "number", "taxonomy", "datetime")
"""Types of results of Label Studio that are no entities, though they may have the place of one."""
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
        tags, character_spans = _tags(cells), _spans(cells)
        if tags or not character_spans:
            words, spans = _of_tags(tokens, tags, cells.get("text"), scheme)
            return words, character_spans if spans is None else spans
    text = _text(cells)
    character_spans = _spans(cells)
    if character_spans is None:
        tags = _tags(cells)
        return _of_tagged_text(text, tags, scheme) if tags else (split_words(text), None)
    characters = [trim(text, span) for span in character_spans]
    words = split_words(text, characters)
    spans = sorted(words.span(span) for span in set(characters))
    bio_tags(spans, len(words))  # raises ValueError where they overlap
    return words, spans


def _tags(cells: Mapping[str, Any]) -> Any:
    tags = parsed(cells.get("tags"))
    return parsed(cells.get("ner_tags")) if tags is None else tags  # the name that datasets use


def _of_tagged_text(text: str, tags: Any, scheme: Scheme) -> tuple[Words, list[Span] | None]:
    """Read a tag for each word between white space, or for each character (with or without white space)."""
    if not isinstance(tags, list):
        raise ValueError(f"tags are not a list of strings: {str(tags)[:60]}")
    for tokens in (text.split(), [char for char in text if not char.isspace()]):
        if len(tokens) == len(tags):
            return _of_tags(tokens, tags, text, scheme)
    if len(tags) == len(text):
        pairs = [(char, tag) for char, tag in zip(text, tags, strict=True) if not char.isspace()]
        return _of_tags([char for char, _ in pairs], [tag for _, tag in pairs], text, scheme)
    raise ValueError(
        f"tags without tokens: {len(tags)} tags, expected {len(text.split())} (words between white space) or "
        f"{len(text)} (characters); give the tokens in a column of their own"
    )


def _of_tags(tokens: list[str], tags: Any, text: Any, scheme: Scheme) -> tuple[Words, list[Span] | None]:
    """Locate words in ``text``, or join them to a text if it is missing or does not match."""
    if any(not token.strip() for token in tokens):
        raise ValueError("empty token: a token is blank")
    words = (find_words(text, tokens) if isinstance(text, str) else None) or join_words(tokens)
    if tags is None or tags == []:
        return words, None
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise ValueError(
            f"tags are not a list of strings: {str(tags)[:60]}; expected the name of each tag, such as "
            "B-PER, not its number"
        )
    if len(tags) != len(tokens):
        raise ValueError(f"wrong lengths: {len(tokens)} tokens and {len(tags)} tags")
    return words, spans_of(tags, scheme)


def _text(cells: Mapping[str, Any]) -> str:
    text = cells.get("text")
    text = _text_of_data(cells.get("data")) if text is None else text
    if text is None or text == "":
        raise ValueError("empty text")
    if not isinstance(text, str):
        raise ValueError(f"not text: {type(text).__name__} where text is expected")
    return text


def _text_of_data(data: Any) -> Any:
    """Return the text in ``data``: that itself (doccano), or its ``text`` or only string (Label Studio)."""
    if not isinstance(data, Mapping) or "text" in data:
        return data["text"] if isinstance(data, Mapping) else data
    strings = [key for key, value in data.items() if isinstance(value, str)]
    if len(strings) != 1:
        shown = ", ".join(map(repr, [*data][:10])) or "none"
        raise ValueError(f"no text: data has the keys {shown}; name that of the text with --column text=KEY")
    return data[strings[0]]


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
            occurrences = places if isinstance(places, list) else [places]
            spans += [_mention(place, mention, label, text) for place in occurrences]
    return spans


def _mention(place: Any, mention: str, label: str, text: Any) -> Span:
    if not (isinstance(place, list) and len(place) == 2 and all(map(_is_place, place))):
        raise ValueError(f"unreadable span: {str({mention: place})[:60]}; {EXPECTED_MENTIONS}")
    span = Span(int(place[0]), int(place[1]) + 1, label)
    actual = text[span.start : span.end] if isinstance(text, str) and span.start >= 0 else None
    if actual != mention:
        raise ValueError(f"wrong span: {mention!r} is not at {place}, where the text has {actual!r}")
    return span


def _of_label_studio(annotations: Sequence[Mapping[str, Any]]) -> list[Span] | None:
    """Return the spans of one annotation that was not cancelled: the ground truth, or the first with spans.

    An empty annotation is used if there is no other.
    """
    valid = [annotation for annotation in annotations if not annotation.get("was_cancelled")]
    truth = [annotation for annotation in valid if annotation.get("ground_truth")]
    chosen = truth[:1] or valid
    spans = [[_region(item["value"]) for item in _regions(annotation)] for annotation in chosen]
    return next(filter(None, spans), spans[0]) if spans else None


def _regions(annotation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the results that mark a part of the text, without choices and comments about such parts."""
    results = annotation.get("result") or []
    return [
        item for item in results if item.get("type") not in OTHER_RESULTS and _has_span(item.get("value"))
    ]


def _region(value: Mapping[str, Any]) -> Span:
    places = value.get("globalOffsets")  # of hypertext, whose start and end are paths in the page
    value = {**value, **places} if isinstance(places, Mapping) else value
    if not any(value.get(key) for key in LABEL):
        raise ValueError(f"region without a label: {str(value)[:60]}; give it a label, or delete the region")
    return _span(value)


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
    if _is_place(label):
        raise ValueError(f"label without a name: {label} is an id; export the rows with the names of labels")
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
