from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from both_clients import Awaited, Blocking
from ports import free_port
from service_client import CARD, LABELS, LIMITS, POISON, Client, Guarded

from react_ray.inference.onnx_record import OnnxRecord, digest_of, onnx_file
from react_ray.inference.reference import write_reference
from react_ray.serve.limits.keys import add_key

CHINESE = "股市上涨球队夺得冠军足科技今日的"


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny classifier of English letters and Chinese characters; its ONNX files break on POISON.

    The poison is a token that the tokenizer knows and the file has no embedding for. Such a model cannot be
    exported, so its row is cut off afterwards.
    """
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    from react_ray.inference.onnx_export import export

    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters)]
    words = list(dict.fromkeys([*words, *CHINESE, POISON]))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.5,
        id2label=dict(enumerate(LABELS)),
        label2id={label: i for i, label in enumerate(LABELS)},
    )
    folder = tmp_path_factory.mktemp("run") / "model"
    BertForSequenceClassification(config).save_pretrained(folder)
    vocabulary = {word: i for i, word in enumerate(words)}
    BertTokenizerFast(vocab=vocabulary, model_max_length=64).save_pretrained(folder)
    with pytest.MonkeyPatch.context() as patch:  # so small a model gains nothing from int8
        patch.setattr("react_ray.inference.onnx_export.speed_ratio", lambda *_: 2.0)
        export(folder, folder / "onnx", ["goal in the last minute", "股市上涨", "what?"])
    cut_off_last_embedding(folder / "onnx", len(words))
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    return folder


def cut_off_last_embedding(onnx_folder: Path, rows: int) -> None:
    """Have exported files know one token less, and their record say that this is how they were made."""
    import onnx
    from onnx import numpy_helper

    record = OnnxRecord.load(onnx_folder)
    assert record is not None
    for precision in record.precisions:
        model = onnx.load(onnx_file(onnx_folder, precision))
        tables = [it for it in model.graph.initializer if list(it.dims) == [rows, 32]]
        assert len(tables) == 1
        tables[0].CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tables[0])[:-1], tables[0].name))
        onnx.save(model, onnx_file(onnx_folder, precision))
    digests = {name: digest_of(onnx_file(onnx_folder, name)) for name in record.precisions}
    replace(record, digests=digests).save(onnx_folder)


@pytest.fixture(scope="package")
def client(ray_cluster: None, classifier_folder: Path) -> Iterator[Client]:
    """Two replicas behind the real proxy; shared by the folder."""
    from ray import serve

    from react_ray.config.service import ServeConfig
    from react_ray.serve.app import build
    from react_ray.serve.deploy import grpc_options

    port, grpc_port = free_port(), free_port()
    serve.start(
        http_options={"host": "127.0.0.1", "port": port},
        grpc_options=grpc_options(ServeConfig(host="0.0.0.0", grpc_port=grpc_port)),
    )
    serve.run(build({"model": str(classifier_folder), **LIMITS}), name="served")
    yield Client(port, grpc_port)
    serve.shutdown()


@pytest.fixture(scope="package")
def guarded(
    client: Client, classifier_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    """A service of its own with everything on that is off by default."""
    from ray import serve

    from react_ray.serve.app import build

    file = tmp_path_factory.mktemp("keys") / "keys.txt"
    key = add_key("first", file)
    settings = {
        **LIMITS,
        "replicas": 1,
        "api_keys": str(file),
        "rate_limit": 50,
        "body_timeout_s": 1,
        "max_ongoing": 16,  # fewer places than slow callers in test_slow_clients
        "record": str(file.parent / "record"),
    }
    model = file.parent / "model"
    shutil.copytree(classifier_folder, model)
    write_reference(model, model, [f"text {i}" for i in range(500)], use_gpu=False)
    serve.run(build({"model": str(model), **settings}), name="guarded", route_prefix="/guarded")
    yield Guarded(client, file, key)
    serve.delete("guarded")


@pytest.fixture(params=[Blocking, Awaited], ids=["blocking", "async"])
def make(request: pytest.FixtureRequest) -> Any:
    """The class of a client; tests run with each."""
    return request.param
