"""Words of a text and what is left out of it; POST /explain over real HTTP."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_client import LABELS, LIMITS, POISON, Answer, Client

from react_ray.serve.engine.word_plan import CharacterSpan, find_words, group, make_plan


def cut(text: str) -> list[str]:
    return [text[word.start : word.end] for word in find_words(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \n\t", []),
        ("The striker's goal, (late) won!", ["The", "striker's", "goal,", "(late)", "won!"]),
        ("股市上涨, 2 点。", ["股", "市", "上", "涨,", "2", "点。"]),
        ("《红楼》梦", ["《红", "楼》", "梦"]),
        ("Nokia手机good", ["Nokia", "手", "机", "good"]),
        ("サッカーの試合", ["サッカー", "の", "試", "合"]),
        ("สวัสดีครับ", ["สวัสดี", "ครับ"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("cafe\u0301 🚀 a👩‍🚀", ["cafe\u0301", "🚀", "a👩‍🚀"]),
        ("-- 한국어 문장", ["--", "한국어", "문장"]),
    ],
)
def test_words_of_many_scripts(text: str, words: list[str]) -> None:
    assert cut(text) == words


@given(st.text(st.sampled_from("ab ,.(股市のカ\u0e01\u0e31🚀\u0301\n")), st.integers(1, 9))
def test_words_and_spans_cover_all_but_white_space(text: str, limit: int) -> None:
    words = find_words(text)
    assert "".join(cut(text)) == "".join(text.split())
    spans = group(words, limit)
    assert len(spans) == min(limit, len(words))
    assert sum(sum(s.start <= w.start and w.end <= s.end for s in spans) for w in words) == len(words)
    assert all(a.end <= b.start for a, b in pairwise(spans))


def test_spans_are_even() -> None:
    words = [CharacterSpan(i, i + 1) for i in range(10)]
    assert [span.end - span.start for span in group(words, 4)] == [2, 3, 2, 3]
    assert group(words, 99) == words


def test_the_plan_leaves_out_what_the_model_does_not_read() -> None:
    plan = make_plan(" a b cc d e", 2, reach=6)  # in the middle of a word
    assert (plan.read, plan.unread) == (" a b cc", CharacterSpan(8, 11))
    assert plan.texts == [" a b cc", "  b cc", " a "]
    assert make_plan("a b", 9, reach=3).unread is None
    assert make_plan("a b", 9, reach=2).unread == CharacterSpan(2, 3)
    assert make_plan("", 9, reach=0).texts == [""]


def post(client: Client, body: Any) -> Answer:
    return client.send("POST", "/explain", json.dumps(body).encode(), {"Content-Type": "application/json"})


@pytest.mark.ray
def test_a_weight_is_what_the_word_adds_to_the_score(client: Client) -> None:
    text = "🚀 goal 股市 late"
    best = client.predict(text).json[0]
    answer = post(client, {"input": text}).json
    assert answer["label"] == best["label"]
    assert answer["score"] == pytest.approx(best["score"], abs=1e-5)
    assert [word["text"] for word in answer["words"]] == ["🚀", "goal", "股", "市", "late"]
    for word in answer["words"]:
        assert text[word["start"] : word["end"]] == word["text"]
        without = client.predict(text[: word["start"]] + text[word["end"] :]).json
        score = next(entry["score"] for entry in without if entry["label"] == best["label"])
        assert word["weight"] == pytest.approx(best["score"] - score, abs=1e-5)


@pytest.mark.ray
def test_any_label_can_be_explained(client: Client) -> None:
    scores = {entry["label"]: entry["score"] for entry in client.predict("goal late").json}
    for label in LABELS:
        answer = post(client, {"input": "goal late", "label": label}).json
        assert (answer["label"], answer["score"]) == (label, pytest.approx(scores[label], abs=1e-5))
    assert post(client, {"input": ""}).json["words"] == []


@pytest.mark.ray
def test_a_long_text_is_cut_into_spans_that_cover_it(client: Client) -> None:
    text = "goal " * 50  # 64 tokens are read: 15 words
    words = post(client, {"input": text}).json["words"]
    assert len(words) <= LIMITS["max_explain_words"]
    assert " ".join(word["text"] for word in words) == text.strip()
    assert words[-1]["weight"] == 0


@pytest.mark.ray
@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"input": "a", "label": "none"}, 422, "label: 'none' is not one of"),
        ({"input": ["a"]}, 422, "input: input should be a valid string"),
        ({"inputs": "a"}, 422, 'input is missing; expected {"input"'),
        ({"input": "a" * 301}, 413, "input has 301 characters; at most 300 are taken"),
        ({"input": f"a {POISON}"}, 500, "internal error"),
    ],
)
def test_wrong_requests_are_told_why(client: Client, body: Any, status: int, says: str) -> None:
    answer = post(client, body)
    assert answer.status == status
    assert says in answer.json["error"]
