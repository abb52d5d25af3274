"""Made-up rows of each task that is not about one label for one text, and files of them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

NAMES = {"PER": "ada bob cleo dan eve fay gus hal", "LOC": "paris rome oslo lima quito cairo delhi turin"}
FILLER = ["the", "a", "in", "met", "saw", "left", "near", "with", "today", "old", "new", "very", "then"]
TOPICS = {"sport": ["goal", "team", "coach", "match"], "money": ["bank", "stock", "tax", "loan"]}
PARTS = {"wheel": "car", "leaf": "tree", "page": "book", "roof": "house"}
WORDS = [*FILLER, *" ".join(NAMES.values()).split(), *(w for words in TOPICS.values() for w in words)]
WORDS += [*PARTS, *PARTS.values(), "of", "has", "or", ".", "*", "#"]
WORDS += [*"0123456789", *(f"##{n}" for n in range(10))]

Rows = Iterator[dict[str, Any]]


def _tokens(draw: random.Random) -> Rows:
    while True:
        words = [(word, "O") for word in draw.sample(FILLER, 4)]
        for kind in draw.choices(list(NAMES), k=2):
            words.insert(draw.randrange(len(words) + 1), (draw.choice(NAMES[kind].split()), f"B-{kind}"))
        yield {"tokens": [word for word, _ in words], "tags": [tag for _, tag in words]}


def _sets(draw: random.Random) -> Rows:
    while True:
        labels = [name for name in sorted(TOPICS) if draw.random() < 0.6]
        words = draw.sample(FILLER, 3) + [word for name in labels for word in draw.sample(TOPICS[name], 2)]
        draw.shuffle(words)
        yield {"text": " ".join(words), "labels": labels}


def _pairs(draw: random.Random) -> Rows:
    while True:
        first, second = draw.choices(list(TOPICS), k=2)
        texts = (draw.sample(FILLER, 2) + draw.sample(TOPICS[name], 3) for name in (first, second))
        one, other = (" ".join(words) for words in texts)
        yield {"text": one, "text_pair": other, "label": "same" if first == second else "different"}


def _relations(draw: random.Random) -> Rows:
    while True:
        part, *_ = draw.sample(list(PARTS), 1)
        between, label, first, second = draw.choice(
            [
                ("of the", "Part-Whole(e1,e2)", part, PARTS[part]),
                ("has a", "Part-Whole(e2,e1)", PARTS[part], part),
                ("or a", "Other", part, PARTS[part]),
            ]
        )
        start, end = " ".join(draw.sample(FILLER, 2)), " ".join(draw.sample(FILLER, 2))
        yield {"text": f"{start} <e1>{first}</e1> {between} <e2>{second}</e2> {end}", "label": label}


def _documents(draw: random.Random) -> Rows:
    while True:
        sentences = [f"{' '.join(draw.sample(FILLER, 4))}." for _ in range(3)]
        news = f"{' '.join(draw.sample(TOPICS['sport'], 3))} today."
        sentences.insert(draw.randrange(4), news)
        yield {"document": " ".join(sentences), "summary": news}


def _questions(draw: random.Random) -> Rows:
    while True:
        name, place = draw.choice(NAMES["PER"].split()), draw.choice(NAMES["LOC"].split())
        words = [*draw.sample(FILLER, 3), name, "met", "in", place, *draw.sample(FILLER, 2)]
        context = " ".join(words)
        question, answer = draw.choice([("saw with", name), ("in", place)])
        yield {
            "context": context,
            "question": question,
            "answers": {"text": [answer], "answer_start": [context.index(f" {answer} ") + 1]},
        }


GERMAN = {"goal": "tor", "team": "mannschaft", "coach": "trainer", "match": "spiel"}
GERMAN |= {"bank": "bank", "stock": "aktie", "tax": "steuer", "loan": "kredit"}


def _translations(draw: random.Random) -> Rows:
    while True:
        word = draw.choice([*GERMAN])
        yield {"source": " ".join([*draw.sample(FILLER, 8), word]), "target": f"das neue {GERMAN[word]}"}


def _abstracts(draw: random.Random) -> Rows:
    while True:
        sentences = [f"{' '.join(draw.sample(FILLER, 3))}." for _ in range(2)]
        word = draw.choice([*GERMAN])
        yield {"document": " ".join([*sentences, f"{word} today."]), "summary": f"new {word}"}


MAKE: dict[str, Callable[[random.Random], Rows]] = {
    "extractive-summarization": _documents,
    "multi-label-classification": _sets,
    "question-answering": _questions,
    "relation-extraction": _relations,
    "summarization": _abstracts,
    "text-pair-classification": _pairs,
    "token-classification": _tokens,
    "translation": _translations,
}
TARGET = {
    "question-answering": "answers",
    "extractive-summarization": "summary",
    "multi-label-classification": "labels",
    "relation-extraction": "label",
    "summarization": "summary",
    "text-pair-classification": "label",
    "token-classification": "tags",
    "translation": "target",
}


def make_rows(task: str, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """``count`` distinct rows with targets, as cells by the columns of the task."""
    found: dict[str, dict[str, Any]] = {}
    for row in MAKE[task](random.Random(f"{task}-{seed}")):
        found[json.dumps({name: cell for name, cell in row.items() if name != TARGET[task]})] = row
        if len(found) == count:
            break
    return list(found.values())


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write a jsonl file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_files(
    folder: Path, task: str, labeled: int = 24, pool: int = 24, test: int = 12
) -> dict[str, Path]:
    """Files labeled, unlabeled (with the true target in ``truth``) and test."""
    rows, target = make_rows(task, labeled + pool + test), TARGET[task]
    unlabeled = [
        {"truth" if name == target else name: cell for name, cell in row.items()}
        for row in rows[labeled : labeled + pool]
    ]
    parts = {"labeled": rows[:labeled], "unlabeled": unlabeled, "test": rows[labeled + pool :]}
    return {name: write_lines(folder / f"{name}.jsonl", some) for name, some in parts.items()}
