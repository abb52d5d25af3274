"""What the encoder says of texts and of names, and texts longer than a model has positions for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
    XLNetConfig,
    XLNetForSequenceClassification,
)

from react_ray.config.settings import EncodeConfig
from react_ray.data.encode import (
    CHINESE_PROMPTS,
    PROMPTS,
    Encoder,
    Encoders,
    EncodeTask,
    default_prompts,
    encode_items,
    load_features,
)
from react_ray.inference.classifier import load
from react_ray.tasks import DEFAULT_TASK

LONG = "a text that does not end " * 100
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
MODELS = {
    # positions of RoBERTa start behind its padding: 40 of them are for 38 tokens
    "bert": (BertForSequenceClassification, BertConfig(**SIZES, max_position_embeddings=40), 40),
    "roberta": (
        RobertaForSequenceClassification,
        RobertaConfig(**SIZES, max_position_embeddings=40, pad_token_id=1),
        38,
    ),
    "xlnet": (XLNetForSequenceClassification, XLNetConfig(d_model=16, n_layer=1, n_head=2, d_inner=16), None),
}


def save(tiny_model: Path, folder: Path, family: str) -> int | None:
    """A tiny model whose tokenizer knows no limit; the number of tokens the model takes."""
    make, config, positions = MODELS[family]
    make(config).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.model_max_length = int(1e30)
    tokenizer.save_pretrained(folder)
    return positions


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("wanted", [16, 128])
def test_a_text_is_cut_where_the_positions_of_the_model_end(
    tiny_model: Path, tmp_path: Path, family: str, wanted: int
) -> None:
    positions = save(tiny_model, tmp_path, family)
    encoder = Encoder(str(tmp_path), EncodeConfig(max_length=wanted))
    assert encoder.count_tokens([LONG]) == min(wanted, positions or wanted)
    assert np.linalg.norm(encoder.encode([LONG, "short"]), axis=1) == pytest.approx(1)


@pytest.mark.parametrize("family", MODELS)
def test_a_classifier_cuts_there_too(tiny_model: Path, tmp_path: Path, family: str) -> None:
    positions = save(tiny_model, tmp_path, family)
    classifier = load(tmp_path, use_gpu=False)
    assert [len(ids) for ids in classifier.tokenizer.ids([LONG])] == [positions or 512]
    assert classifier.predict_proba([LONG]).sum() == pytest.approx(1)


def test_a_row_is_the_sentence_the_layer_below_and_the_opening(tiny_model: Path) -> None:
    encoder = Encoder(str(tiny_model), EncodeConfig())
    rows = encoder.encode(["a text", "a text that is longer by far and ends with other words", ""])
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1)
    blocks = rows.reshape(3, 3, -1) * np.sqrt(3)
    assert np.linalg.norm(blocks, axis=2) == pytest.approx(1)
    ids = encoder.tokenizer(["a text that is longer by far and ends with other words"], return_tensors="pt")
    with torch.no_grad():
        states = encoder.model(**ids, output_hidden_states=True).hidden_states
    for block, expected in enumerate((states[-1].mean(1), states[-2].mean(1), states[-1][:, 1:5].mean(1))):
        assert np.allclose(blocks[1, block], torch.nn.functional.normalize(expected, dim=1), atol=1e-5)


def test_what_a_text_is_does_not_depend_on_its_companions(tiny_model: Path, tmp_path: Path) -> None:
    model = AutoTokenizer.from_pretrained(tiny_model)
    model.padding_side = "left"  # as decoders have it
    model.save_pretrained(tmp_path)
    AutoModel.from_pretrained(tiny_model).save_pretrained(tmp_path)
    encoder = Encoder(str(tmp_path), EncodeConfig())
    together = encoder.encode(["goal", "a text that is longer by far and ends with other words"])
    assert np.allclose(together[0], encoder.encode(["goal"])[0], atol=1e-5)
    assert np.linalg.norm(together.reshape(2, 3, -1), axis=2) == pytest.approx(3**-0.5)


def test_a_name_is_the_mean_of_its_prompts(tiny_model: Path) -> None:
    encoder = Encoder(str(tiny_model), EncodeConfig())
    names, prompts = ["card arrival", "lost card"], ("{}", "a text about {}")
    found = encoder.encode_names(names, prompts).reshape(2, 3, -1)
    alone = encoder.encode(names).reshape(2, 3, -1)
    told = encoder.encode(["a text about card arrival", "a text about lost card"]).reshape(2, 3, -1)
    assert np.linalg.norm(found, axis=2) == pytest.approx(3**-0.5, abs=1e-5)
    mean = alone + told
    assert found == pytest.approx(mean / np.linalg.norm(mean, axis=2, keepdims=True) / 3**0.5, abs=1e-5)
    assert encoder.encode_names(names, ("{}",)) == pytest.approx(alone.reshape(2, -1), abs=1e-6)


def test_prompts_are_in_the_language_of_the_names() -> None:
    assert default_prompts(["card arrival", "política", "20"]) == PROMPTS
    assert default_prompts(["体育", "finance"]) == default_prompts(["體育", "ＮＢＡ"]) == CHINESE_PROMPTS
    assert default_prompts(["スポーツ", "経済"]) == ("{}",)
    assert default_prompts(["Спорт"]) == ("{}",)


def test_texts_of_an_earlier_pass_are_not_encoded_again(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []
    encode = Encoder.encode

    def watched(self: Encoder, texts: Sequence[str]) -> np.ndarray:
        encoded.extend(texts)
        return encode(self, texts)

    def run(name: str, texts: list[str], *earlier: str) -> np.ndarray:
        table = pa.table({"text": texts})
        pq.write_table(table, tmp_path / f"{name}.parquet", row_group_size=2)
        work = EncodeTask(
            [str(tiny_model)], EncodeConfig(), DEFAULT_TASK, earlier=[tmp_path / folder for folder in earlier]
        )()
        for item in encode_items(tmp_path / f"{name}.parquet", tmp_path / name):
            work(item)
        return load_features(tmp_path / name)

    monkeypatch.setattr(Encoder, "encode", watched)
    first = run("first", ["goal", "market", "rain", "score", "bank"])
    run("second", ["snow"])
    assert encoded == ["goal", "market", "rain", "score", "bank", "snow"]
    encoded.clear()
    third = run("third", ["bank", "storm", "goal", "snow", "rain"], "first", "second")
    assert encoded == ["storm"]
    assert np.array_equal(third[[0, 2, 4]], first[[4, 0, 2]])
    assert np.allclose(
        third,
        encode(Encoder(str(tiny_model), EncodeConfig()), ["bank", "storm", "goal", "snow", "rain"]),
        atol=1e-5,
    )


def test_spans_have_the_mean_state_of_their_tokens(tiny_model):
    encoder = Encoder(str(tiny_model), EncodeConfig())
    text = "one two three"
    whole, first, nothing = encoder.encode_spans([text], [[(0, 13), (0, 3), (3, 4)]])[0]
    ids = encoder.tokenizer(text, return_offsets_mapping=True)
    with torch.no_grad():
        states = encoder.model(input_ids=torch.tensor([ids["input_ids"]])).last_hidden_state[0]
    inside = [i for i, (start, end) in enumerate(ids["offset_mapping"]) if start < 3 and end > start]
    mean = states[inside].mean(0)
    assert np.allclose(first, mean / mean.norm(), atol=1e-5)
    assert np.allclose(nothing, whole, atol=1e-5), "a span without a token stands for the whole text"
    assert np.linalg.norm([whole, first], axis=1) == pytest.approx(1, abs=1e-5)


def test_spans_at_the_end_of_a_long_text_are_read(tiny_model):
    encoder = Encoder(str(tiny_model), EncodeConfig(max_length=16))
    text = "a b c d " * 30 + "zebra"
    last, start = encoder.encode_spans([text], [[(len(text) - 5, len(text)), (0, 1)]])[0]
    assert not np.allclose(last, start, atol=1e-3)
    empty = encoder.encode_spans(["a", "b"], [[], [(0, 1)]])
    assert [found.shape[0] for found in empty] == [0, 1]


def test_spans_and_names_of_several_encoders_stand_side_by_side(
    tiny_model: Path, make_tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    models = [str(tiny_model), str(make_tiny_model(tmp_path / "small", "abcdefghijklmnop", hidden=16))]
    encoders = Encoders(models, EncodeConfig())
    text, spans = "goal in the rain", [(0, 4), (12, 16)]
    found = encoders.encode_spans([text], [spans])[0]
    alone = [Encoder(model, EncodeConfig()).encode_spans([text], [spans])[0] for model in models]
    assert np.allclose(found @ found.T, np.mean([one @ one.T for one in alone], axis=0), atol=1e-6)
    names = encoders.encode_names(["goal", "rain"])
    assert names.shape == (2, encoders.width)
    assert np.allclose(np.linalg.norm(names, axis=1), 1, atol=1e-5)
    assert encoders.count_tokens([text]) == sum(
        Encoder(m, EncodeConfig()).count_tokens([text]) for m in models
    )
