"""Question answering: cells, windows, ranked answers, calibration, and the official scores."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from react_ray import load
from react_ray.config.settings import Config
from react_ray.evaluate.wording import pipeline_code
from react_ray.labelers.proposals import collapse_alarm, proposal_weights
from react_ray.models.pretrained import load_tokenizer
from react_ray.models.tokenizer import TextTokenizer, TransformersTokenizer
from react_ray.pipeline.run import with_task
from react_ray.tasks import get_task
from react_ray.tasks.answer_calibration import AnswerCalibration
from react_ray.tasks.answer_cells import parse_answers
from react_ray.tasks.answer_metrics import best_scores, exact_match, token_f1
from react_ray.tasks.answer_spans import SpanScores, ranked_spans
from react_ray.tasks.columns import NO_OPTIONS

TASK = get_task("question-answering")
CONTEXT = "Ada Lovelace was born in London. She wrote the first program in 1843."


@pytest.fixture(scope="module")
def tokenizer():
    return TransformersTokenizer(load_tokenizer("embedded"), 32)


def rows_of(*cells: dict) -> pa.Table:
    rows = [TASK.parse(one, NO_OPTIONS) for one in cells]
    return pa.Table.from_pylist(rows, schema=pa.schema([*TASK.inputs, TASK.target]))


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"answers": {"text": ["London"], "answer_start": [25]}}, ["London"]),
        ({"answers": '{"text": ["London", "London"], "answer_start": [25, 25]}'}, ["London"]),
        ({"answers": {"text": [], "answer_start": []}}, []),
        (
            {"answers": [{"text": "1843", "answer_start": 64}, {"text": "in 1843", "answer_start": 61}]},
            ["1843", "in 1843"],
        ),
        ({"answers": [[25, 31]]}, ["London"]),
        ({"answers": []}, []),
        ({"answer_text": "London", "answer_start": 25}, ["London"]),
        ({"answer_text": "London", "answer_start": "25.0"}, ["London"]),
        ({"answer_text": "London"}, ["London"]),
        ({"answer_text": "London", "answer_start": 24}, ["London"]),
        ({"answer_text": " London ", "answer_start": 24}, ["London"]),
        ({"answer_text": ["London", "in London"], "answer_start": [25, 22]}, ["London", "in London"]),
        ({"answer_text": [], "answer_start": []}, []),
        ({"answer_text": '["London", "in London"]', "answer_start": "[25, 22]"}, ["London", "in London"]),
        ({"answer_text": "['London']", "answer_start": "[25]"}, ["London"]),
        ({"answer_text": "[]", "answer_start": "[]"}, []),
        ({"answer_text": ["London", "1843"]}, ["London", "1843"]),
        ({"answer_text": ["London", "in"], "answer_start": [None, 22]}, ["London", "in"]),
        ({"answers": {"text": ["London"]}}, ["London"]),
        ({"answer_text": "London", "answer_start": 25, "all_answers": ["London", " "]}, ["London"]),
        (
            {"answer_text": "London", "answer_start": 25, "all_answers": ["in London", "London"]},
            ["London", "in London"],
        ),
        ({"answer_text": "", "is_impossible": True}, []),
        ({"answer_text": "", "is_impossible": "true", "answer_start": None}, []),
        ({"answers": {"text": ["London"], "answer_start": [25]}, "is_impossible": True}, []),
        ({"answer_text": "", "is_impossible": False}, None),
        ({"answer_text": ""}, None),
        ({"answers": ""}, None),
        ({}, None),
    ],
)
def test_answers_are_read_in_every_form(cells, expected):
    found = parse_answers(CONTEXT, cells)
    assert (found if found is None else [CONTEXT[start:end] for start, end in found]) == expected


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"answer_text": "London", "answer_start": 3}, "answer not at its place: 'London' is not at 3"),
        ({"answer_text": "Paris"}, "answer not in the context: 'Paris'"),
        ({"answers": {"text": ["Paris"], "answer_start": [25]}}, "answer not in the context: 'Paris'"),
        ({"answer_text": "London", "answer_start": "x"}, "wrong place"),
        ({"answer_text": "London", "answer_start": -6}, "answer not at its place"),
        ({"answer_text": "Ada", "answer_start": -1}, "'Ada' is not at -1, as the characters .* are 0 to 68"),
        ({"answer_text": "da", "answer_start": 0}, "'da' is not at 0, where 'Ad' is"),
        ({"answer_text": "London", "answer_start": float("inf")}, "wrong place"),
        ({"answer_text": "London", "answer_start": float("nan")}, "wrong place"),
        ({"answer_text": ["London"], "answer_start": [25, 3]}, "1 texts and 2 starts"),
        ({"answers": {"text": ["London"], "answer_start": []}}, "1 texts and 0 starts"),
        ({"answers": {"text": "London", "answer_start": [25]}}, "wrong answers"),
        ({"answers": [[25, 99]]}, "span out of range"),
        ({"answers": "London"}, "wrong answers"),
        ({"answer_text": "", "is_impossible": "maybe"}, "wrong is_impossible"),
    ],
)
def test_wrong_answers_are_rejected_with_the_reason(cells, reason):
    with pytest.raises(ValueError, match=reason):
        parse_answers(CONTEXT, cells)


def test_a_suggested_row_asks_for_the_text_of_the_answer():
    task, row = get_task("question-answering"), {"text": CONTEXT, "question": "Where?"}
    cells = task.cells_of(row, ["context", "question", "answers"])
    assert "answers" not in cells, "it needs JSON with characters"
    assert task.parse(cells, NO_OPTIONS)["answers"] is None
    filled = task.parse(cells | {"answer_text": "London"}, NO_OPTIONS)
    assert CONTEXT[slice(*filled["answers"][0])] == "London"


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"context": 17, "question": "Who?"}, "not text: context is 17"),
        ({"context": CONTEXT, "question": ["Who?"]}, "not text: question is"),
        ({"context": " ", "question": "Who?"}, "blank context"),
        ({"context": CONTEXT}, "blank question"),
    ],
)
def test_a_row_without_texts_says_which_is_missing_or_no_text(cells, reason):
    with pytest.raises(ValueError, match=reason):
        get_task("question-answering").parse(cells, NO_OPTIONS)


def test_further_answers_are_those_next_to_the_first():
    context = "1843 was dull; in 1843 she wrote it, in May 1843"
    cells = {"answer_text": "1843", "answer_start": 18, "all_answers": ["1843", "in 1843", "May 1843"]}
    assert parse_answers(context, cells) == [[18, 22], [15, 22], [40, 48]]


def test_scores_are_those_of_the_evaluation_script_of_squad():
    assert exact_match("The Eiffel Tower!", "eiffel tower") == 1
    assert exact_match("Eiffel", "Eiffel Tower") == 0
    assert token_f1("the cat sat", "a cat sat down") == pytest.approx(0.8)  # 2 * 1 * 2/3 / (1 + 2/3)
    assert token_f1("b b b", "b") == pytest.approx(0.5)
    assert token_f1("", "x") == 0
    assert token_f1("the", "a") == 1, "both are empty without articles"
    assert best_scores("tower", ["Eiffel Tower", "the tower"]) == (1, 1)
    assert best_scores("", []) == (1, 1)
    assert best_scores("tower", []) == (0, 0)
    assert exact_match("“Eiffel”", "Eiffel") == 0, "the script keeps punctuation that is not ASCII"


def test_chinese_answers_are_scored_by_characters():
    assert token_f1("北京市", "北京", spaces=False) == pytest.approx(0.8)
    assert exact_match("《红楼梦》", "红楼梦", spaces=False) == 1
    assert token_f1("1949年10月", "1949年", spaces=False) == pytest.approx(2 * 2 / (4 + 2))
    assert token_f1("海淀区北京市", "北京市海淀区", spaces=False) == pytest.approx(0.5), (
        "the longest run of both"
    )


@pytest.mark.parametrize(
    ("context", "answer", "truth", "exact"),
    [
        ("他在2008，来到北京。", "2008，", "2008", 1),
        ("他看《NBA》的比赛。", "《NBA》", "NBA", 1),
        ("有3.5%的人，有35的人。", "3.5%的人", "35的人", 0),
        ("有2024年，有２０２４年。", "２０２４年", "2024年", 0),
        ("He said “Eiffel”, not 埃菲尔.", "“Eiffel”", "Eiffel", 0),
        ("普瓦特维纳人 (Poitevine) 戈迪菲 (Gadifer de la Salle) 率领探险队。", "Poitevine", "(Poitevine)", 0),
    ],
)
def test_the_context_decides_which_script_scores_an_answer(context, answer, truth, exact):
    def span(text: str) -> list[int]:
        start = context.index(text)
        return [start, start + len(text)]

    rows = rows_of({"context": context, "question": "?", "answers": [span(truth)]})
    scores = TASK.measure([SimpleNamespace(value=[span(answer)], score=1.0, ranking=())], rows, [])
    assert scores["exact_match"] == exact


def test_a_long_context_is_read_in_windows_behind_the_question(tokenizer):
    context = " ".join(f"Line {n} is dull." for n in range(40)) + " Ada was born in London."
    start = context.index("London")
    rows = rows_of({"context": context, "question": "Where was Ada born?", "answers": [[start, start + 6]]})
    examples = TASK.encode(tokenizer, rows, [])
    assert len(examples) > 5
    assert sum(example.weight for example in examples) == pytest.approx(1)
    with_answer = [example for example in examples if example.target[0, 0] == 0]
    assert with_answer
    question = tokenizer.tokenizer("Where was Ada born?")["input_ids"]
    assert all(example.ids[: len(question)] == question for example in examples)
    outputs = [(example.target - 0.5) * 20 for example in examples]
    (answer,) = TASK.decode(outputs, examples, rows, [], {})
    assert TASK.shown(answer.value, rows.to_pylist()[0]) == "London"


class Spaces(TextTokenizer):
    """As that of the multilingual model: a token includes the space before it."""

    def _backend(self) -> Tokenizer:
        words = ["<unk>", *(f"\u2581{word}" for word in ("Who", "lives", "in", "London?", "Ada", "Paris."))]
        backend = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, "<unk>"))
        backend.pre_tokenizer = pre_tokenizers.Metaspace()
        return backend


def test_answers_do_not_include_the_space_before_their_first_token():
    rows = rows_of({"context": "Ada  lives in Paris.", "question": "Who lives?", "answers": [[14, 20]]})
    (example,) = TASK.encode(Spaces(32, "right"), rows, [])
    row, no_limits = rows.to_pylist()[0], {"answers": {"temperature": 1.0, "no_answer": None}}
    (answer,) = TASK.decode([example.target * 20], [example], rows, [], no_limits)
    found = TASK.columns_of(answer, row)
    assert (found["answer"], found["start"], found["end"]) == ("Paris.", 14, 20)


def test_a_long_question_leaves_room_for_the_context(tokenizer):
    rows = rows_of({"context": CONTEXT, "question": "where " * 100})
    examples = TASK.encode(tokenizer, rows, [])
    assert all(len(example.ids) <= 32 for example in examples)
    read = {
        character
        for one in examples
        for s, e in zip(one.places.starts, one.places.ends, strict=True)
        for character in range(s, e)
    }
    assert {n for n, c in enumerate(CONTEXT) if not c.isspace()} <= read


def test_answers_are_ranked_with_their_characters(tokenizer):
    rows = rows_of({"context": "伦敦在英国。", "question": "在哪里？"})
    (example,) = TASK.encode(tokenizer, rows, [])
    logits = np.full((2, len(example.places.tokens)), -9.0, np.float32)
    logits[0, 1], logits[1, 2], logits[0, 4], logits[1, 5] = 5, 5, 4, 4
    (answer,) = TASK.decode(
        [logits], [example], rows, [], {"answers": {"temperature": 1.0, "no_answer": None}}
    )
    row = rows.to_pylist()[0]
    first, *others = TASK.wire(answer, row)
    assert (first["answer"], first["start"], first["end"]) == ("伦敦", 0, 2)
    assert "英国" in [one["answer"] for one in others]
    assert first["score"] > others[0]["score"]
    assert TASK.columns_of(answer, row)["answer"] == "伦敦"


def test_no_answer_is_given_only_where_the_calibration_allows_it():
    found = SpanScores([(0, 3)], [2.0], none=5.0)
    assert ranked_spans(found, 1.0, None, 2)[0][0] == (0, 3)
    assert ranked_spans(found, 1.0, 0.0, 2)[0][0] is None
    assert ranked_spans(found, 1.0, -4.0, 2)[0][0] == (0, 3)
    assert ranked_spans(SpanScores([], [], 0.0), 1.0, None, 2) == [(None, 1.0)]


def test_the_threshold_for_no_answer_is_fitted_to_validation_rows(tokenizer):
    cells = [
        {"context": "ada met bob", "question": "who?", "answers": [[8, 11]]},
        {"context": "ada met bob", "question": "where?", "answers": []},
    ]
    rows = rows_of(*cells * 5)
    examples = TASK.encode(tokenizer, rows, [])
    outputs = []
    for example in examples:
        logits = np.full((2, len(example.places.tokens)), -9.0, np.float32)
        logits[:, 0] = 3.0  # each window prefers no answer, those without one by far
        logits[:, 3] = 2.0 if example.target[0, 0] == 0 else -2.0
        outputs.append(logits)
    model = SimpleNamespace(config=SimpleNamespace(react_ray={"task": TASK.name}))
    assert TASK.credit(TASK.decode(outputs, examples, rows, [], {}), rows).mean() == 0.5
    TASK.calibrate(model, outputs, examples, rows, [])
    settings = model.config.react_ray
    assert settings["task"] == TASK.name
    answers = TASK.decode(outputs, examples, rows, [], settings)
    assert TASK.measure(answers, rows, []) == {"f1": 1.0, "exact_match": 1.0}
    assert TASK.details(answers, rows, [])["no_answer"] == {"n": 5, "f1": 1.0, "exact_match": 1.0}


def test_models_of_answerable_questions_always_answer(tokenizer):
    rows = rows_of({"context": "ada met bob", "question": "who?", "answers": [[8, 11]]})
    model = SimpleNamespace(config=SimpleNamespace())
    examples = TASK.encode(tokenizer, rows, [])
    TASK.record(model, examples)
    assert AnswerCalibration(**model.config.react_ray["answers"]).no_answer is None
    TASK.calibrate(
        model, [np.zeros((2, len(e.places.tokens)), np.float32) for e in examples], examples, rows, []
    )
    assert AnswerCalibration(**model.config.react_ray["answers"]).no_answer is None


def test_no_answer_stays_possible_where_only_rows_to_train_on_have_none(tokenizer):
    answered = {"context": "ada met bob", "question": "who?", "answers": [[8, 11]]}
    train = rows_of(answered, {**answered, "question": "where?", "answers": []})
    model = SimpleNamespace(config=SimpleNamespace())
    TASK.record(model, TASK.encode(tokenizer, train, []))
    rows = rows_of(answered)
    examples = TASK.encode(tokenizer, rows, [])
    logits = np.full((2, len(examples[0].places.tokens)), -9.0, np.float32)
    logits[:, 0] = 3.0
    TASK.calibrate(model, [logits], examples, rows, [])
    (answer,) = TASK.decode([logits], examples, rows, [], model.config.react_ray)
    assert answer.value == []


def test_answers_for_the_pool_are_weighted_by_their_scores():
    weight = proposal_weights(np.linspace(0.1, 1, 10), 0)
    assert (weight == 0).tolist() == [True] * 3 + [False] * 7
    assert weight[-1] == 1
    assert proposal_weights(np.zeros(0), 0).shape == (0,)
    equal = [proposal_weights(np.full(10, 0.5), seed) for seed in (0, 0, 1)]
    assert [(weight > 0).sum() for weight in equal] == [7, 7, 7], "not all of them"
    assert (equal[0] == equal[1]).all()
    assert (equal[0] != equal[2]).any()


def test_the_same_answer_for_most_rows_is_a_collapse():
    answers = [SimpleNamespace()] * 20
    assert collapse_alarm(answers, ["no answer"] * 15 + list("abcde"), ["x", "y", "z"])
    assert not collapse_alarm(answers, ["no answer"] * 15 + list("abcde"), ["no answer", "y"] * 3)
    assert collapse_alarm(answers, ["no answer"] * 20, ["no answer", "y"] * 3)
    assert not collapse_alarm(answers, [str(n) for n in range(20)], ["x"])
    assert not collapse_alarm(answers[:3], ["a"] * 3, ["x"])


def test_the_report_groups_questions_and_marks_answers():
    rows = rows_of(
        {"context": CONTEXT, "question": "Where was Ada born?", "answers": [[25, 31]]},
        {"context": CONTEXT, "question": "她在哪里出生？", "answers": []},
    )
    answers = [
        SimpleNamespace(value=[[0, 3]], score=0.9, ranking=()),
        SimpleNamespace(value=[], score=0.5, ranking=()),
    ]
    kinds, wrong = TASK.sections(answers, rows, [])
    assert {line[0] for line in kinds["data"]["rows"]} == {"where", "no answer in the context"}
    (item,) = wrong["data"]["items"]
    assert [tuple(mark[:2]) for mark in item["texts"][0]["above"]] == [(25, 31)]
    assert [tuple(mark[:2]) for mark in item["texts"][0]["below"]] == [(0, 3)]


@pytest.mark.parametrize("space", ["", "\u2581"], ids=["words", "words with the space before them"])
def test_the_code_of_the_model_card_gives_the_same_answer(make_tiny_model, tmp_path, capsys, space):
    example = TASK.nouns.example
    pattern = r"\S+" if space else r"\w+|[^\w\s]"
    words = re.findall(pattern, f"{example['question']} {example['context']}".lower())
    folder = make_tiny_model(tmp_path / "base", [space + word for word in dict.fromkeys(words)])
    tokenizer = load_tokenizer(str(folder))
    if space:
        backend, special = tokenizer.backend_tokenizer, tokenizer.special_tokens_map
        backend.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **special)
    found = set()
    for seed in range(4):
        torch.manual_seed(seed)
        model = TASK.load_model(str(folder), [])
        torch.nn.init.normal_(model.qa_outputs.weight)
        model.config.react_ray = {"task": TASK.name, "answers": {"temperature": 1.0, "no_answer": None}}
        model.save_pretrained(tmp_path / "model")
        tokenizer.save_pretrained(tmp_path / "model")
        exec(pipeline_code({"task": TASK.name}, str(tmp_path / "model")), {})
        ((answer, *_),) = load(tmp_path / "model").predict([example])
        found.add(answer.answer)
        assert capsys.readouterr().out == f"{answer.answer}\n"
    assert len(found) > 1
    assert "" not in found


def test_kinds_of_questions_are_whole_words():
    questions = ["The whole of Kent fell when?", "How many were shown?", "她为什么写？", "Name the city."]
    rows = rows_of(*({"context": CONTEXT, "question": one, "answers": [[25, 31]]} for one in questions))
    answers = [SimpleNamespace(value=[[25, 31]], score=0.9, ranking=())] * len(questions)
    kinds = TASK.sections(answers, rows, [])[0]["data"]["rows"]
    assert {line[0] for line in kinds} == {"when", "how many", "为什么", "other"}


def test_fine_tuning_reads_longer_texts_for_longer_unless_the_settings_say_otherwise():
    files = {"labeled": "questions.jsonl"}
    usual = with_task(Config(task=TASK.name, data=files)).finetune
    assert (usual.max_length, usual.token_budget, usual.lr) == (384, 500_000, 2e-4)
    own = with_task(Config(task=TASK.name, data=files, finetune={"max_length": 64})).finetune
    assert (own.max_length, own.token_budget) == (64, 500_000)
    larger = with_task(Config(task=TASK.name, data=files, model="roberta-base")).finetune
    assert larger.lr == 5e-5
