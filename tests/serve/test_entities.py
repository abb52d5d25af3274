"""A service of a token classifier, in the process of the test: every door gives the same entities."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator
from tiny_service import FOUND, TEXT, Tagger, talk

from react_ray import AsyncClient, Entity
from react_ray.config.service import ServeConfig
from react_ray.inference.reference import Histogram, Reference
from react_ray.serve.engine.about import About
from react_ray.serve.engine.model import Engine
from react_ray.serve.protocols.v2 import inference_pb2 as wire
from react_ray.serve.protocols.v2.grpc import InferenceMethods
from react_ray.serve.service import Service
from react_ray.serve.web import build_app

INFER = "/v2/models/classifier/infer"


def service_of(reference: Reference | None = None, **settings: Any) -> Service:
    return Service(Engine(Tagger()), ServeConfig(**settings), About("1", None, "none"), reference)


def predict(service: Service, inputs: Any, **more: Any) -> Any:
    return talk(service, ("/predict", {"inputs": inputs, **more}))[0].json()


def tuples(entities: list[dict[str, Any]]) -> list[tuple[str, str, int, int]]:
    return [(e["entity_group"], e["word"], e["start"], e["end"]) for e in entities]


def test_an_input_is_a_text_or_an_object_with_its_columns() -> None:
    service = service_of()
    assert tuples(predict(service, TEXT)) == FOUND
    one, split, none = predict(service, [{"text": TEXT}, {"tokens": TEXT.split()}, "nobody here"])
    assert tuples(one) == tuples(split) == FOUND
    assert none == []


@pytest.mark.parametrize("empty", ["", " ", {"text": ""}, {"tokens": []}, {"text": "", "tokens": []}])
def test_a_text_without_words_has_no_entities(empty: Any) -> None:
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": [TEXT, ""]}
    one, several, bulk, infer = talk(
        service_of(),
        ("/predict", {"inputs": empty}),
        ("/predict", {"inputs": [TEXT, empty]}),
        ("/bulk", json.dumps(empty).encode()),
        (INFER, {"inputs": [tensor]}),
    )
    assert one.json() == []
    assert [tuples(entities) for entities in several.json()] == [FOUND, []]
    assert json.loads(bulk.content.splitlines()[0]) == {"line": 0, "answer": [], "score": 1.0}
    (output,) = infer.json()["outputs"]
    assert [tuples(json.loads(one)) for one in output["data"]] == [FOUND, []]
    assert Tagger().predict([empty, TEXT])[0] == []


def test_a_long_text_is_read_in_windows_and_answered_once() -> None:
    text = "word " * 40 + TEXT
    assert tuples(predict(service_of(), text)) == [
        (kind, word, start + 200, end + 200) for kind, word, start, end in FOUND
    ]


def test_the_threshold_and_top_k_leave_out_the_least_sure() -> None:
    service = service_of()
    scores = {entity["word"]: entity["score"] for entity in predict(service, TEXT)}
    assert scores["Bob"] < 0.5 < scores["Ada"]
    for more in ({"threshold": 0.5}, {"top_k": 2}):
        assert tuples(predict(service, TEXT, **more)) == [FOUND[0], FOUND[2]]
    assert tuples(predict(service_of(threshold=0.5), TEXT)) == [FOUND[0], FOUND[2]]


@pytest.mark.parametrize(
    ("inputs", "status", "says"),
    [
        ({}, 422, "inputs: text is missing; expected a string or"),
        ({"tokens": "Ada"}, 422, "inputs: tokens is a string; expected a list of strings"),
        ({"tokens": ["Ada", None]}, 422, "inputs: tokens: item 1 is null; expected a string"),
        ([TEXT, {"words": []}], 422, "inputs: item 1: words is not known; known are: tokens, text"),
        ([TEXT, {"tokens": [""]}], 422, "inputs: item 1: "),
        ([TEXT, 7], 422, "inputs: item 1 is a number; expected a string or"),
        ([TEXT, {"tokens": ["Ada", "x" * 40]}], 413, "inputs: text 1 has 43 characters; at most 40"),
    ],
)
def test_what_is_no_input_is_told_by_its_place(inputs: Any, status: int, says: str) -> None:
    (answer,) = talk(service_of(max_chars=40), ("/predict", {"inputs": inputs}))
    assert (answer.status_code, says in answer.json()["error"]) == (status, True), answer.text


def test_more_words_than_a_request_may_have_are_refused_and_the_client_sends_fewer_texts() -> None:
    service = service_of(max_words=6)
    tensor = {"name": "tokens", "shape": [1], "datatype": "BYTES", "data": [json.dumps(["x"] * 1500)]}
    tall, many, split, bulk, long = talk(
        service,
        ("/predict", {"inputs": "x " * 7}),
        ("/predict", {"inputs": [TEXT, "x y"]}),
        (INFER, {"inputs": [tensor]}),
        ("/bulk", json.dumps("x " * 7).encode() + b'\n"Paris"\n'),
        ("/predict", {"inputs": "x" * 56}),
    )
    assert (tall.status_code, tall.json()["error"]) == (413, "inputs: has 7 words; at most 6 are taken")
    assert (many.status_code, many.json()["error"]) == (
        413,
        "inputs: over 6 words; no more are taken in a request",
    )
    assert (split.status_code, split.json()["error"]) == (413, "tokens: the body has over 2036 values")
    assert (long.status_code, "has 7 words" in long.json()["error"]) == (413, True), "of 8 characters each"
    first, second, _ = map(json.loads, bulk.content.splitlines())
    assert first == {"line": 0, "error": "text has 7 words; at most 6 are taken"}
    assert tuples(second["answer"]) == [("LOC", "Paris", 0, 5)]

    async def scenario() -> None:
        async with client_of(service) as client:
            found = await client.predict([TEXT] * 3)
            assert [[e.word for e in entities] for entities in found] == [["Ada", "Bob", "Paris"]] * 3

    asyncio.run(scenario())


def client_of(service: Service) -> AsyncClient:
    transport = httpx2.ASGITransport(build_app(service, scrape=None))  # type: ignore[arg-type]
    client = AsyncClient("http://localhost", retries=0)
    client._http = httpx2.AsyncClient(transport=transport, base_url="http://localhost")
    return client


def test_one_bad_row_fails_alone_in_bulk() -> None:
    lines = [TEXT, {"text": "POISON " + TEXT, "id": 7}, {"tokens": ["Paris"], "id": "x"}, {"tokens": 1}]
    body = "\n".join(map(json.dumps, lines)).encode()
    (answer,) = talk(service_of(), ("/bulk", body))
    first, bad, last, wrong, end = map(json.loads, answer.content.splitlines())
    assert tuples(first["answer"]) == FOUND
    assert bad == {"line": 1, "id": 7, "error": "the model failed on this text"}
    assert (last["id"], tuples(last["answer"])) == ("x", [("LOC", "Paris", 0, 5)])
    assert wrong == {"line": 3, "error": "tokens is a number; expected a list of strings"}
    assert end == {"done": True, "lines": 4}


def test_the_open_protocol_gives_an_answer_a_row_as_json() -> None:
    texts = {"name": "text", "shape": [2], "datatype": "BYTES", "data": [TEXT, "nobody"]}
    split = {"name": "tokens", "shape": [1], "datatype": "BYTES", "data": [json.dumps(TEXT.split())]}
    wrong = {**split, "data": ["Ada"]}
    about, *found, refused = talk(
        service_of(),
        ("/v2/models/classifier", None),
        (INFER, {"inputs": [texts]}),
        (INFER, {"inputs": [split]}),
        (INFER, {"inputs": [wrong]}),
    )
    assert [tensor["name"] for tensor in about.json()["outputs"]] == ["answer"]
    (texts_answer,), (split_answer,) = (one.json()["outputs"] for one in found)
    assert [tuples(json.loads(one)) for one in texts_answer["data"]] == [FOUND, []]
    assert [tuples(json.loads(one)) for one in split_answer["data"]] == [FOUND]
    assert (refused.status_code, refused.json()["error"]) == (
        422,
        "tokens: an item is not JSON; expected a list as JSON",
    )


def test_the_open_protocol_over_grpc() -> None:
    methods = InferenceMethods()
    methods._service = service_of()
    request = wire.ModelInferRequest(model_name="classifier")
    tensor = request.inputs.add(name="text", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(TEXT.encode())
    context: Any = SimpleNamespace(trailing_metadata=list, code=lambda: None)
    answer = asyncio.run(methods.ModelInfer(request.SerializeToString(), context))
    (output,) = answer.outputs
    assert tuples(json.loads(output.contents.bytes_contents[0])) == FOUND


def test_labels_of_entities_are_not_explained() -> None:
    (answer,) = talk(service_of(), ("/explain", {"input": TEXT}))
    assert (answer.status_code, "token classification is not explained" in answer.json()["error"]) == (
        422,
        True,
    )


def test_the_model_and_its_interface_are_described() -> None:
    about, api = talk(service_of(), ("/model", None), ("/openapi.json", None))
    told = about.json()
    assert (told["task"], told["answers"], told["explains"]) == ("token-classification", "entities", False)
    assert told["labels"] == ["LOC", "PER"]
    assert told["limits"]["max_words"] == ServeConfig().max_words
    assert [column["name"] for column in told["inputs"]] == ["tokens", "text"]
    route = api.json()["paths"]["/predict"]["post"]
    schema = route["requestBody"]["content"]["application/json"]["schema"]
    answers = Draft202012Validator(route["responses"]["200"]["content"]["application/json"]["schema"])
    service = service_of()
    inputs = schema["properties"]["inputs"]
    assert "may be empty: it then has no entities" in inputs["anyOf"][1]["properties"]["text"]["description"]
    for example in [*schema["examples"], {"inputs": ""}, {"inputs": [{"tokens": []}]}]:
        assert Draft202012Validator(schema).is_valid(example)
        assert answers.is_valid(predict(service, example["inputs"]))


def test_what_is_counted_and_recorded_are_the_types(tmp_path: Path) -> None:
    reference = Reference(
        200, {"LOC": 0.5, "PER": 0.5, "": 0.5}, Histogram.of([0.5, 1]), Histogram.of([1, 9])
    )
    service = service_of(reference, record=str(tmp_path))
    predict(service, [TEXT] * 40 + ["nobody"] * 60)
    service.close()
    samples = {
        sample.labels["label"]: sample.value
        for family in service.metrics.families()
        for sample in family.samples
        if sample.name == "react_ray_predictions_total"
    }
    assert samples == {"PER": 40, "LOC": 40, "": 60}
    assert service._drift.differences()["labels"].index < 0.1
    (file,) = tmp_path.rglob("*.parquet")
    labels = pq.read_table(file)["label"].to_pylist()
    assert sorted(set(labels)) == ['["PER", "PER", "LOC"]', "[]"]


def test_the_client_gives_entities() -> None:
    async def scenario() -> None:
        async with client_of(service_of()) as client:
            found = await client.predict({"tokens": TEXT.split()}, threshold=0.5)
            assert [type(entity) for entity in found] == [Entity, Entity]
            assert [(e.entity_group, e.word, e.start, e.end) for e in found] == [FOUND[0], FOUND[2]]
            assert await client.predict(["nobody"]) == [[]]
            results = [result async for result in client.bulk([TEXT, {"tokens": ["Paris"]}])]
            assert [len(result.answer or []) for result in results] == [3, 1]
            assert results[1].answer == await client.predict("Paris")

    asyncio.run(scenario())
