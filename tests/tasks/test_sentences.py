"""Sentences, ROUGE and the choice of sentences for a summary."""

from __future__ import annotations

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from react_ray.tasks.rouge import ROUGE, rouge, rouge_tokens
from react_ray.tasks.sentence_selection import lead, likeliest, oracle, text_rank
from react_ray.tasks.sentences import split_sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("It rained. We left!", ["It rained.", "We left!"]),
        ("Mr. Smith paid 3.5 dollars. Why?", ["Mr. Smith paid 3.5 dollars.", "Why?"]),
        ("The U.S. Army came, e.g. in May. Then J. R. R. Tolkien.", None),
        ('He said "Stop!" Then he left.', ['He said "Stop!"', "Then he left."]),
        ("A: hello\n\nB: bye", ["A: hello", "B: bye"]),
        ("今天下雨。我们在家！好吗？", ["今天下雨。", "我们在家！", "好吗？"]),
        ("他说：“走吧。”然后离开了", ["他说：“走吧。”", "然后离开了"]),
        ("下雨了!我们回家?好.", ["下雨了!", "我们回家?", "好."]),
        ('他说"走吧!"然后用iPhone!?再见', ['他说"走吧!"', "然后用iPhone!?", "再见"]),
        ("真的！?好", ["真的！?", "好"]),
        ("see a.com/?q=1 or a!b", ["see a.com/?q=1 or a!b"]),
        ("  no end", ["no end"]),
        ("", []),
        (" \n ", []),
    ],
)
def test_sentences_end_where_readers_see_their_end(text, sentences):
    expected = sentences or (
        ["The U.S. Army came, e.g. in May.", "Then J. R. R. Tolkien."] if sentences is None else []
    )
    assert [text[start:end] for start, end in split_sentences(text)] == expected


def test_scores_of_english_are_those_of_rouge_score():
    texts = ["The cat sat on the mat.", "GPT-4 costs 3.50 dollars", "", "nothing in common"]
    references = ["A cat was on a mat!", "gpt-4 cost 3.50 dollars a day", "some text", "x y z"]
    scorer = RougeScorer(["rougeL", "rouge1", "rouge2"])
    expected = [
        [scorer.score(reference, text)[kind].fmeasure for kind in ("rougeL", "rouge1", "rouge2")]
        for text, reference in zip(texts, references, strict=True)
    ]
    assert np.allclose(rouge(texts, references), expected)
    assert ROUGE[0] == "rouge_l"


def test_chinese_is_scored_by_characters():
    assert rouge_tokens("模型BERT，很好") == ["模", "型", "bert", "很", "好"]
    assert rouge(["模型很好"], ["模型好"])[0, 1] == pytest.approx(6 / 7)
    assert rouge(["天气"], ["模型"]).max() == 0
    assert rouge([], []).shape == (0, 3)


def test_the_oracle_selects_what_the_reference_says():
    sentences = ["Rain fell.", "Leeds won the cup final.", "Fans sang.", "The coach, 61, will retire."]
    assert oracle(sentences, "Leeds won the cup, and their coach will retire") == [1, 3]
    assert oracle(sentences, "zzz") == [0], "one at least"
    assert oracle([], "Leeds") == []
    assert len(oracle(["a b"] * 50 + ["c"], "a b c", most=2)) <= 2


def test_text_rank_prefers_the_sentence_that_others_share_words_with():
    sentences = [
        "cats and dogs and birds",
        "cats sleep",
        "dogs bark loudly",
        "birds sing",
        "unrelated words here",
    ]
    assert text_rank(sentences, 1) == [0]
    assert text_rank(["", "..."], 2) == [0, 1]
    assert text_rank([], 3) == []
    assert lead(sentences, 2) == [0, 1]
    assert lead(sentences[:1], 2) == [0]
    assert likeliest(np.array([0.1, 0.5, 0.5, 0.9]), 2) == [1, 3]
