"""The open inference protocol over real gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import grpc
import numpy as np
import pytest
from service_client import LABELS, LIMITS, POISON, Client, Guarded

from react_ray.config.service import ServeConfig
from react_ray.serve.protocols.v2 import inference_pb2 as wire

pytestmark = pytest.mark.ray

TEXTS = ["goal in the last minute", "股市上涨", "מזג האוויר", "مرحبا بالعالم", "नमस्ते", ""]


class Served:
    """Asks the application of the fixture ``client``: there are others while the tests run.

    Names and places of the methods as other implementations of the protocol have them.
    """

    def __init__(self, channel: grpc.Channel, application: str = "served"):
        self._channel = channel
        self._application = application

    def __getattr__(self, method: str) -> Any:
        call = self._channel.unary_unary(
            f"/inference.GRPCInferenceService/{method}",
            request_serializer=getattr(wire, f"{method}Request").SerializeToString,
            response_deserializer=getattr(wire, f"{method}Response").FromString,
        )
        return partial(call, metadata=[("application", self._application)])


@pytest.fixture(scope="module")
def service(client: Client) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{client.grpc_port}") as channel:
        grpc.channel_ready_future(channel).result(timeout=20)
        yield Served(channel)


def request(texts: list[Any], raw: bool = False, outputs: tuple[str, ...] = (), **changes: Any) -> Any:
    items = [text if isinstance(text, bytes) else text.encode() for text in texts]
    tensor = {"name": "text", "datatype": "BYTES", "shape": [len(texts)], **changes.pop("tensor", {})}
    message = wire.ModelInferRequest(**{"model_name": "classifier", "id": "7", **changes})
    message.inputs.add(**tensor)
    if raw:
        message.raw_input_contents.append(b"".join(len(i).to_bytes(4, "little") + i for i in items))
    else:
        message.inputs[0].contents.bytes_contents.extend(items)
    for name in outputs:
        message.outputs.add(name=name)
    return message


def test_the_server_and_the_model_describe_themselves(service: Any) -> None:
    assert service.ServerLive(wire.ServerLiveRequest()).live
    assert service.ServerReady(wire.ServerReadyRequest()).ready
    assert service.ModelReady(wire.ModelReadyRequest(name="classifier", version="1")).ready
    assert service.ServerMetadata(wire.ServerMetadataRequest()).name == "react-ray"
    model = service.ModelMetadata(wire.ModelMetadataRequest(name="classifier"))
    tensors = [*model.inputs, *model.outputs]
    assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in tensors] == [
        ("text", "BYTES", [-1]),
        ("label", "BYTES", [-1]),
        ("score", "FP32", [-1]),
        ("probabilities", "FP32", [-1, len(LABELS)]),
    ]


def contents_of(answer: Any, raw: bool) -> tuple[list[bytes], list[float], list[float]]:
    """The data of label, score and probabilities: in the form in which the texts were sent."""
    if not raw:
        label, *numbers = answer.outputs
        return list(label.contents.bytes_contents), *(list(one.contents.fp32_contents) for one in numbers)
    items, *numbers = answer.raw_output_contents
    labels = []
    while items:
        end = 4 + int.from_bytes(items[:4], "little")
        labels.append(items[4:end])
        items = items[end:]
    return labels, *(np.frombuffer(one, "<f4").tolist() for one in numbers)


@pytest.mark.parametrize("raw", [False, True])
def test_infer_says_what_predict_says(client: Client, service: Any, raw: bool) -> None:
    answer = service.ModelInfer(request(TEXTS, raw))
    assert (answer.model_name, answer.model_version, answer.id) == ("classifier", "1", "7")
    assert list(answer.outputs[2].shape) == [len(TEXTS), len(LABELS)]
    labels, best, flat = contents_of(answer, raw)
    for i, ranking in enumerate(client.predict(TEXTS).json):
        assert labels[i].decode() == ranking[0]["label"]
        assert best[i] == pytest.approx(ranking[0]["score"], abs=1e-6)
        scores = {entry["label"]: entry["score"] for entry in ranking}
        row = flat[i * len(LABELS) : (i + 1) * len(LABELS)]
        assert row == pytest.approx([scores[label] for label in LABELS], abs=1e-6)


def test_outputs_pick_the_tensors(service: Any) -> None:
    answer = service.ModelInfer(request(["球队"], outputs=("label",), tensor={"shape": [1, 1]}))
    assert [output.name for output in answer.outputs] == ["label"]


@pytest.mark.parametrize(
    ("message", "code", "says"),
    [
        (request(["a"], model_name="bert"), "NOT_FOUND", "model 'bert' is not here"),
        (request(["a"], model_version="2"), "NOT_FOUND", "version '2' is not here"),
        (request([b"\xff"]), "INVALID_ARGUMENT", "item 0 is not UTF-8 at byte 0"),
        (request(["a"], tensor={"name": "ids"}), "INVALID_ARGUMENT", "expected one, 'text'"),
        (request(["a"], tensor={"shape": [2]}), "INVALID_ARGUMENT", "1 items; expected 2"),
        (request(["a"], outputs=("logits",)), "INVALID_ARGUMENT", "output 'logits' is not known"),
        (request([], raw_input_contents=[b"\x09\0\0\0abc"]), "INVALID_ARGUMENT", "end within item 0"),
        (request(["a"], raw_input_contents=[b"", b""]), "INVALID_ARGUMENT", "1 inputs and 2 raw contents"),
        (request(["a"] * (LIMITS["max_texts"] + 1)), "INVALID_ARGUMENT", "at most 128 are taken"),
        (request(["股" * 301]), "INVALID_ARGUMENT", "text 0 has 301 characters"),
        (request(["a" * LIMITS["max_body_bytes"]]), "INVALID_ARGUMENT", "the message is over 16384 bytes"),
        (request(["fine", POISON]), "INTERNAL", "internal error"),
    ],
)
def test_wrong_calls_are_told_why(service: Any, message: Any, code: str, says: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        service.ModelInfer(message)
    assert caught.value.code().name == code
    assert says in caught.value.details()


def test_a_service_with_keys_asks_for_them_here_too(guarded: Guarded, service: Any) -> None:
    to = ("application", "guarded")
    for given in ([], [("authorization", "Bearer wrong")]):
        with pytest.raises(grpc.RpcError) as caught:
            service.ModelInfer(request(["a"]), metadata=[to, *given])
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert "a key is needed" in caught.value.details()
    key = ("authorization", f"Bearer {guarded.key}")
    assert service.ModelInfer(request(["股市"]), metadata=[to, key]).outputs
    assert service.ServerLive(wire.ServerLiveRequest(), metadata=[to]).live  # probes bring none


def test_another_model_is_not_ready_and_has_no_description(service: Any) -> None:
    with pytest.raises(grpc.RpcError, match="model 'bert' is not here"):
        service.ModelReady(wire.ModelReadyRequest(name="bert"))
    with pytest.raises(grpc.RpcError, match="model 'bert' is not here"):
        service.ModelMetadata(wire.ModelMetadataRequest(name="bert"))


def test_a_port_that_everybody_reaches_is_not_opened_for_a_service_that_is_private() -> None:
    assert ServeConfig(host="0.0.0.0", grpc_port=9000).grpc_port == 9000
    with pytest.raises(ValueError, match=r"listens on all interfaces.*host=0\.0\.0\.0"):
        ServeConfig(grpc_port=9000)
