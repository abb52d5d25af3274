from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.metrics import f1_score
from transformers import AutoModelForSequenceClassification, GPT2Config, GPT2Model

from react_ray.answer import Answer
from react_ray.config.settings import EncodeConfig
from react_ray.data.encode import Encoder
from react_ray.data.views import BLOCKS, SENTENCE
from react_ray.errors import ConfigError
from react_ray.inference.classifier import load
from react_ray.models.pretrained import load_encoder, load_tokenizer
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.tasks import get_task
from react_ray.tasks.closed import ranked
from react_ray.tasks.running import predict
from react_ray.tasks.text_classification import distributions

TASK = get_task("text-classification")
LABELS = ["zeta", "alpha", "中"]  # on purpose not sorted
TEXTS = ["a b c", "hello there, you", "x", "one two three four five six", "wait?"]


def test_an_unknown_task_lists_those_there_are():
    with pytest.raises(ConfigError, match=r"'poetry'.*text-classification"):
        get_task("poetry")


def test_labels_keep_their_order_from_training_to_prediction(tmp_path: Path, tiny_model: Path):
    model = TASK.load_model(str(tiny_model), LABELS)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([0.0, 2.0, 1.0]))
    model.save_pretrained(tmp_path)
    load_tokenizer(str(tiny_model)).save_pretrained(tmp_path)
    classifier = load(tmp_path)
    assert classifier.labels == LABELS
    assert [p.label for p in classifier.rank(["a"])[0]] == ["alpha", "中", "zeta"]
    rows = pa.table({"text": TEXTS, "label": ["alpha"] * 4 + ["zeta"]})
    texts = TransformersTokenizer(classifier.tokenizer.tokenizer, 32)
    answers = predict(TASK, classifier.model, texts, rows)
    assert [answer.value for answer in answers] == ["alpha"] * 5
    assert TASK.measure(answers, rows, LABELS)["accuracy"] == pytest.approx(0.8)
    assert TASK.encode(texts, rows, LABELS)[0].target.tolist() == [0, 1, 0]


def test_a_head_for_other_labels_is_replaced(tmp_path: Path, tiny_model: Path):
    TASK.load_model(str(tiny_model), ["a", "b"]).save_pretrained(tmp_path)
    load_tokenizer(str(tiny_model)).save_pretrained(tmp_path)
    model = TASK.load_model(str(tmp_path), LABELS)
    assert model.classifier.out_features == 3
    assert model.config.id2label == {0: "zeta", 1: "alpha", 2: "中"}


def test_dropout_reaches_every_layer(tmp_path: Path, tiny_model: Path):
    tokenizer = load_tokenizer(str(tiny_model))
    tokenizer.save_pretrained(tmp_path)
    size = {"n_positions": 16, "n_embd": 8, "n_layer": 2, "n_head": 2}
    GPT2Model(GPT2Config(vocab_size=len(tokenizer), **size)).save_pretrained(tmp_path)
    for folder in (tiny_model, tmp_path):
        for rate in (0.0, 0.25):
            model = TASK.load_model(str(folder), LABELS, dropout=rate)
            assert {m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)} == {rate}


def test_weights_are_loaded_in_full_precision(tmp_path: Path, tiny_model: Path):
    load_encoder(str(tiny_model)).to(torch.bfloat16).save_pretrained(tmp_path)
    load_tokenizer(str(tiny_model)).save_pretrained(tmp_path)
    assert {p.dtype for p in TASK.load_model(str(tmp_path), LABELS).parameters()} == {torch.float32}


def test_metrics_are_those_of_scikit_learn(tiny_model: Path):
    model, tokenizer = TASK.load_model(str(tiny_model), LABELS).eval(), load_tokenizer(str(tiny_model))
    truth = ["zeta", "alpha", "zeta", "alpha", "zeta"]
    rows = pa.table({"text": TEXTS, "label": truth})
    answers = predict(TASK, model, TransformersTokenizer(tokenizer, 32), rows)
    figures = TASK.measure(answers, rows, LABELS)
    predicted = [answer.value for answer in answers]
    assert figures["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro", zero_division=0))
    assert tuple(figures) == TASK.metrics


def test_a_class_that_is_only_predicted_counts():
    rows = pa.table({"label": ["zeta", "zeta", "alpha", "alpha"]})
    answers = [Answer(label, 1.0) for label in ("zeta", "中", "alpha", "alpha")]
    assert TASK.measure(answers, rows, LABELS)["macro_f1"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert TASK.credit(answers, rows).tolist() == [1, 0, 1, 1]


def test_the_ranking_of_an_answer_is_best_first():
    answer = ranked(np.array([[0.2, 0.5, 0.3]]), LABELS)[0]
    assert answer == Answer("alpha", 0.5, (("alpha", 0.5), ("中", 0.3), ("zeta", 0.2)))


def test_an_answer_in_files_and_services():
    answer = ranked(np.array([[0.2, 0.5, 0.3]]), LABELS)[0]
    assert TASK.columns_of(answer, {"text": "a"}) == {"label": "alpha", "score": 0.5}
    assert [field.name for field in TASK.added] == ["label", "score"]
    assert TASK.wire(answer, {"text": "a"})[1] == {"label": "中", "score": 0.3}


def test_probabilities_that_are_no_numbers_still_give_an_answer():
    answer = ranked(np.array([[np.nan, np.nan, np.nan]]), LABELS)[0]
    assert (answer.value, answer.score) == ("zeta", 0.0)


def test_label_columns_of_every_kind():
    one_hot = [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    for column in (
        pa.chunked_array([["alpha", "zeta"]]),
        pa.chunked_array([["alpha"], ["zeta"]]).dictionary_encode(),
        pa.chunked_array([one_hot], type=pa.list_(pa.float64())),
    ):
        assert distributions(column, LABELS).tolist() == one_hot


def sentence_encoder(tmp_path: Path, tiny_model: Path, **pooling: bool) -> Path:
    folder = tmp_path / "sentences"
    shutil.copytree(tiny_model, folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


def test_a_sentence_encoder_is_read_by_its_mean(tmp_path: Path, tiny_model: Path):
    folder = sentence_encoder(tmp_path, tiny_model, pooling_mode_mean_tokens=True)
    config = json.loads((folder / "config.json").read_text())
    config["initializer_range"] = 3.0  # new weights left as they are would show
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = load_tokenizer(str(folder))
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = load_encoder(str(folder))(**inputs).last_hidden_state
        mask = inputs["attention_mask"].unsqueeze(-1)
        mean = (states * mask).sum(1) / mask.sum(1)
        model = TASK.load_model(str(folder), LABELS).eval()
        pooled = model.bert(**inputs).pooler_output
        wanted = torch.nn.functional.layer_norm(mean, mean.shape[1:])
        assert torch.nn.functional.cosine_similarity(pooled, wanted).min() > 0.98
        model.save_pretrained(tmp_path / "saved")
        plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
        assert torch.equal(plain(**inputs).logits, model(**inputs).logits)


@pytest.mark.parametrize(
    "pooling", [None, {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}]
)
def test_other_models_keep_their_layers(tmp_path: Path, tiny_model: Path, pooling):
    folder = sentence_encoder(tmp_path, tiny_model, **pooling) if pooling else tiny_model
    assert TASK.load_model(str(folder), LABELS).config.num_hidden_layers == 2


def test_a_sentence_encoder_says_what_a_classifier_of_its_features_says(tiny_model: Path, tmp_path: Path):
    folder = sentence_encoder(tmp_path, tiny_model, pooling_mode_mean_tokens=True)
    texts = [
        f"{word} {number}" for number in range(20) for word in ("goal", "bank", "rain and wind", "x y z")
    ]
    features = torch.from_numpy(SENTENCE.of(Encoder(str(folder), EncodeConfig()).encode(texts), BLOCKS))
    torch.manual_seed(0)
    weights, bias = torch.randn(3, features.shape[1]), torch.zeros(3)
    model = TASK.load_model(str(folder), ["a", "b", "c"], 0.0).eval()
    assert TASK.start_from(model, str(folder), weights, bias)
    tokenizer = TransformersTokenizer(load_tokenizer(str(folder)), 64)
    answers = predict(TASK, model, tokenizer, pa.table({"text": texts}))
    said = np.array(["abc".index(answer.value) for answer in answers])
    meant = (features @ weights.T + bias).argmax(1).numpy()
    assert (said == meant).mean() > 0.9
    plain = TASK.load_model(str(tiny_model), ["a", "b", "c"], 0.0)
    assert not TASK.start_from(plain, str(tiny_model), weights, bias), "its head reads another feature"
