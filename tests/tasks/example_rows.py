"""Rows of each task for the tests that all tasks share: as files hold them, by the name of the task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from react_ray.tasks.columns import Options


@dataclass(frozen=True)
class Examples:
    """Rows with targets that a tiny model can learn, and what else is told of a task.

    ``rows`` are cells by column; ``classes`` the names in their targets; ``wrong`` cells that are rejected.
    """

    rows: tuple[dict[str, Any], ...]
    classes: tuple[str, ...]
    wrong: tuple[dict[str, Any], ...] = ()
    options: Options = field(default_factory=Options)


def _text_rows() -> tuple[dict[str, Any], ...]:
    words = {"zeta": ("bbb", "bb b"), "alpha": ("ppp", "pp p"), "中": ("xxx", "x xx")}
    return tuple(
        {"text": f"{word} {number}", "label": label}
        for number in range(4)
        for label, texts in words.items()
        for word in texts
    )


def _token_rows() -> tuple[dict[str, Any], ...]:
    patterns = [("zzz", "bob", "met"), ("in", "qqq", "qq"), ("bob", "bo", "qqq", "x"), ("no", "one")]
    tags = {"bob": "B-PER", "bo": "I-PER", "qqq": "B-LOC", "qq": "I-LOC"}
    return tuple(
        {"tokens": [*pattern, str(number)], "tags": [*(tags.get(word, "O") for word in pattern), "O"]}
        for number in range(6)
        for pattern in patterns
    )


def _set_rows() -> tuple[dict[str, Any], ...]:
    kinds = [("bbb bb b", ["zeta"]), ("ppp pp p", ["alpha"]), ("bbb ppp", ["zeta", "alpha"]), ("xx x", [])]
    return tuple({"text": f"{text} {n}", "labels": labels} for n in range(6) for text, labels in kinds)


def _pair_rows() -> tuple[dict[str, Any], ...]:
    pairs = [("b", "bb bbb", "same"), ("p", "b bb", "same"), ("b", "pp p", "other"), ("p", "ppp", "other")]
    return tuple(
        {"text": f"{first} {n}", "text_pair": second, "label": label}
        for n in range(6)
        for first, second, label in pairs
    )


def _relation_rows() -> tuple[dict[str, Any], ...]:
    kinds = [
        ("the <e1>zzz</e1> in the <e2>qqq</e2>", "In(e1,e2)"),
        ("the <e2>zzz</e2> bbb the <e1>qqq</e1>", "In(e2,e1)"),
        ("a <e1>zzz</e1> or ppp <e2>qqq</e2>", "Other"),
    ]
    return tuple({"text": f"{n} {text}", "label": label} for n in range(8) for text, label in kinds)


def _document_rows() -> tuple[dict[str, Any], ...]:
    kinds = [
        ("zzz bbb ppp. qqq xx {n}. bb b.", "zzz bbb ppp."),
        ("bb b {n}. zzz bbb ppp! xx x.", "zzz bbb ppp!"),
        ("zzz bb. xx {n}. zzz pp ppp.", "zzz bb. zzz pp ppp."),
    ]
    return tuple(
        {"document": text.format(n=n), "summary": summary} for n in range(6) for text, summary in kinds
    )


def _question_rows() -> tuple[dict[str, Any], ...]:
    rows = []
    for n in range(4):
        context = f"zzz bbb {n} qqq pp xx"
        rows += [
            {"context": context, "question": "zz?", "answer_text": "bbb", "answer_start": 4},
            {"context": context, "question": "q?", "answer_text": "pp xx", "answer_start": 14},
            {"context": context, "question": "b b?", "is_impossible": True},
        ]
    return tuple(rows)


def _translation_rows() -> tuple[dict[str, Any], ...]:
    words = {"one": "eins", "two": "zwei", "big": "groß", "猫": "katze"}
    orders = [("one", "two", "big"), ("big", "猫", "one"), ("two", "猫", "big"), ("猫", "one", "two")]
    return tuple(
        {
            "source": f"{' '.join(order)} {n}",
            "target": f"{' '.join(words[word] for word in order)} {n}",
        }
        for n in range(6)
        for order in orders
    )


EXAMPLES = {
    "question-answering": Examples(
        _question_rows(),
        (),
        (
            {"context": "a b", "question": "q", "answer_text": "b", "answer_start": 0},
            {"context": "a b", "question": " ", "answer_text": "b", "answer_start": 2},
            {"context": "a b", "question": "q", "answers": [[2, 9]]},
            {"context": "a b a", "question": "q", "answer_text": "a"},
        ),
    ),
    "extractive-summarization": Examples(_document_rows(), (), ({"document": "  ", "summary": "a"},)),
    "multi-label-classification": Examples(
        _set_rows(), ("alpha", "zeta"), ({"text": "a", "labels": {"x": 1}},)
    ),
    "relation-extraction": Examples(
        _relation_rows(),
        ("In(e1,e2)", "In(e2,e1)", "Other"),
        ({"text": "the <e1>zzz</e1> alone", "label": "Other"},),
    ),
    "summarization": Examples(_document_rows(), (), ({"document": "  ", "summary": "a"},)),
    "text-pair-classification": Examples(
        _pair_rows(), ("other", "same"), ({"text": "a", "text_pair": "b", "label": ["x", "y"]},)
    ),
    "text-classification": Examples(
        _text_rows(), ("alpha", "zeta", "中"), ({"text": "a", "label": ["x", "y"]},)
    ),
    "token-classification": Examples(
        _token_rows(),
        ("LOC", "PER"),
        (
            {"tokens": ["a"], "tags": ["O", "O"]},
            {"tokens": ["a", ""], "tags": ["O", "O"]},
            {"tokens": ["a", "b"], "tags": ["O", "I-X"]},
            {"text": "ab", "spans": [[0, 5, "X"]]},
            {"text": "a b", "spans": [[0, 3, "X"], [0, 1, "Y"]]},
        ),
    ),
    "translation": Examples(
        _translation_rows(), (), ({"source": " ", "target": "a"}, {"source": "a", "target": ["b"]})
    ),
}
