from __future__ import annotations

import unicodedata
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from react_ray.config.settings import AugmentConfig
from react_ray.data.augment import augment_table
from react_ray.data.shards import text_id
from react_ray.tasks.text_changes import augment
from react_ray.tasks.text_classification import TEXT_CLASSIFICATION as TASK

ENGLISH = "The striker scored twice in the last minutes of a match that nobody will forget soon"
CHINESE = "今日股市大涨，基金经理普遍看好科技股后市表现，投资者信心恢复"
JAPANESE = "東京の株式市場は大きく上がりました"
EMOJI = "👨‍👩‍👧 👍🏽 🇩🇪🇫🇷 ❤️ 1️⃣ 🏴󠁧󠁢󠁥󠁮󠁧󠁿"
ALL = ("delete", "swap", "crop", "typo")


def config(*operations: str, **settings: Any) -> AugmentConfig:
    return AugmentConfig(operations=operations or ALL, **settings)


@settings(deadline=None)
@given(st.text(max_size=60), st.integers(0, 9), st.sampled_from(ALL), st.floats(0, 0.5))
def test_copies_are_never_empty_differ_and_come_again(
    text: str, seed: int, operation: str, strength: float
) -> None:
    settings = config(operation, copies=5, strength=strength)
    copies = augment(text, settings, seed)
    assert all(copy.strip() for copy in copies)
    assert len({text, *copies}) == 1 + len(copies) <= 6
    assert augment(text, settings, seed) == copies


@pytest.mark.parametrize("text", [ENGLISH, CHINESE, JAPANESE])
@pytest.mark.parametrize("operation", ALL)
def test_every_operation_changes_little_of_a_text_in_any_script(text: str, operation: str) -> None:
    copies = augment(text, config(operation, copies=4))
    assert len(copies) == 4 or (operation == "crop" and len(copies) == 3)  # two words have three places
    for copy in copies:
        assert set(copy) <= set(text)
        assert abs(len(copy) - len(text)) <= max(0.35 * len(text), 2)
    units = (lambda t: t.split()) if text == ENGLISH else list
    if operation == "delete":
        assert all(
            len(units(text)) - len(units(copy)) == max(1, round(0.1 * len(units(text)))) for copy in copies
        )
    if operation == "swap":
        assert all(sorted(units(copy)) == sorted(units(text)) for copy in copies)
    if operation == "crop":
        assert all(copy in text for copy in copies)


def test_a_typo_keeps_the_words_recognisable() -> None:
    for copy in augment(ENGLISH, config("typo")):
        pairs = list(zip(ENGLISH.split(), copy.split(), strict=True))
        assert sum(old != new for old, new in pairs) in (1, 2)
        assert all(sorted(old) == sorted(new) and old[0] == new[0] for old, new in pairs)


def test_an_emoji_is_never_cut_in_two() -> None:
    text = "today " + EMOJI + " 今日" + EMOJI.replace(" ", "")
    whole = {"👨‍👩‍👧", "👍🏽", "🇩🇪", "🇫🇷", "❤️", "1️⃣", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"}
    copies = augment(text, config(copies=60, strength=0.5))
    assert len(copies) == 60
    for copy in copies:
        for emoji in sorted(whole, key=len, reverse=True):
            copy = copy.replace(emoji, "")
        left = [c for c in copy if unicodedata.category(c) in ("So", "Sk", "Cf", "Mn", "Me")]
        assert left == []


def test_strength_sets_how_much_changes() -> None:
    words = " ".join(f"word{number}" for number in range(100))
    for strength in (0.1, 0.3, 0.5):
        for copy in augment(words, config("delete", strength=strength)):
            assert len(copy.split()) == round(100 * (1 - strength))


def test_another_seed_gives_other_copies_and_more_copies_keep_the_first() -> None:
    assert augment(ENGLISH, config(), 1) != augment(ENGLISH, config(), 2)
    assert augment(ENGLISH, config(copies=6), 1)[:3] == augment(ENGLISH, config(copies=3), 1)


@pytest.mark.parametrize(
    ("text", "most"), [("no", 0), ("涨", 0), ("good film", 3), ("👍🏽", 0), ("...", 0), ("", 0)]
)
def test_a_short_text_gives_as_many_copies_as_there_are(text: str, most: int) -> None:
    assert len(augment(text, config("delete", "swap", "crop", copies=50))) == most


def test_texts_are_changed_in_three_ways_unless_others_are_named() -> None:
    usual = AugmentConfig(copies=9, operations=("delete", "swap", "crop"))
    assert augment(ENGLISH, AugmentConfig(copies=9)) == augment(ENGLISH, usual)
    assert augment(ENGLISH, AugmentConfig(operations=())) == []


def test_nothing_to_do() -> None:
    assert augment(ENGLISH, config(strength=0)) == []
    assert augment(ENGLISH, config(copies=0)) == []


def test_a_table_may_be_cut_anywhere() -> None:
    texts = [ENGLISH, "no", CHINESE]
    table = pa.table(
        {"id": ["1", "2", "3"], "text": texts, "label": ["a", "b", "a"], "part": ["labeled"] * 3}
    )
    copies = augment_table(table, config(copies=2), 3, TASK)
    assert copies.schema.names == ["id", "copy_of", "text", "label"]
    assert copies["id"].to_pylist() == [text_id(text) for text in copies["text"].to_pylist()]
    assert copies.select(["copy_of", "label"]).to_pylist() == [
        {"copy_of": row, "label": "a"} for row in ("1", "3") for _ in range(2)
    ]
    assert copies["text"].to_pylist()[:2] == augment(ENGLISH, config(copies=2), 3)
    parts = [augment_table(table.slice(row, 1), config(copies=2), 3, TASK) for row in range(3)]
    assert pa.concat_tables(parts) == copies
