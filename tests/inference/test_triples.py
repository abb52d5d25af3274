"""An entity and a relation model together: which pairs are asked about, and what the answers stand for."""

from __future__ import annotations

import csv
import json
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_tagger import RELATIONS, save_relations, save_tagger

import react_ray
from react_ray.answer import Answer
from react_ray.cli import main
from react_ray.errors import InputError
from react_ray.inference.prediction import Entity, Triple
from react_ray.inference.triples import PairSelection, load_triples, questions_of, triples_of

TEXT = "Ada lives in Paris, and ada likes Rome."


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    return save_tagger(folder / "tagger"), save_relations(folder / "relations")


def entity(word: str, text: str = TEXT, score: float = 0.5) -> Entity:
    start = text.index(word)
    return Entity("X", score, word, start, start + len(word))


def asked(labels: Sequence[str], words: Sequence[str], **settings: int) -> list[tuple[str, str]]:
    selection = PairSelection.of(labels, 64, **settings)
    return [
        (q.e1.word, q.e2.word) for q in questions_of(selection, 0, TEXT, [entity(word) for word in words])
    ]


def test_labels_with_a_direction_are_asked_about_once_in_the_order_of_the_text() -> None:
    assert asked(RELATIONS, ["Rome", "Ada", "Paris"]) == [
        ("Ada", "Paris"),
        ("Ada", "Rome"),
        ("Paris", "Rome"),
    ]


def test_labels_without_a_direction_are_asked_about_in_both_orders() -> None:
    assert asked(["Home", "none"], ["Ada", "Paris"]) == [("Ada", "Paris"), ("Paris", "Ada")]


def test_of_too_many_pairs_the_nearest_are_asked_about() -> None:
    words = ["Ada", "Paris", "ada", "Rome"]
    assert asked(RELATIONS, words, most_pairs=2) == [("Paris", "ada"), ("ada", "Rome")]
    assert len(asked(["Home", "none"], words, most_pairs=2)) == 4
    many = [Entity("X", 1.0, "x", 2 * place, 2 * place + 1) for place in range(40)]
    assert len(questions_of(PairSelection.of(RELATIONS, 64), 0, "x " * 40, many)) == 45


def test_entities_that_overlap_are_no_pair() -> None:
    assert asked(RELATIONS, ["Ada", "Ada lives", "Rome"]) == [("Ada", "Rome"), ("Ada lives", "Rome")]


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("Home(e1,e2)", ("Ada", "Home", "Paris")),
        ("Home(e2,e1)", ("Paris", "Home", "Ada")),
        ("Home (E2, E1)", ("Paris", "Home", "Ada")),
        ("Home", ("Ada", "Home", "Paris")),
        ("Other", None),
        ("no_relation", None),
    ],
)
def test_the_label_says_which_is_the_head(label: str, told: tuple[str, str, str] | None) -> None:
    questions = questions_of(
        PairSelection.of(RELATIONS, 64), 7, TEXT, [entity("Ada"), entity("Paris", score=0.8)]
    )
    found = triples_of(questions, [Answer(label, 0.5)])
    assert [(t.head, t.relation, t.tail) for _, t in found] == ([told] if told else [])
    for number, triple in found:
        assert number == 7
        assert triple.score == pytest.approx(0.5 * 0.8 * 0.5)
        assert TEXT[triple.head_start : triple.head_end] == triple.head
        assert TEXT[triple.tail_start : triple.tail_end] == triple.tail
        assert (triple.head_entity_group, triple.tail_entity_group) == ("X", "X")


def test_the_relation_model_is_given_what_is_near_the_pair() -> None:
    text = f"{'a ' * 5000}Ada {'b ' * 5000}Rome{' c' * 5000}"
    selection = PairSelection.of(RELATIONS, 64)
    (question,) = questions_of(selection, 0, text, [entity("Ada", text), entity("Rome", text)])
    row = question.row
    assert len(row["text"]) < 5 * selection.chars
    assert row["text"][row["e1_start"] : row["e1_end"]] == "Ada"
    assert row["text"][row["e2_start"] : row["e2_end"]] == "Rome"
    assert (question.e1.start, question.e2.start) == (text.index("Ada"), text.index("Rome"))


def test_triples_are_what_the_two_models_say_one_after_the_other(models: tuple[Path, Path]) -> None:
    texts = [TEXT, "nothing", "Rome likes ada " * 8, "x"]
    found = load_triples(*models).predict(texts)
    tagger, relations = (react_ray.load(folder) for folder in models)
    expected = []
    for text, entities in zip(texts, tagger.predict(texts), strict=True):
        pairs = [(a, b) for i, a in enumerate(entities) for b in entities[i + 1 :]]
        nearest = sorted(pairs, key=lambda pair: pair[1].start - pair[0].end)[:45]
        nearest.sort(key=lambda pair: (pair[0].start, pair[1].start))
        inputs = [{"text": text, "e1": [a.start, a.end], "e2": [b.start, b.end]} for a, b in nearest]
        own = []
        for (a, b), answer in zip(nearest, relations.predict(inputs), strict=True):
            relation, _, direction = answer.label.partition("(")
            head, tail = (b, a) if direction == "e2,e1)" else (a, b)
            if relation != "Other":
                own.append(
                    (head.start, relation, tail.start, pytest.approx(a.score * b.score * answer.score))
                )
        expected.append(own)
    told = [[(t.head_start, t.relation, t.tail_start, t.score) for t in triples] for triples in found]
    assert told == expected
    assert found[1] == []
    assert isinstance(found[0][0], Triple)
    assert len({t.relation for triples in found for t in triples}) == 2, "the model is to give several"


def test_words_that_were_split_already_and_no_text(models: tuple[Path, Path]) -> None:
    extractor = react_ray.load_triples(*models)
    split, whole = extractor.predict([{"tokens": ["Ada", "likes", "Rome"]}, "Ada likes Rome"])
    assert split == whole
    assert extractor.predict([]) == []
    assert extractor.predict(["x", ""]) == [[], []]
    with pytest.raises(InputError, match="input 1"):
        extractor.predict(["x", 7])  # type: ignore[list-item]


def test_models_of_the_wrong_kind_are_told_apart(models: tuple[Path, Path]) -> None:
    tagger, relations = models
    with pytest.raises(InputError, match=r"the entity model \(.*relations\) is one for relation extraction"):
        load_triples(relations, tagger)
    with pytest.raises(InputError, match=r"the relation model \(.*tagger\) is one for token classification"):
        load_triples(tagger, tagger)
    with pytest.raises(InputError, match="the relation model is one for token classification"):
        react_ray.TripleExtractor(react_ray.load(tagger), react_ray.load(tagger))


def written(models: tuple[Path, Path], source: Path, target: Path) -> Path:
    tagger, relations = map(str, models)
    files = ["--input", str(source), "--output", str(target), "--quiet"]
    assert main(["predict", tagger, "--relations", relations, *files]) == 0
    return target


def test_files_get_entities_and_triples(models: tuple[Path, Path], tmp_path: Path) -> None:
    texts = [TEXT, "", "nothing"]
    source = tmp_path / "texts.csv"
    with source.open("w", newline="") as file:
        csv.writer(file).writerows([["text", "triples"], *([text, "own"] for text in texts)])
    (expected,) = load_triples(*models).predict([TEXT])
    rows = pq.read_table(written(models, source, tmp_path / "out.parquet")).to_pylist()
    assert [row["triples_given"] for row in rows] == ["own"] * 3
    assert [len(row["entities"]) if row["text"] else row["entities"] for row in rows] == [4, None, 0]
    same = [pytest.approx(asdict(triple)) for triple in expected]
    assert [row["triples"] for row in rows] == [same, None, []]
    with written(models, source, tmp_path / "out.csv").open(newline="") as file:
        cells = [row["triples"] for row in csv.DictReader(file)]
    assert json.loads(cells[0]) == same
    assert cells[1:] == ["", "[]"]


def test_the_command_says_which_model_is_of_the_wrong_kind(
    models: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ["--input", str(tmp_path / "in.csv"), "--output", str(tmp_path / "out.csv")]
    tagger, relations = map(str, models)
    assert main(["predict", relations, "--relations", tagger, *files]) == 2
    assert "the entity model" in capsys.readouterr().err
    assert main(["predict", tagger, "--relations", tagger, *files]) == 2
    assert "the relation model" in capsys.readouterr().err


def test_thousands_of_entities_take_little_memory() -> None:
    many = [Entity("X", 1.0, "x", 2 * place, 2 * place + 1) for place in range(4000)]
    tracemalloc.start()
    try:
        pairs = PairSelection.of(RELATIONS, 64).pairs(many)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(pairs) == 45
    assert {other.start - one.end for one, other in pairs} == {1}, "neighbours"
    assert peak < 20e6


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 5)), max_size=15), st.integers(1, 12))
def test_the_nearest_pairs_are_those_of_all_pairs(places: list[tuple[int, int]], most: int) -> None:
    entities = [Entity("X", 1.0, "x", start, start + length) for start, length in places]
    ordered = sorted(entities, key=lambda one: (one.start, one.end))
    apart = [(one, other) for one, other in combinations(ordered, 2) if one.end <= other.start]
    nearest = sorted(apart, key=lambda pair: pair[1].start - pair[0].end)[:most]
    found = PairSelection(directed=True, chars=9, most_pairs=most).pairs(entities)
    assert Counter(found) == Counter(nearest)


def test_entities_that_are_far_apart_are_not_all_compared() -> None:
    looks = 0

    class Place(int):
        def __sub__(self, other: int) -> int:
            nonlocal looks
            looks += 1
            return int(self) - int(other)

    many = [Entity("X", 1.0, "x", Place(2 * place), 2 * place + 1) for place in range(3000)]
    assert len(PairSelection(directed=True, chars=9, most_pairs=1000).pairs(many)) == 1000
    assert looks < 10 * len(many)
