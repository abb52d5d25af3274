"""Tiny models of other tasks than text classification; the answers of the tagger are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertTokenizerFast,
)

__all__ = ["PLACES", "RELATIONS", "save_relations", "save_tagger"]

PLACES = ("paris", "rome")
RELATIONS = ("Home(e1,e2)", "Home(e2,e1)", "Other", "Taste(e1,e2)")
TAGS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
WORDS = [*PLACES, "ada", "lives", "in", "and", "likes", ",", ".", "x", "<", ">", "b"]


def save_tagger(folder: Path, **options: Any) -> Path:
    """A token classifier that finds PLACES as LOC and "ada" as PER, by the embeddings of the words alone."""
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=0,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        id2label=dict(enumerate(TAGS)),
        label2id={tag: i for i, tag in enumerate(TAGS)},
        **options,
    )
    torch.manual_seed(0)
    model = BertForTokenClassification(config)
    with torch.no_grad():
        embeddings = model.bert.embeddings
        embeddings.position_embeddings.weight.zero_()
        embeddings.token_type_embeddings.weight.zero_()
        table = torch.zeros(len(vocabulary), 16)
        table[:, 0] = 1  # another word
        for words, column in ((PLACES, 1), (("ada",), 3)):
            for word in words:
                table[vocabulary[word]] = torch.nn.functional.one_hot(torch.tensor(column), 16).float()
        embeddings.word_embeddings.weight.copy_(table)
        model.classifier.weight.copy_(2 * torch.eye(len(TAGS), 16))
        model.classifier.bias.zero_()
    model.save_pretrained(folder)
    BertTokenizerFast(vocab=vocabulary, model_max_length=64).save_pretrained(folder)
    return folder


def save_relations(folder: Path, labels: tuple[str, ...] = RELATIONS) -> Path:
    """A relation model with random weights, whose answers differ between pairs."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "*", "#"]
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        initializer_range=0.9,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        react_ray={"task": "relation-extraction"},
    )
    torch.manual_seed(6)
    BertForSequenceClassification(config).save_pretrained(folder)
    vocabulary = {word: i for i, word in enumerate(words)}
    BertTokenizerFast(vocab=vocabulary, model_max_length=64).save_pretrained(folder)
    return folder
