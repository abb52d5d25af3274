from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig

from react_ray.errors import InputError
from react_ray.inference.classifier import load
from react_ray.inference.prediction import Prediction, rank

LABELS = ["体育", "business", "art"]


@pytest.fixture(scope="module")
def run_folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_pretrained(
        tiny_model, id2label=dict(enumerate(LABELS)), label2id={label: i for i, label in enumerate(LABELS)}
    )
    with torch.no_grad():
        model.classifier.weight.mul_(50)
    model.save_pretrained(folder / "model")
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder / "model")
    return folder


def test_probabilities_are_those_of_transformers(run_folder: Path) -> None:
    texts = ["short", "a much longer text about a match " * 10, "", "股市", "b" * 30] * 5
    model = AutoModelForSequenceClassification.from_pretrained(run_folder / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(run_folder / "model")
    with torch.no_grad():
        wanted = [
            model(**tokenizer(t, truncation=True, return_tensors="pt")).logits[0].softmax(0) for t in texts
        ]
    np.testing.assert_allclose(load(run_folder).predict_proba(texts), np.stack(wanted), atol=1e-5)


def test_a_run_and_its_model_folder_are_the_same(run_folder: Path) -> None:
    texts = ["a match", "a market"]
    classifier = load(run_folder)
    assert classifier.labels == LABELS
    assert load(run_folder / "model").predict(texts) == classifier.predict(texts)
    assert classifier.predict_proba([]).shape == (0, len(LABELS))
    assert classifier.predict([]) == []


def test_ranking_is_best_first_and_as_long_as_asked(run_folder: Path) -> None:
    rankings = load(run_folder).rank(["a match", "股市"], top=2)
    for ranking in rankings:
        assert len(ranking) == 2
        assert ranking[0].score >= ranking[1].score
    row = np.array([0.25, 0.5, 0.25], dtype=np.float32)
    assert rank(row, LABELS) == [
        Prediction("business", 0.5),
        Prediction("体育", 0.25),
        Prediction("art", 0.25),
    ]


def test_a_model_without_a_trained_head_is_refused(tiny_model: Path) -> None:
    with pytest.raises(
        InputError, match=r"not a trained classifier: architectures in config.json is BertModel"
    ):
        load(tiny_model)


def test_missing_and_broken_models_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(InputError, match="the run is not finished"):
        load(tmp_path)
    (tmp_path / "config.json").write_text(BertConfig().to_json_string())
    with pytest.raises(InputError, match=r"the weights are missing: there is no model.safetensors"):
        load(tmp_path)


def test_decoders_get_the_padding_they_need(tmp_path: Path, tiny_model: Path) -> None:
    from transformers import GPT2Config, GPT2ForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.pad_token, tokenizer.eos_token = None, "[SEP]"
    tokenizer.save_pretrained(tmp_path)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=64, n_embd=16, n_layer=1, n_head=2, num_labels=2
    )
    GPT2ForSequenceClassification(config).save_pretrained(tmp_path)
    texts = ["short", "a longer text"]
    together = load(tmp_path).predict_proba(texts)
    alone = [load(tmp_path).predict_proba([text])[0] for text in texts]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_decoder_answers_for_a_text_alone_as_transformers_does(tmp_path: Path, tiny_model: Path) -> None:
    from transformers import GPT2Config, GPT2ForSequenceClassification, PreTrainedTokenizerFast

    backend = AutoTokenizer.from_pretrained(tiny_model).backend_tokenizer  # texts end with its [SEP]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="[CLS]", eos_token="[SEP]")
    tokenizer.save_pretrained(tmp_path)
    size = {"n_positions": 64, "n_embd": 16, "n_layer": 1, "n_head": 2, "initializer_range": 0.5}
    model = GPT2ForSequenceClassification(GPT2Config(vocab_size=len(tokenizer), num_labels=3, **size)).eval()
    model.save_pretrained(tmp_path)
    texts = ["short", "a longer text"]
    with torch.no_grad():
        rows = [torch.tensor([tokenizer(text)["input_ids"]]) for text in texts]
        wanted = [model(row).logits[0].softmax(0) for row in rows]
    np.testing.assert_allclose(load(tmp_path).predict_proba(texts), np.stack(wanted), atol=1e-5)
