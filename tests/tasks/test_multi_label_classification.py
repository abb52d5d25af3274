from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, label_ranking_average_precision_score
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from react_ray.answer import Answer, load_answers, save_answers
from react_ray.config.settings import FinetuneConfig
from react_ray.models.head import PENALTY, fit_head
from react_ray.models.pretrained import load_tokenizer
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.tasks import get_task
from react_ray.tasks.columns import Options
from react_ray.tasks.example import Example
from react_ray.tasks.multi_label_classification import calibrate_to_shares
from react_ray.tasks.running import calibrate, predict, run_model, settings_of, settle
from react_ray.tasks.thresholds import best_sharpness, f1_thresholds, share_thresholds
from react_ray.training.train import loop
from react_ray.training.worker import LocalWorker

TASK = get_task("multi-label-classification")
LABELS = ["joy", "love", "rage"]


def labels_of(cell, **options):
    return TASK.parse({"text": "t", "labels": cell}, Options(**options))["labels"]


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        (["love", "joy", "love"], ["joy", "love"]),
        ('["love", "joy"]', ["joy", "love"]),
        ("['love', 'joy']", ["joy", "love"]),  # as pandas writes a list into csv
        ("['love' 'joy']", ["joy", "love"]),  # as pandas writes an array into csv
        ("['love'\n \"don't\"]", ["don't", "love"]),
        ("[]", []),
        ([], []),
        ("joy", ["joy"]),
        (3.0, ["3"]),
        ([1, True, "2.0"], ["1", "2", "true"]),
        (None, None),
        ("  ", None),
        (float("nan"), None),
    ],
)
def test_cells_of_every_kind(cell, labels):
    assert labels_of(cell) == labels


def test_labels_with_a_separator():
    assert labels_of("love; joy;", separator=";") == ["joy", "love"]
    assert labels_of(";", separator=";") == []
    assert labels_of("", separator=";") is None
    assert labels_of('["a;b"]', separator=";") == ["a;b"]


@pytest.mark.parametrize(
    "cell", [{"a": 1}, ["a", None], ["a", ["b"]], "[a, b]", "['a' 'b', 'c']", '{"a": 1}x' * 40, ["a", ""]]
)
def test_what_is_no_list_of_labels_is_rejected(cell):
    with pytest.raises(ValueError, match=r"^(not a list of labels|blank label|label too long): "):
        labels_of(cell)


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        ((1, 0, 1), ["joy", "rage"]),
        (("1", "0.0", "false"), ["joy"]),
        ((False, False, False), []),
        ((None, None, ""), None),
    ],
)
def test_a_column_for_each_label(cells, labels):
    row = dict(zip(LABELS, cells, strict=True)) | {"text": "t"}
    assert TASK.parse(row, Options(label_columns=tuple(LABELS)))["labels"] == labels


@pytest.mark.parametrize(("cells", "kind"), [((1, None, 0), "partly labelled"), ((1, 0, 2), "not 0 or 1")])
def test_a_column_for_each_label_says_yes_or_no(cells, kind):
    row = dict(zip(LABELS, cells, strict=True)) | {"text": "t"}
    with pytest.raises(ValueError, match=f"^{kind}: "):
        TASK.parse(row, Options(label_columns=tuple(LABELS)))


def test_no_label_has_words():
    assert (TASK.shown(["joy", "love"]), TASK.shown([]), TASK.names_in([])) == ("joy, love", "no label", [])


def answers_of(logits, **settings):
    outputs = list(np.asarray(logits, np.float32))
    examples = [Example([1], row=row) for row in range(len(outputs))]
    return TASK.decode(outputs, examples, pa.table({}), LABELS, settings)


def test_an_answer_is_the_labels_whose_logit_is_at_least_0(tmp_path: Path):
    answer, none = answers_of([[-1, 0.5, 2], [-1, -2, -3]], shifts=[0.0, 0.0, -3.0])
    assert answer.value == ["love", "rage"]
    assert answer.ranking == (
        ("love", pytest.approx(expit(0.5))),
        ("joy", pytest.approx(expit(-1))),
        ("rage", pytest.approx(expit(-1))),
    )
    assert answer.score == pytest.approx((1 - expit(-1)) * expit(0.5) * expit(-1))
    assert none.value == []
    row = {"text": "t"}
    assert TASK.columns_of(answer, row) == {
        "labels": ["love", "rage"],
        "scores": [answer.ranking[0][1], answer.ranking[2][1]],
    }
    assert [one["label"] for one in TASK.wire(answer, row)] == ["love", "rage"]
    assert TASK.columns_of(none, row) == {"labels": [], "scores": []}
    save_answers([answer, none], tmp_path / "answers.jsonl")
    assert load_answers(tmp_path / "answers.jsonl") == [answer, none]
    json.dumps(TASK.wire(answer, row))


def test_probabilities_that_are_no_numbers_still_give_an_answer():
    (answer,) = answers_of([[np.nan] * 3])
    assert (answer.value, answer.score) == ([], 0.0)


def test_figures_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    logits, truth = random.normal(-0.5, 1, (40, 3)), random.random((40, 3)) < 0.4
    answers = answers_of(logits)
    rows = pa.table({"labels": [[LABELS[k] for k in np.flatnonzero(row)] for row in truth]})
    figures, predicted = TASK.measure(answers, rows, LABELS), logits >= 0
    assert tuple(figures) == TASK.metrics
    assert figures["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert figures["micro_f1"] == pytest.approx(f1_score(truth, predicted, average="micro"))
    assert figures["subset_accuracy"] == pytest.approx((truth == predicted).all(1).mean())
    ranking = label_ranking_average_precision_score(truth, logits)
    assert figures["label_ranking_average_precision"] == pytest.approx(ranking)
    right = [Answer(labels, 1.0) for labels in rows["labels"].to_pylist()]
    assert TASK.credit(right, rows).tolist() == [1.0] * 40
    each = f1_score(truth, predicted, average=None)
    per_class = TASK.details(answers, rows, LABELS)["per_class"]
    assert [per_class[label]["f1"] for label in LABELS] == pytest.approx(each.tolist())


def test_the_start_is_a_logistic_regression_for_each_label():
    random = np.random.default_rng(0)
    x = random.normal(0, 1, (200, 8))
    truth = (x[:, :3] + random.normal(0, 0.5, (200, 3))) > [0.0, 1.0, 1.8]
    norm = np.linalg.norm(x, axis=1).mean()
    head = nn.Linear(8, 3)
    features = torch.tensor(x, dtype=torch.float32)
    fit_head(head, features, truth.astype(np.float32), [1.0] * 200, binary=True)
    with torch.no_grad():
        found = torch.sigmoid(head(features)).numpy()
    for k in range(3):
        one = LogisticRegression(C=1 / PENALTY, tol=1e-8, max_iter=1000).fit(x / norm, truth[:, k])
        assert np.allclose(found[:, k], one.predict_proba(x / norm)[:, 1], atol=1e-3)


def rare_labels(count=3000, seed=0):
    """Calibrated logits of three labels, of some 40, 8 and 3 percent of the rows."""
    random = np.random.default_rng(seed)
    logits = random.normal([-0.5, -4, -5.5], [1, 2, 2], (count, 3))
    return logits, (random.random((count, 3)) < expit(logits)).astype(np.float32)


def test_thresholds_of_rare_labels_are_low_and_their_f1_is_higher():
    logits, targets = rare_labels()
    fresh, truth = rare_labels(seed=1)
    found = f1_thresholds(logits[:1000], targets[:1000])
    assert (found < 0).all()
    assert (
        f1_score(truth, fresh >= found, average="macro") > f1_score(truth, fresh >= 0, average="macro") + 0.05
    )


def test_a_label_without_rows_gets_the_threshold_of_its_expected_f1():
    logits, targets = rare_labels()
    targets[:, 2] = 0
    assert f1_thresholds(logits[:200], targets[:200])[2] == pytest.approx(
        f1_thresholds(logits, rare_labels()[1])[2], abs=0.8
    )


def test_a_label_that_cannot_be_told_is_not_given_to_all_rows():
    targets = np.zeros((500, 1), np.float32)
    targets[:20] = 1
    logits = np.random.default_rng(0).normal(-3.2, 0.01, (500, 1))
    assert (logits >= f1_thresholds(logits, targets)).mean() < 0.1


def test_thresholds_of_shares_predict_as_often():
    logits, _ = rare_labels()
    for shares in ([0.4, 0.08, 0.03], [1.0, 0.0, 0.5]):
        predicted = logits >= share_thresholds(logits, np.array(shares))
        assert predicted.mean(0) == pytest.approx(shares, abs=1e-3)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_is_found(sharpness):
    logits, targets = rare_labels()
    assert best_sharpness(logits / sharpness, targets) == pytest.approx(sharpness, rel=0.15)


def tiny_run(tiny_model: Path):
    texts = [f"{'abc'[i % 3]} word {i}" for i in range(60)]
    labels = [[["joy"], ["joy", "love"], ["rage"] if i % 2 else []][i % 3] for i in range(60)]
    rows = pa.table({"text": texts, "labels": pa.array(labels, TASK.target.type)})
    torch.manual_seed(0)
    model = TASK.load_model(str(tiny_model), LABELS).eval()
    return rows, model, load_tokenizer(str(tiny_model))


def test_calibration_keeps_probabilities_and_plain_transformers_gives_the_same_sets(
    tmp_path: Path, tiny_model: Path
):
    rows, model, tokenizer = tiny_run(tiny_model)
    texts = TransformersTokenizer(tokenizer, 32)
    for _ in range(2):  # again, of a model that has thresholds already
        before = predict(TASK, model, texts, rows)
        changed = calibrate(TASK, model, texts, rows)
        after = predict(TASK, model, texts, rows)
        for old, new in zip(before, after, strict=True):
            logits = {name: np.log(p / (1 - p)) / changed["temperature"] for name, p in old.ranking}
            assert dict(new.ranking) == pytest.approx({k: expit(z) for k, z in logits.items()}, abs=1e-4)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert plain.config.problem_type == "multi_label_classification"
    inputs = AutoTokenizer.from_pretrained(tmp_path)(
        rows["text"].to_pylist(), padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        sure = torch.sigmoid(plain(**inputs).logits).numpy() >= 0.5
    assert [[LABELS[k] for k in np.flatnonzero(row)] for row in sure] == [a.value for a in after]
    assert predict(TASK, plain, texts, rows) == after, "the saved model has its shifts"
    assert any(answer.value for answer in after)


def test_without_validation_rows_labels_are_predicted_as_often_as_they_are_there(tiny_model: Path):
    rows, model, tokenizer = tiny_run(tiny_model)
    texts = TransformersTokenizer(tokenizer, 32)
    examples = TASK.encode(texts, rows, LABELS)
    settle(TASK, model, texts, examples)
    answers = predict(TASK, model, texts, rows)
    shares = [np.mean([name in labels for labels in rows["labels"].to_pylist()]) for name in LABELS]
    predicted = [np.mean([name in answer.value for answer in answers]) for name in LABELS]
    assert predicted == pytest.approx(shares, abs=0.02)
    logits = np.stack(run_model(TASK, model, examples))
    calibrate_to_shares(model, logits, np.array([0.1, 0.1, 0.1]))
    assert len(settings_of(model)["shifts"]) == 3
    answers = predict(TASK, model, texts, rows)
    assert [np.mean([name in a.value for a in answers]) for name in LABELS] == pytest.approx(
        [0.1] * 3, abs=0.02
    )


def test_thresholds_of_a_model_that_knows_its_training_rows_by_heart_fit_unlabelled_rows(tiny_model: Path):
    rows, model, tokenizer = tiny_run(tiny_model)
    texts = TransformersTokenizer(tokenizer, 32)
    examples = TASK.encode(texts, rows, LABELS)
    unlabeled = pa.table({"text": [f"{'xyz'[i % 3]} other {i}" for i in range(100)]})
    unseen = TASK.encode(texts, unlabeled, LABELS)
    plain = np.stack(run_model(TASK, model, unseen))

    def run(some):
        known = some is examples
        return [20 * row.target - 10 for row in some] if known else run_model(TASK, model, some)

    TASK.settle(model, examples, unseen, run)
    shares = np.mean([example.target for example in examples], axis=0)
    predicted = np.mean(np.stack(run_model(TASK, model, unseen)) >= 0, axis=0)
    assert predicted == pytest.approx(shares, abs=0.02)
    assert (plain >= 0).mean(axis=0) != pytest.approx(shares, abs=0.02), "it had to change"


def train(folder: Path, tiny_model: Path, rows: pa.Table, validation: pa.Table | None) -> Path:
    """The model of a training in this process."""
    folder.mkdir()
    paths = {"train": folder / "train.parquet", "validation": folder / "validation.parquet"}
    for path, table in zip(paths.values(), (rows, validation), strict=True):
        if table is not None:
            pq.write_table(table, path)
    loop(
        worker := LocalWorker(folder / "checkpoints"),
        model=str(tiny_model),
        labels=LABELS,
        train=str(paths["train"]),
        validation=str(paths["validation"]) if validation is not None else None,
        config=FinetuneConfig(lr=3e-3, epochs=6).model_dump(),
        task=TASK.name,
    )
    checkpoint = worker.checkpoint()
    assert checkpoint is not None
    return checkpoint / "model"


@pytest.mark.parametrize("validated", [False, True])
def test_a_trained_model_finds_the_labels(tmp_path: Path, tiny_model: Path, validated: bool):
    rows, _, tokenizer = tiny_run(tiny_model)
    folder = train(tmp_path / "run", tiny_model, rows, rows if validated else None)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    assert len(settings_of(model)["shifts"]) == 3
    answers = predict(TASK, model, TransformersTokenizer(tokenizer, 32), rows)
    assert TASK.measure(answers, rows, LABELS)["macro_f1"] > 0.8


def test_targets_are_sets_or_probabilities(tiny_model: Path):
    texts = TransformersTokenizer(load_tokenizer(str(tiny_model)), 32)
    named = pa.table(
        {"text": ["a", "b", "c"], "labels": pa.array([["rage", "joy"], [], None], TASK.target.type)}
    )
    found = TASK.encode(texts, named, LABELS)
    assert found[0].target.tolist() == [1, 0, 1]
    assert found[1].target.tolist() == [0, 0, 0]
    assert found[2].target is None
    chances = pa.array([[0.25, 0.5, 1]], pa.list_(pa.float32()))
    soft = pa.table({"text": ["a"], "labels": chances, "weight": [0.5]})
    (example,) = TASK.encode(texts, soft, LABELS)
    assert example.target.tolist() == [0.25, 0.5, 1]
    assert example.weight == 0.5


def test_the_loss_is_that_of_transformers_for_soft_targets(tiny_model: Path):
    rows, model, tokenizer = tiny_run(tiny_model)
    inputs = tokenizer(rows["text"].to_pylist()[:4], padding=True, return_tensors="pt")
    targets = torch.rand(4, 3)
    with torch.no_grad():
        output = model(**inputs, labels=targets)
        assert TASK.loss(output, targets).mean() == pytest.approx(output.loss.item(), rel=1e-5)
