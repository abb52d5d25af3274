"""What the assistant is built from: history, documents, templates, words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from shop import write_files

from react_ray.apps.assist.documents import passages, read_documents, sections
from react_ray.apps.assist.read import read_history
from react_ray.apps.assist.templates import Template, read_templates
from react_ray.apps.assist.words import fewer_words, query_of, words
from react_ray.errors import ConfigError, InputError


def test_bad_rows_of_the_history_are_counted_with_a_reason_and_good_ones_kept(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        [
            {"question": "How much?", "answer": "Five.", "intent": 3},
            {"question": "How much?", "answer": "Five.", "intent": 3},
            {"question": " ", "answer": None, "intent": 4},
            {"question": None, "answer": "A passage.", "intent": None},
            {"question": "x" * 100_001, "answer": "Long.", "intent": None},
        ]
    )
    frame.astype({"intent": "Int64"}).to_parquet(tmp_path / "faq.parquet")
    entries, rejected = read_history(str(tmp_path / "faq.parquet"), {})
    assert [(one.question, one.answer, one.intent) for one in entries] == [
        ("How much?", "Five.", "3"),
        ("", "A passage.", None),
    ]
    assert entries[0].source == "faq.parquet:1"
    assert rejected.kinds == {"duplicate": 1, "blank": 1, "too long": 1}
    assert [row["row"] for row in rejected.rows] == [2, 3, 5]


def test_a_history_without_a_usable_row_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "faq.csv").write_text("q,answer\n,\n", encoding="utf-8")
    with pytest.raises(InputError, match="no row can be used"):
        read_history(str(tmp_path / "faq.csv"), {"question": "q"})


def test_documents_become_passages_with_their_headings(tmp_path: Path) -> None:
    write_files(tmp_path)
    docs = tmp_path / "docs"
    (docs / "a.html").write_text(
        "<html><head><style>p {}</style></head><body><h1>Fees</h1><p>None at <b>all</b>.</p>"
        "<script>alert(1)</script><h2>Abroad</h2><ul><li>Two percent.</li></ul></body></html>",
        encoding="utf-8",
    )
    (docs / "b.txt").write_bytes("Gebühr".encode("latin-1"))
    (docs / "c.txt").symlink_to("/etc/hostname")
    entries, rejected = read_documents(str(docs), 800)
    assert [(one.title, one.answer) for one in entries] == [
        ("Fees", "None at all."),
        ("Fees > Abroad", "Two percent."),
        ("Warranty", "Every kettle has a warranty of two years."),
    ]
    assert entries[1].source == "a.html (Fees > Abroad)"
    assert [(row["file"], row["reason"].partition(" (")[0]) for row in rejected.rows] == [
        ("b.txt", "unreadable: not UTF-8"),
        ("c.txt", "unreadable: it is a link to a file outside of the folder"),
    ]


def test_code_in_markdown_holds_no_headings() -> None:
    assert [title for title, text in sections("# A\n```\n# no heading\n```\n", ".md") if text] == ["A"]


@pytest.mark.parametrize("text", ["word " * 100, "一二三四五六七八九十。" * 30, "x" * 250])
def test_no_passage_is_longer_than_asked_and_nothing_is_lost(text: str) -> None:
    found = list(passages(text, 100))
    assert max(map(len, found)) <= 100
    assert "".join("".join(found).split()) == "".join(text.split())


def test_slots_are_filled_from_the_latest_message_or_asked_for(tmp_path: Path) -> None:
    write_files(tmp_path)
    templates = read_templates(tmp_path / "templates.yaml", ["delivery", "payment"])
    delivery = templates["delivery"]
    assert delivery.fill(["where is it"]) == "Which order is it?"
    assert delivery.fill(["12345", "no, 54321"]) == "Your order 54321 arrives within five days."
    no_question = Template.model_validate({"text": "{a}", "slots": {"a": {"pattern": "b"}}})
    assert no_question.fill(["c"]) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("fees: {text: 'none {x}'}", "has {x}, which is not among its slots"),
        ("fees: {text: '{x:d}', slots: {x: {value: '1'}}}", "write the slot x as {x}, without a format"),
        ("fees: {text: '{x}', slots: {x: {pattern: '('}}}", "fees"),
        ("fees: {text: '{x}', slots: {x: {}}}", "needs a value or a pattern"),
        ("fees: {words: a}", "text"),
        ("other: none", "no question in the history has the intent 'other'"),
        ("- a", "expected intent: text"),
    ],
)
def test_errors_of_templates_name_the_place(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "t.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"t\.yaml") as error:
        read_templates(tmp_path / "t.yaml", ["fees"])
    assert message in str(error.value)


def test_chinese_is_searched_by_pairs_and_quotes_cannot_break_a_query() -> None:
    assert words("重置密码") == ["重置", "置密", "密码"]
    assert query_of('"x" OR * NEAR(重 -') == '"x" OR "or" OR "near" OR "重"*'
    assert query_of("?!") == ""
    kept = fewer_words("如何重置我的密码", 0.4, np.random.default_rng(0))
    assert len(kept) == 5
    assert set(kept) < set("如何重置我的密码")
