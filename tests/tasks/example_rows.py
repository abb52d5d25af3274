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


EXAMPLES = {
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
}
