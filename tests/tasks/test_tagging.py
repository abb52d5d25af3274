from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from react_ray.tasks.tagging import Span, bio_tags, find_scheme, spans_of, tag_names, viterbi

PERSON = [Span(0, 2, "PER"), Span(2, 3, "PER"), Span(4, 5, "地点")]
WRITTEN = {
    "BIO": ["B-PER", "I-PER", "B-PER", "O", "B-地点"],
    "IOB1": ["I-PER", "I-PER", "B-PER", "O", "I-地点"],
    "BIOES": ["B-PER", "E-PER", "S-PER", "O", "S-地点"],
}


@pytest.mark.parametrize("scheme", WRITTEN)
def test_every_scheme_is_found_and_read(scheme):
    assert find_scheme([["O", "O"], WRITTEN[scheme]]) == scheme
    assert spans_of(WRITTEN[scheme], scheme) == PERSON
    assert bio_tags(PERSON, 5) == WRITTEN["BIO"]


def test_other_letters_of_bioes():
    assert find_scheme([["B-X", "M-X", "E-X"]]) == find_scheme([["U-X"]]) == "BIOES"
    assert spans_of(["B-X", "M-X", "E-X", "U-X", "B-X", "L-X"], "BIOES") == [
        Span(0, 3, "X"),
        Span(3, 4, "X"),
        Span(4, 6, "X"),
    ]


@pytest.mark.parametrize(
    ("tags", "scheme", "message"),
    [
        (["O", "I-PER"], "BIO", "'I-PER' at token 1 follows no B-PER"),
        (["B-LOC", "I-PER"], "BIO", "'I-PER' at token 1"),
        (["B-PER", "O"], "BIOES", "'O' at token 1 where 'PER' has not ended"),
        (["I-PER"], "BIOES", "follows no B-PER"),
        (["X-PER"], "BIO", "unknown tag: 'X-PER' at token 0"),
        (["PER"], "BIO", "unknown tag: 'PER'"),
        (["B-"], "BIO", "unknown tag: 'B-'"),
    ],
)
def test_impossible_tags_are_told(tags, scheme, message):
    with pytest.raises(ValueError, match=message):
        spans_of(tags, scheme)


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([Span(0, 2, "A"), Span(1, 3, "B")], "overlapping spans: 1 to 3"),
        ([Span(3, 6, "A")], "out of range: 3 to 6 of 5"),
        ([Span(2, 2, "A")], "out of range"),
        ([Span(-1, 2, "A")], "out of range"),
    ],
)
def test_spans_that_do_not_fit_are_told(spans, message):
    with pytest.raises(ValueError, match=message):
        bio_tags(spans, 5)


@given(st.lists(st.sampled_from(tag_names(["A", "B"])), max_size=12))
def test_valid_tags_survive_a_round_trip(tags):
    try:
        spans = spans_of(tags)
    except ValueError:
        return
    assert bio_tags(spans, len(tags)) == tags


@given(st.integers(1, 5), st.integers(0, 1000))
def test_the_best_valid_path_is_found(length, seed):
    tags = tag_names(["A", "B"])
    scores = np.log(np.random.default_rng(seed).dirichlet(np.ones(len(tags)), length))

    def valid(path):
        try:
            spans_of([tags[i] for i in path])
        except ValueError:
            return False
        return True

    paths = filter(valid, itertools.product(range(len(tags)), repeat=length))
    best = max(paths, key=lambda path: sum(scores[place, tag] for place, tag in enumerate(path)))
    assert viterbi(scores, tags) == list(best)


def test_no_tokens_have_no_tags():
    assert viterbi(np.zeros((0, 3)), tag_names(["A"])) == []
