"""Entities from rows to answers; what is the same for every task is in test_contract.py."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import pipeline

from react_ray.answer import Answer, load_answers, save_answers
from react_ray.models.pretrained import load_tokenizer
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.tasks import Example, get_task
from react_ray.tasks.columns import Options
from react_ray.tasks.entity_decoding import best_power, entity_answer, word_log_probabilities
from react_ray.tasks.running import calibrate, padding_of, predict, settings_of
from react_ray.tasks.tagging import spans_of
from react_ray.tasks.task import Padding
from react_ray.tasks.word_places import WordPlaces

TASK = get_task("token-classification")
TYPES = ["LOC", "PER"]
TAGS = TASK.output_names(TYPES)
SCHEMA = pa.schema([*TASK.inputs, TASK.target])
RIGHT = Padding(0, "right")


def table(*rows: dict, **columns: list) -> pa.Table:
    found = pa.Table.from_pylist([TASK.parse(row, Options()) for row in rows], schema=SCHEMA)
    for name, values in columns.items():
        found = found.append_column(name, pa.array(values))
    return found


ADA = {"tokens": ["Ada", "met", "Li", "in", "Paris"], "tags": ["B-PER", "O", "B-PER", "O", "B-LOC"]}


@pytest.fixture
def tokenizer(tiny_model: Path) -> TransformersTokenizer:
    return TransformersTokenizer(load_tokenizer(str(tiny_model)), 32)


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["B-PER", "I-PER", "O", "B-PER"], "BIO"),
        (["I-PER", "I-PER", "O", "I-PER"], "IOB1"),
        (["B-PER", "E-PER", "O", "S-PER"], "BIOES"),
        ('["B-PER", "L-PER", "O", "U-PER"]', "BIOES"),
    ],
)
def test_tags_of_every_scheme_are_kept_as_bio(tags, scheme):
    cells = {"tokens": ["Ada", "Li", "met", "Bo"], "tags": tags}
    options = TASK.detect([{"tokens": ["a"], "tags": None}, {"tags": "[broken"}, cells], Options())
    assert options.scheme == scheme
    assert TASK.parse(cells, options)["tags"] == ["B-PER", "I-PER", "O", "B-PER"]
    assert TASK.detect([cells], Options(scheme="BIO")).scheme == "BIO", "what people say counts"


def test_a_chinese_character_is_a_word_and_a_mark_too():
    row = TASK.parse({"text": "高勇，CEO", "spans": [[0, 2, "PER"]]}, Options())
    assert row == {
        "text": "高勇，CEO",
        "starts": [0, 1, 2, 3],
        "ends": [1, 2, 3, 6],
        "tags": ["B-PER", "I-PER", "O", "O"],
    }
    assert TASK.shown(row["tags"], row) == "PER: 高勇"
    assert TASK.shown(row["tags"]) == "PER: words 1 to 2"
    assert TASK.shown([[2, 4, "LOC"], [0, 1, "PER"]], row) == "LOC: ，CEO; PER: 高"
    assert TASK.shown(["O", "O"]) == TASK.shown([]) == "no entity"
    assert TASK.names_in(["B-PER", "I-PER", "B-PER", "O", "B-LOC"]) == ["PER", "PER", "LOC"]


def test_outputs_and_types_are_each_others_reverse():
    for types in (["PER", "LOC"], ["B-side", "a"], ["I"]):
        assert TASK.classes_of(TASK.output_names(types)) == types


def test_tags_and_distributions_of_words_are_encoded_alike(tokenizer):
    rows = table(ADA, {"tokens": ["x"], "tags": ["O"]}, weight=[0.5, 1.0])
    soft = [
        np.eye(len(TAGS))[[TAGS.index(tag) for tag in tags]].tolist() for tags in rows["tags"].to_pylist()
    ]
    given = rows.set_column(3, "tags", pa.array(soft))
    for one, other in zip(
        TASK.encode(tokenizer, rows, TYPES), TASK.encode(tokenizer, given, TYPES), strict=True
    ):
        assert one.ids == other.ids
        assert np.array_equal(one.target, other.target)
        assert one.weight == other.weight
    targets = TASK.targets(TASK.encode(tokenizer, rows, TYPES), RIGHT)
    assert targets.shape == (2, len(TASK.encode(tokenizer, rows, TYPES)[0].ids), len(TAGS))
    tokens = tokenizer.tokenizer.convert_ids_to_tokens(TASK.encode(tokenizer, rows, TYPES)[0].ids)
    named = {tokens[i]: TAGS[targets[0, i].argmax()] for i in range(len(tokens)) if targets[0, i].any()}
    assert named == {"a": "B-PER", "m": "O", "l": "B-PER", "i": "O", "p": "B-LOC"}


def test_words_may_have_weights(tokenizer):
    rows = table(ADA, weights=[[1.0, 1.0, 0.0, 1.0, 0.25]])
    targets = TASK.targets(TASK.encode(tokenizer, rows, TYPES), RIGHT)[0]
    assert targets.sum(1)[targets.any(1)].tolist() == [1, 1, 1, 0.25]
    assert TASK.encode(tokenizer, rows.drop_columns("tags"), TYPES)[0].target is None


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_no_target_and_no_output(tokenizer, side):
    rows = table(ADA, {"tokens": ["x", "Oslo"], "tags": ["O", "B-LOC"]})
    examples, padding = TASK.encode(tokenizer, rows, TYPES), Padding(0, side)
    targets, mask = TASK.targets(examples, padding), TASK.collate(examples, padding)["attention_mask"]
    assert not targets[mask == 0].any()
    for found, example in zip(TASK.split(targets, examples, padding), examples, strict=True):
        assert np.array_equal(found, example.target)


def test_the_loss_is_the_mean_over_words(tokenizer):
    rows = table(ADA, {"tokens": ["x"], "tags": ["O"]}, {"text": "\u200d", "spans": []})
    targets = torch.from_numpy(TASK.targets(TASK.encode(tokenizer, rows, TYPES), RIGHT))
    output = type("Output", (), {"logits": torch.zeros(targets.shape)})
    assert TASK.loss(output, targets)[:2].tolist() == pytest.approx([np.log(5), np.log(5)])
    assert torch.isfinite(TASK.loss(output, targets)).all()


def long_row(words: int) -> dict:
    pick = random.Random(0)
    kinds = [pick.choice(["PER", "LOC", ""]) for _ in range(words)]
    tokens = [{"PER": "adaada", "LOC": "oslo", "": "x"}[kind] for kind in kinds]
    return {"tokens": tokens, "tags": [f"B-{kind}" if kind else "O" for kind in kinds]}


def test_entities_of_long_texts_are_all_found(tokenizer, tiny_model):
    rows = table(long_row(200), ADA, {"text": " ".join(["adaada"] * 30), "spans": []})
    examples = TASK.encode(tokenizer, rows, TYPES)
    assert max(len(example.ids) for example in examples) == 32
    assert [example.row for example in examples] == sorted(example.row for example in examples)
    for row, starts in enumerate(rows["starts"].to_pylist()):
        read = np.concatenate([example.places.words for example in examples if example.row == row])
        assert sorted(read) == list(range(len(starts))), "each word counts once"
    outputs = [example.target * 20 for example in examples]  # what a perfect model says
    answers = TASK.decode(outputs, examples, rows, TYPES, {})
    assert TASK.measure(answers, rows, TYPES)["entity_f1"] == 1
    assert min(answer.score for answer in answers) > 0.99


def certain(*tags: str, p: float = 0.9) -> np.ndarray:
    rest = (1 - p) / (len(TAGS) - 1)
    return np.log([[p if tag == name else rest for name in TAGS] for tag in tags]).astype(np.float32)


def answered(logits: np.ndarray, tokens: list[int], words: int, numbers: list[int] | None = None) -> Answer:
    places = WordPlaces(np.array(numbers or range(words), np.int64), np.array(tokens, np.int64))
    return entity_answer(*word_log_probabilities([logits], [places], words, len(TAGS)), TAGS)


def test_answers_obey_bio_and_score_the_least_certain_tag():
    answer = answered(certain("O", "I-LOC", "I-LOC", "B-PER"), [1, 2, 3, 4], 4)
    assert [tuple(item) for item in answer.value] in ([(1, 3, "LOC"), (3, 4, "PER")], [(3, 4, "PER")])
    fine = answered(certain("B-LOC", "I-LOC", "O"), [1, 2, 3], 3)
    assert fine.value == [[0, 2, "LOC"]]
    assert fine.score == pytest.approx(0.9)
    assert fine.ranking[0] == ("LOC", pytest.approx(0.9))


def test_a_token_of_two_words_begins_one_entity():
    logits = certain("B-LOC", "B-LOC", "O")  # its first two words share a token
    assert answered(logits, [1, 1, 2], 3).value == [[0, 2, "LOC"]]


def test_a_word_without_a_token_is_what_its_neighbours_make_it():
    inside = answered(certain("B-LOC", "I-LOC", "O"), [1, 2, 3], 4, [0, 2, 3])
    assert inside.value == [[0, 3, "LOC"]]
    assert inside.score == pytest.approx(0.9), "it says nothing about how certain the others are"
    assert answered(certain("O", "O"), [1, 2], 3, [0, 2]).value == []
    assert answered(np.zeros((0, 5), np.float32), [], 0).score == 1


def test_logits_that_are_no_numbers_still_give_an_answer():
    answer = answered(np.full((3, 5), np.nan, np.float32), [1, 2, 3], 3)
    assert answer.value == []
    assert answer.score < 0.5


def test_answers_survive_json(tmp_path: Path):
    rows = table(ADA)
    answer = Answer([[0, 1, "PER"], [4, 5, "LOC"]], 0.9, (("PER", 0.9), ("LOC", 0.95)))
    save_answers([answer], tmp_path / "answers.jsonl")
    assert load_answers(tmp_path / "answers.jsonl") == [answer]
    assert TASK.credit([answer], rows).tolist() == [0.8]
    row = rows.to_pylist()[0]
    assert json.loads(json.dumps(TASK.wire(answer, row)))[1] == {
        "entity_group": "LOC",
        "score": 0.95,
        "word": "Paris",
        "start": 14,
        "end": 19,
    }
    typed = pa.array([TASK.columns_of(answer, row)["entities"]], TASK.added[0].type)
    assert typed[0][0]["word"].as_py() == "Ada"


def test_the_figures_are_those_of_seqeval():
    seqeval = pytest.importorskip("seqeval.metrics")
    pick = random.Random(3)

    def draw(length: int) -> list[str]:
        tags = ["O"]
        for _ in range(length):
            inside = [f"I-{tags[-1][2:]}"] * 2 if tags[-1] != "O" else []
            tags.append(pick.choice(["O", "B-LOC", "B-PER", *inside]))
        return tags[1:]

    truth, made = ([draw(9) for _ in range(40)] for _ in range(2))
    rows = table(*({"tokens": ["x"] * 9, "tags": tags} for tags in truth))
    answers = [Answer([list(span) for span in spans_of(tags)], 1.0) for tags in made]
    found = TASK.measure(answers, rows, TYPES)
    assert found["entity_f1"] == pytest.approx(seqeval.f1_score(truth, made))
    assert found["entity_precision"] == pytest.approx(seqeval.precision_score(truth, made))
    assert found["entity_recall"] == pytest.approx(seqeval.recall_score(truth, made))
    report = seqeval.classification_report(truth, made, output_dict=True)
    details = TASK.details(answers, rows, TYPES)
    for name in TYPES:
        assert details["per_class"][name]["f1"] == pytest.approx(report[name]["f1-score"])
        assert details["per_class"][name]["support"] == report[name]["support"]
    assert sum(details["errors"].values()) > 0


def test_the_head_starts_from_a_linear_fit_and_is_calibrated(tokenizer, tiny_model):
    rows = table(*[long_row(12 + n) for n in range(40)])
    model = TASK.load_model(str(tiny_model), TYPES, 0.0).eval()
    examples = TASK.encode(tokenizer, rows, TYPES)
    assert TASK.warm_start(model, examples, padding_of(model))
    answers = predict(TASK, model, tokenizer, rows)
    assert TASK.measure(answers, rows, TYPES)["entity_f1"] > 0.9
    before = [answer.value for answer in answers]
    with torch.no_grad():
        model.classifier.weight.mul_(0.05)
        model.classifier.bias.mul_(0.05)
    assert calibrate(TASK, model, tokenizer, rows)["temperature"] < 0.5
    answers = predict(TASK, model, tokenizer, rows)
    assert [answer.value for answer in answers] == before
    assert np.mean([answer.score for answer in answers]) > 0.5
    assert settings_of(model)["score_power"] > 0


@pytest.mark.parametrize("power", [0.7, 1.0, 2.5])
def test_scores_of_rows_become_their_chances_of_being_right(power):
    random = np.random.default_rng(0)
    scores = random.uniform(0.2, 1, 3000)
    assert best_power(scores.tolist(), random.random(3000) < scores**power) == pytest.approx(power, rel=0.1)
    assert 1 < best_power([0.9, 0.9], np.array([False, True])) < 2, "two rows say little"


def test_the_pipeline_of_transformers_finds_the_same_entities(tokenizer, tiny_model, tmp_path):
    rows = table(*[long_row(8) for _ in range(1)], {"text": "adaada met oslo.", "spans": []})
    model = TASK.load_model(str(tiny_model), TYPES, 0.0).eval()
    TASK.warm_start(model, TASK.encode(tokenizer, table(long_row(60)), TYPES), padding_of(model))
    model.save_pretrained(tmp_path)
    tokenizer.tokenizer.save_pretrained(tmp_path)
    found = pipeline(TASK.pipeline, str(tmp_path), aggregation_strategy="first", device="cpu")
    for answer, row in zip(predict(TASK, model, tokenizer, rows), rows.to_pylist(), strict=True):
        mine, theirs = TASK.wire(answer, row), found(row["text"])
        keys = ("entity_group", "start", "end")
        assert [[e[k] for k in keys] for e in mine] == [[e[k] for k in keys] for e in theirs]


def test_an_example_without_words_teaches_nothing_and_breaks_nothing(tiny_model):
    model = TASK.load_model(str(tiny_model), TYPES, 0.0).eval()
    nothing = WordPlaces(np.zeros(0, np.int64), np.zeros(0, np.int64))
    examples = [Example([2, 3], np.zeros((0, 5), np.float32), places=nothing)]
    assert not TASK.warm_start(model, examples, RIGHT)
