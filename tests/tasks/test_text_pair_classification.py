from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DistilBertConfig, DistilBertModel

from react_ray.config.settings import AugmentConfig, Columns
from react_ray.data.read import read_file
from react_ray.data.sources import find_files
from react_ray.models.pretrained import load_tokenizer
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.tasks import get_task
from react_ray.tasks.columns import Options
from react_ray.tasks.running import predict

TASK = get_task("text-pair-classification")
LABELS = ["different", "same"]
ROWS = pa.table(
    {
        "text": ["how do i pay", "a " * 40, "where is it"],
        "text_pair": ["ways to pay", "b", "c " * 40],
        "label": ["same", "different", "different"],
    }
)


def test_a_row_is_two_texts_and_a_label():
    row = TASK.parse({"text": "a", "text_pair": "b", "label": 1}, Options())
    assert row == {"text": "a", "text_pair": "b", "label": "1"}
    assert TASK.parse({"text": "a", "text_pair": "b"}, Options())["label"] is None


@pytest.mark.parametrize("blank", [None, ""])
def test_a_row_with_a_blank_text_is_left_out_whatever_the_format(blank, tmp_path):
    rows = [{"text": "a", "text_pair": blank, "label": "x"}, {"text": "c", "text_pair": "d", "label": "x"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (batch,) = read_file(find_files(str(tmp_path / "rows.jsonl"))[0], Columns(), task=TASK)
    assert [row["reason"] for row in batch.refused] == ["empty text"]
    assert batch.rows["text"].to_pylist() == ["c"]


def test_the_answers_are_those_of_plain_transformers_for_the_pair(tmp_path: Path, tiny_model: Path):
    model = TASK.load_model(str(tiny_model), LABELS).eval()
    model.save_pretrained(tmp_path)
    tokenizer = load_tokenizer(str(tiny_model))
    tokenizer.save_pretrained(tmp_path)
    answers = predict(TASK, model, TransformersTokenizer(tokenizer, 24), ROWS)
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    plain_tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for answer, text, other in zip(
        answers, ROWS["text"].to_pylist(), ROWS["text_pair"].to_pylist(), strict=True
    ):
        inputs = plain_tokenizer(text, other, truncation=True, max_length=24, return_tensors="pt")
        assert inputs["token_type_ids"].max() == 1
        with torch.no_grad():
            chances = plain(**inputs).logits.softmax(-1)[0].tolist()
        assert dict(answer.ranking) == pytest.approx(dict(zip(LABELS, chances, strict=True)), abs=1e-5)


def test_both_texts_are_read_and_their_order_counts(tiny_model: Path):
    tokenizer = TransformersTokenizer(load_tokenizer(str(tiny_model)), 32)
    one, other, back = TASK.encode(
        tokenizer, pa.table({"text": ["a", "a", "b"], "text_pair": ["b", "c", "a"]}), LABELS
    )
    assert one.ids != other.ids
    assert one.ids != back.ids


def test_a_model_without_token_types_gets_none(tmp_path: Path, tiny_model: Path):
    tokenizer = load_tokenizer(str(tiny_model))
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    size = {"dim": 8, "hidden_dim": 8, "n_layers": 1, "n_heads": 2}
    DistilBertModel(DistilBertConfig(vocab_size=len(tokenizer), **size)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = TASK.load_model(str(tmp_path), LABELS).eval()
    assert len(predict(TASK, model, TransformersTokenizer(tokenizer, 32), ROWS)) == len(ROWS)


def test_a_copy_changes_one_of_the_two_texts():
    row = {"text": "how do i pay my bill", "text_pair": "where can bills be paid here", "label": "same"}
    copies = TASK.augment(row, AugmentConfig(copies=4), 0)
    assert len(copies) == 4
    changed = [[side for side in ("text", "text_pair") if copy[side] != row[side]] for copy in copies]
    assert changed == [["text"], ["text_pair"], ["text"], ["text_pair"]]
    assert {copy["label"] for copy in copies} == {"same"}
    assert copies == TASK.augment(row, AugmentConfig(copies=4), 0)
