from __future__ import annotations

from pathlib import Path

import pytest

from react_ray.data.vocabulary import ModelChoice, Vocabulary, check_vocabulary, unknown_share
from react_ray.errors import InputError
from react_ray.models.pretrained import load_tokenizer

CHINESE = ["股市上涨", "球队比赛"]
ENGLISH = ["the match was long", "shares rise"]


def test_the_share_counts_tokens(tiny_model: Path, tiny_chinese_model: Path) -> None:
    english, chinese = load_tokenizer(str(tiny_model)), load_tokenizer(str(tiny_chinese_model))
    assert unknown_share(ENGLISH, english) == 0
    assert unknown_share(CHINESE, english) == 1
    assert unknown_share(CHINESE, chinese) == 0
    assert unknown_share(["股市 x y"], chinese) == 0.5
    assert unknown_share([], english) == 0


def test_a_model_that_reads_the_language_passes(tiny_model: Path, tiny_chinese_model: Path) -> None:
    check_vocabulary(ENGLISH, str(tiny_model), 0.05)
    check_vocabulary(CHINESE, str(tiny_chinese_model), 0.05)
    check_vocabulary(CHINESE, str(tiny_model), 1.0)


def test_the_error_names_flag_share_example_and_fix(tiny_model: Path) -> None:
    with pytest.raises(InputError) as error:
        check_vocabulary([*ENGLISH, "股市上涨"], str(tiny_model), 0.05, "--encoder")
    told = str(error.value)
    assert told.startswith(f"--encoder {tiny_model} cannot read these texts: ")
    for part in (
        "of the tokens in a sample of 3",
        "'股市上涨'",
        "at most 5%",
        "Give --encoder a model",
        "data.max_unknown",
    ):
        assert part in told


def test_the_embedded_model_does_not_read_chinese() -> None:
    with pytest.raises(
        InputError, match=r"(?s)--model embedded cannot read these texts.*Give --model a model.*multilingual"
    ):
        check_vocabulary(["今日股市大涨，科技股领先", "国足主场告负"], "embedded", 0.05)
    check_vocabulary(["Shares rose sharply on Monday."], "embedded", 0.05)


def test_of_models_that_are_chosen_automatically_those_that_cannot_read_are_left_out(
    tiny_model: Path, tiny_chinese_model: Path
) -> None:
    both = (str(tiny_model), str(tiny_chinese_model))
    chinese, automatic = Vocabulary(CHINESE, 0.05), ModelChoice("--encoder", both, automatic=True)
    assert chinese.readers(automatic) == [str(tiny_chinese_model)]
    assert Vocabulary([], 0.05).readers(automatic) == list(both)
    with pytest.raises(InputError, match=f"--encoder {tiny_model} cannot read"):
        chinese.readers(ModelChoice("--encoder", both))
    with pytest.raises(InputError, match=f"--model {tiny_model} cannot read"):
        Vocabulary(["한국어"], 0.05).readers(ModelChoice("--model", both, automatic=True))
