"""The interface of a service of each task as /openapi.json describes it: its examples are answered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from fakes import FakeModel, FakeTokenizer
from jsonschema import Draft202012Validator
from test_triples_service import Relater
from tiny_service import Tagger, talk

from react_ray.config.service import ServeConfig
from react_ray.inference.saved import SavedModel
from react_ray.models.tokenizer import Window
from react_ray.serve.engine.about import About
from react_ray.serve.engine.model import Engine
from react_ray.serve.service import Service
from react_ray.tasks import get_task

INFER = "/v2/models/classifier/infer"
LINES = "application/x-ndjson"


class PairTokens(FakeTokenizer):
    """One token a pair."""

    def pairs(self, texts: Sequence[str], others: Sequence[str]) -> list[Window]:
        return [Window([1], [0], [], []) for _ in zip(texts, others, strict=True)]


MODELS: list[SavedModel] = [
    FakeModel(),
    FakeModel(tokenizer=PairTokens(8, "right"), task=get_task("text-pair-classification")),
    FakeModel(task=get_task("multi-label-classification")),
    Tagger(),
    Relater(),
]
TOP_K = {
    "text-classification": "the best. All",
    "text-pair-classification": "the best. All",
    "multi-label-classification": "in the set or not",
    "token-classification": "the surest, in the order of the text",
    "relation-extraction": "the best. All",
}


@pytest.fixture(params=MODELS, ids=lambda model: model.task.name)
def service(request: pytest.FixtureRequest) -> Service:
    return Service(Engine(request.param), ServeConfig(access_log=False), About("1", None, "none"))


def schema_of(body: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
    schema: dict[str, Any] = body["content"][kind]["schema"]
    return schema


def test_the_examples_are_answered_as_they_are_described(service: Service) -> None:
    (api,) = talk(service, ("/openapi.json", None))
    paths = api.json()["paths"]
    for path in ("/predict", INFER.replace("classifier", "{name}")):
        route = paths[path]["post"]
        asked = schema_of(route["requestBody"])
        for example in asked["examples"]:
            assert Draft202012Validator(asked).is_valid(example)
            (answer,) = talk(service, (path.replace("{name}", "classifier"), example))
            assert answer.status_code == 200, answer.text
            if path == "/predict":
                assert Draft202012Validator(schema_of(route["responses"]["200"])).is_valid(answer.json())
    bulk = paths["/bulk"]["post"]
    (answer,) = talk(service, ("/bulk", bulk["requestBody"]["content"][LINES]["example"].encode()))
    for line in map(json.loads, answer.content.splitlines()):
        assert "error" not in line
        assert Draft202012Validator(schema_of(bulk["responses"]["200"], LINES)).is_valid(line)


def test_top_k_is_described_as_it_works(service: Service) -> None:
    (api,) = talk(service, ("/openapi.json", None))
    asked = schema_of(api.json()["paths"]["/predict"]["post"]["requestBody"])
    assert TOP_K[service.task.name] in asked["properties"]["top_k"]["description"]


def test_a_request_without_inputs_is_told_what_is_one(service: Service) -> None:
    (refused,) = talk(service, ("/predict", {}))
    message, _, expected = refused.json()["error"].partition("; expected ")
    assert (refused.status_code, message) == (422, "inputs is missing")
    assert talk(service, ("/predict", json.loads(expected)))[0].status_code == 200


def test_top_k_of_a_set_are_the_best_labels_in_it_or_not() -> None:
    model = FakeModel(["a", "b", "c"], task=get_task("multi-label-classification"))
    service = Service(Engine(model), ServeConfig(access_log=False), About("1", None, "none"))
    every, two = talk(service, ("/predict", {"inputs": "x"}), ("/predict", {"inputs": "x", "top_k": 2}))
    assert every.json() == [], "1/3 is below the threshold of each label"
    assert [entry["label"] for entry in two.json()] == ["a", "b"]
