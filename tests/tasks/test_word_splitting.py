from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from react_ray.tasks.tagging import Span
from react_ray.tasks.word_splitting import join_words, split_words, trim

text_like = st.text(st.sampled_from("ab1 .,-'高勇：かな한\t\n😀é"), max_size=20)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Dr. Who's 3.5 km", ["Dr", ".", "Who", "'", "s", "3", ".", "5", "km"]),
        ("高勇在Ray公司", ["高", "勇", "在", "Ray", "公", "司"]),
        ("한국 カナ", ["한", "국", "カ", "ナ"]),
        ("naïve_name ☃", ["naïve_name", "☃"]),
        ("  ", []),
        ("", []),
    ],
)
def test_words(text, words):
    assert split_words(text).words() == words


@given(text_like)
def test_no_character_but_white_space_is_lost(text):
    words = split_words(text)
    assert "".join(words.words()) == "".join(text.split())
    assert [text[a:b] for a, b in zip(words.starts, words.ends, strict=True)] == words.words()


def test_a_span_inside_a_word_cuts_it():
    words = split_words("antiUS talks", [Span(4, 6, "LOC")])
    assert words.words() == ["anti", "US", "talks"]
    assert words.span(Span(4, 6, "LOC")) == Span(1, 2, "LOC")


def test_a_span_that_is_no_words_is_told():
    with pytest.raises(ValueError, match=r"1 to 3 \('b '\)"):
        split_words("ab cd").span(Span(1, 3, "X"))


@given(st.lists(st.text(st.sampled_from("ab.高：1"), min_size=1, max_size=3), max_size=8))
def test_joined_words_stay_where_they_are_said_to_be(words):
    joined = join_words(words)
    assert joined.words() == words
    for start in range(len(words)):
        span = Span(start, len(words), "X")
        assert joined.span(joined.characters(span)) == span


def test_words_are_joined_as_people_write():
    assert join_words(["Ray", "Data", "读", "取", "CSV"]).text == "Ray Data读取CSV"


def test_white_space_at_the_ends_of_a_span_does_not_count():
    assert trim("a New York b", Span(1, 11, "LOC")) == Span(2, 10, "LOC")
    with pytest.raises(ValueError, match="white space"):
        trim("a  b", Span(1, 3, "LOC"))
    with pytest.raises(ValueError, match="out of range: 2 to 9 of 4"):
        trim("a  b", Span(2, 9, "LOC"))
