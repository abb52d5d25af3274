from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from react_ray.answer import Answer
from react_ray.config.settings import AugmentConfig, DataConfig
from react_ray.data.prepare import prepare
from react_ray.data.vocabulary import ModelChoice
from react_ray.models.pretrained import load_tokenizer
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.tasks import get_task
from react_ray.tasks.columns import Options
from react_ray.tasks.entity_pairs import EntityPair, mark_entities
from react_ray.tasks.relation_metrics import relation_scores, relation_statistics
from react_ray.tasks.running import predict

TASK = get_task("relation-extraction")
LABELS = ["Cause(e1,e2)", "Cause(e2,e1)", "Other", "Part(e1,e2)"]
TEXT = "the smoke of the old fire"


def parse(text=TEXT, **cells):
    return TASK.parse({"text": text, "label": "Other", **cells}, Options())


def entities(row):
    return [row["text"][row[f"{name}_start"] : row[f"{name}_end"]] for name in ("e1", "e2")]


def test_markers_are_taken_out_of_the_text():
    row = parse("the <e1>smoke</e1> of the <e2> old fire </e2>.")
    assert row["text"] == "the smoke of the  old fire ."
    assert entities(row) == ["smoke", "old fire"]
    assert row["label"] == "Other"
    back = parse("the <E2>smoke</E2> of the <E1>old fire</E1>")
    assert entities(back) == ["old fire", "smoke"], "the second entity may come first"


@pytest.mark.parametrize("names", [("e1", "e2"), ("head", "tail")])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"start": 4, "end": 9}, {"start": 17, "end": 25}),
        ([4, 9], [17.0, 25.0]),
        ('{"start": 4, "end": 9, "type": "x"}', "[17, 25]"),
        ("{'start': 4, 'end': 9}", {"start_offset": 17, "end_offset": 25}),
        ([3, 10], [16, 25]),  # spaces at the ends do not count
    ],
)
def test_entities_from_columns(names, first, second):
    row = parse(**dict(zip(names, (first, second), strict=True)))
    assert entities(row) == ["smoke", "old fire"]
    assert row["text"] == TEXT


def test_entities_in_a_text_of_wide_characters():
    row = parse("😀 高勇在北京", e1=[2, 4], e2=[5, 7])
    assert entities(row) == ["高勇", "北京"]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ({"text": "no <e1>marker</e1>"}, "missing marker"),
        ({"text": "a <e1>b <e2>c</e2>"}, "missing marker"),
        ({"text": "</e1>a<e1> <e2>c</e2>"}, "missing marker"),
        ({"text": "<e1>a</e1> <e1>b</e1> <e2>c</e2>"}, "repeated marker"),
        ({"text": "<e1>a <e2>b</e1> c</e2>"}, "overlapping entities"),
        ({"text": "<e1> </e1> <e2>c</e2>"}, "empty span"),
        ({"text": "<e1></e1> <e2>c</e2>"}, "span out of range"),
        ({"e1": [4, 9], "e2": [8, 12]}, "overlapping entities"),
        ({"e1": [4, 9], "e2": [17, 99]}, "span out of range"),
        ({"e1": [4, 9], "e2": [-3, 2]}, "span out of range"),
        ({"e1": [3, 4], "e2": [17, 25]}, "empty span"),
        ({"e1": [4, 9]}, "no entity"),
        ({"e1": [4, 9], "e2": "old fire"}, "no entity"),
        ({"e1": [4, 9], "e2": {"start": 17}}, "no entity"),
        ({"e1": [4, 9], "e2": [17, 25, 3]}, "no entity"),
        ({"e1": [4, True], "e2": [17, 25]}, "no entity"),
        ({"e1": [4, float("nan")], "e2": [17, 25]}, "no entity"),
        ({"text": None}, "empty text"),
        ({"text": " "}, "empty text"),
    ],
)
def test_what_is_no_pair_is_rejected(cells, kind):
    with pytest.raises(ValueError, match=f"^{kind}"):
        parse(**cells)


def test_entities_are_marked_by_plain_signs():
    row = parse(e1=[4, 9], e2=[17, 25])
    assert mark_entities(EntityPair.of(row)) == "the * smoke * of the # old fire #"
    swapped = parse(e2=[4, 9], e1=[17, 25])
    assert mark_entities(EntityPair.of(swapped)) == "the # smoke # of the * old fire *"


def table(*rows):
    return pa.Table.from_pylist(list(rows), schema=pa.schema([*TASK.inputs, TASK.target]))


@pytest.fixture
def tokenizer(marks_model: Path) -> TransformersTokenizer:
    return TransformersTokenizer(load_tokenizer(str(marks_model)), 32)


def test_the_answers_are_those_of_plain_transformers_for_the_marked_text(
    tmp_path: Path, marks_model: Path, tokenizer: TransformersTokenizer
):
    model = TASK.load_model(str(marks_model), LABELS).eval()
    model.save_pretrained(tmp_path)
    tokenizer.tokenizer.save_pretrained(tmp_path)
    rows = [parse("a b", e1=[0, 1], e2=[2, 3]), parse("a b", e2=[0, 1], e1=[2, 3])]
    answers = predict(TASK, model, tokenizer, table(*rows))
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    inputs = AutoTokenizer.from_pretrained(tmp_path)(
        [mark_entities(EntityPair.of(row)) for row in rows], return_tensors="pt"
    )
    with torch.no_grad():
        chances = plain(**inputs).logits.softmax(-1).tolist()
    for answer, row in zip(answers, chances, strict=True):
        assert dict(answer.ranking) == pytest.approx(dict(zip(LABELS, row, strict=True)), abs=1e-5)
    assert answers[0] != answers[1], "the direction is told apart"


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(
    ("before", "between", "behind"),
    [(100, 2, 0), (0, 2, 100), (60, 2, 60), (3, 100, 3), (50, 60, 50), (0, 0, 0)],
)
def test_what_is_around_the_entities_is_kept_of_a_long_text(
    marks_model: Path, before: int, between: int, behind: int, side: str
):
    loaded = load_tokenizer(str(marks_model))
    loaded.truncation_side = side
    tokenizer = TransformersTokenizer(loaded, 32)
    text = f"{'x ' * before}smoke {'y ' * between}fire{' z' * behind}"
    places = [text.index("smoke"), text.index("fire")]
    row = parse(text, e1=[places[0], places[0] + 5], e2=[places[1], places[1] + 4])
    (example,) = TASK.encode(tokenizer, table(row), LABELS)
    assert len(example.ids) <= 32
    kept = tokenizer.tokenizer.decode(example.ids).replace(" ", "")
    assert "*smoke*" in kept
    assert "#fire#" in kept
    if before + between + behind > 50:
        assert len(example.ids) > 24, "the room is used"


def test_copies_leave_the_entities_as_they_are():
    text = "we saw that the thick smoke came out of the very old fire in the woods last night"
    row = parse(text, e1=[16, 27], e2=[49, 57])
    assert entities(row) == ["thick smoke", "old fire"]
    copies = TASK.augment(row, AugmentConfig(copies=6, operations=("delete", "swap", "crop", "typo")), 0)
    assert len(copies) == 6
    for copy in copies:
        assert copy["text"] != text
        assert entities(copy) == ["thick smoke", "old fire"]
        assert copy["label"] == "Other"
    assert len({copy["text"] for copy in copies}) == 6
    alone = parse("smoke fire", e1=[0, 5], e2=[6, 10])
    assert TASK.augment(alone, AugmentConfig(copies=6), 0) == []


def test_the_headline_is_the_official_figure():
    truth = ["Cause(e1,e2)", "Cause(e2,e1)", "Other", "Part(e1,e2)"]
    made = ["Cause(e1,e2)", "Cause(e1,e2)", "Other", "Other"]
    rows = pa.table({"label": truth})
    answers = [Answer(label, 1.0) for label in made]
    places = (np.array([LABELS.index(label) for label in some]) for some in (truth, made))
    wanted = relation_scores(np.asarray(relation_statistics(*places, LABELS).sum(0)))
    assert TASK.measure(answers, rows, LABELS) == pytest.approx(wanted)
    details = TASK.details(answers, rows, LABELS)
    assert details["per_relation"]["Cause"]["f1"] == pytest.approx(0.5)
    assert details["per_relation"]["Part"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}
    assert details["confusion"][1] == [1, 0, 0, 0]
    assert TASK.credit(answers, rows).tolist() == [1, 0, 1, 0]


def test_a_vocabulary_without_the_marks_is_told_of(marks_model, tiny_model):
    with_marks, without = (
        TransformersTokenizer(load_tokenizer(str(model)), 16) for model in (marks_model, tiny_model)
    )
    assert TASK.tokenizer_warning(with_marks) is None
    assert "cannot tell the direction" in TASK.tokenizer_warning(without)
    assert get_task("text-classification").tokenizer_warning(without) is None


def test_a_run_warns_of_a_vocabulary_without_the_marks(marks_model, tiny_model, tmp_path, caplog):
    rows = [
        f"the <e1>smoke</e1> of <e2>fire number {n}</e2>,{'Other' if n % 2 else 'Part'}" for n in range(8)
    ]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    config = DataConfig(labeled=str(tmp_path / "rows.csv"), max_unknown=1)
    for model, warned in ((marks_model, False), (tiny_model, True)):
        caplog.clear()
        chosen = ModelChoice("--model", (str(model),))
        summary = prepare(config, tmp_path / model.name, task=TASK.name, models=[chosen])
        told = [warning for warning in summary["warnings"] if "* and #" in warning]
        assert bool(told) == warned
        assert all(warning.startswith(f"--model {model}: ") and warning in caplog.text for warning in told)
