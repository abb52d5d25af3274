"""Columns of the files of CLUE as they are published, under the names that tasks have for them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from react_ray.data.lines import CHUNK_BYTES
from react_ray.data.row import Broken
from react_ray.data.sources import Source
from react_ray.errors import InputError

__all__ = ["check_layout", "with_task_names"]

LABEL_NAMES = ("label_desc", "label_des")
"""Keys of TNEWS and IFLYTEK with the name of a class whose number is in ``label``."""
NO_LABEL = "-"
"""OCNLI, as SNLI: the annotators do not agree."""
MULTIPLE_CHOICE = re.compile(rb'^\s*\[\s*\[\s*\[.*"choice"\s*:', re.DOTALL)


def with_task_names(cells: Mapping[str, Any], names: Collection[str]) -> Mapping[str, Any] | Broken:
    """Return the cells of a row, and those of CLUE under the names ``text``, ``text_pair`` and ``label``.

    A row that has ``text``, or a file whose column of texts was named by the user, is returned as it is. The
    row of a pair without an agreed label is returned as :class:`Broken`, where labels are read.

    Example
    -------
    >>> row = {"label": "113", "label_desc": "news_world", "sentence": "大选开始投票"}
    >>> renamed = with_task_names(row, ["text", "label"])
    >>> renamed["text"], renamed["label"]
    ('大选开始投票', 'news_world')
    """
    if "text" in cells or "text" not in names:
        return cells
    if "text_pair" in names:
        return _pair(cells, names)
    if "sentence" not in cells:
        return cells
    label_names = [cells[key] for key in LABEL_NAMES if cells.get(key)]
    return {**cells, "text": cells["sentence"], **({"label": label_names[0]} if label_names else {})}


def _pair(cells: Mapping[str, Any], names: Collection[str]) -> Mapping[str, Any] | Broken:
    """Name the two sentences of AFQMC and OCNLI, or the abstract and the keywords of CSL."""
    if {"sentence1", "sentence2"} <= cells.keys():
        pair = {"text": cells["sentence1"], "text_pair": cells["sentence2"]}
    elif {"abst", "keyword"} <= cells.keys():
        pair = {"text": cells["abst"], "text_pair": _joined(cells["keyword"])}
    else:
        return cells
    named = {**cells, **pair}
    if "label" in names and cells.get("label") == NO_LABEL:
        reason = f"no agreed label: the annotators disagree (label {NO_LABEL!r})"
        return Broken(reason, str(pair["text"]), {name: named[name] for name in names if name in named})
    return named


def _joined(keywords: Any) -> Any:
    listed = isinstance(keywords, list) and all(isinstance(word, str) for word in keywords)
    return "，".join(keywords) if listed else keywords


def check_layout(source: Source) -> None:
    """Raise InputError for a file of multiple-choice questions (C3), which no task reads."""
    head: bytes = source.open_unpacked().read(CHUNK_BYTES)
    if MULTIPLE_CHOICE.match(head.removeprefix(b"\xef\xbb\xbf")):
        raise InputError(
            f"{source.path} holds multiple-choice questions in the layout of C3, which no task reads; "
            "write a pair of texts and a label (right or wrong) for each choice, and train with "
            "the task for pairs of texts and a --validation file with other dialogues"
        )
