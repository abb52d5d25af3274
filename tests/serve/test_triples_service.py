"""A service of an entity model with a relation model beside it, in the process of the test."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import httpx2
import numpy as np
import pytest
from fakes import FakeTokenizer
from jsonschema import Draft202012Validator
from tiny_service import MARKED, TEXT, Tagger, talk

from react_ray import AsyncClient, Client, InputError, ServiceError, TripleExtractor
from react_ray.config.service import ServeConfig
from react_ray.inference.inputs import parse_input
from react_ray.inference.saved import SavedModel
from react_ray.serve.engine import relations as relations_module
from react_ray.serve.engine.about import About
from react_ray.serve.engine.model import Engine
from react_ray.serve.engine.relations import Relations
from react_ray.serve.service import Service, TextError
from react_ray.serve.web import build_app
from react_ray.tasks import get_task
from react_ray.tasks.task import Example, Outputs, Padding

LABELS = ["Home(e1,e2)", "Home(e2,e1)", "Other"]
WORDS = ["*", "#", *MARKED, "POISON"]
HOME = [("Ada", "Home", "Paris"), ("Paris", "Home", "Bob")]


class Numbers(FakeTokenizer):
    """A token a word."""

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [[WORDS.index(w) if w in WORDS else 99 for w in text.split()] or [99] for text in texts]


class Relater(SavedModel):
    """Ada has her home in Paris, and Paris in Bob; fails on texts with a POISON behind the entities."""

    def __init__(self) -> None:
        task = get_task("relation-extraction")
        super().__init__(task, LABELS, {}, Numbers(64, "right"), Padding(0, "right"))

    def run(self, examples: Sequence[Example]) -> Outputs:
        return [self._logits(example.ids) for example in examples]

    def _logits(self, ids: list[int]) -> Any:
        words = [WORDS[number] if number < len(WORDS) else "" for number in ids]
        if "POISON" in words:
            raise RuntimeError("poison")
        if "*" not in words:
            return np.zeros(3, np.float32)
        pair = words[words.index("*") + 1], words[words.index("#") + 1]
        label = {("Ada", "Paris"): 0, ("Bob", "Paris"): 1}.get(pair, 2)
        return 3 * np.eye(3, dtype=np.float32)[label]


class Lenient(Tagger):
    """Reads any word."""

    def _logits(self, example: Example) -> Any:
        example.ids[:] = [5 if number == 4 else number for number in example.ids]
        return super()._logits(example)


class Gone(Relater):
    """A model of relations that fails."""

    def run(self, examples: Any) -> Any:
        raise RuntimeError("gone")


def service_of(**settings: Any) -> Service:
    config = ServeConfig(**settings)
    relations = Relations(Engine(Relater()), config)
    return Service(Engine(Lenient()), config, About("1", None, "none"), relations=relations)


def ask(service: Service, inputs: Any, **more: Any) -> httpx2.Response:
    return talk(service, ("/triples", {"inputs": inputs, **more}))[0]


def told(triples: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(one["head"], one["relation"], one["tail"]) for one in triples]


def test_triples_of_one_input_and_of_several() -> None:
    service = service_of()
    assert told(ask(service, TEXT).json()) == HOME
    several = ask(service, [TEXT, {"tokens": TEXT.split()}, "nobody here", "Ada alone", ""]).json()
    assert [told(one) for one in several] == [HOME, HOME, [], [], []]
    first = several[0][0]
    assert (first["head_start"], first["head_end"], first["tail_start"], first["tail_end"]) == (0, 3, 15, 20)
    assert (first["head_entity_group"], first["tail_entity_group"]) == ("PER", "LOC")


def test_the_service_says_what_the_models_say_in_python() -> None:
    (expected,) = TripleExtractor(Lenient(), Relater()).predict([TEXT])
    assert ask(service_of(), TEXT).json() == [pytest.approx(asdict(triple)) for triple in expected]


def test_the_threshold_and_top_k_leave_out_the_least_sure() -> None:
    sure, unsure = ask(service_of(), TEXT).json()
    assert unsure["score"] < 0.5 < sure["score"]
    assert ask(service_of(), TEXT, threshold=0.5).json() == [sure]
    assert ask(service_of(threshold=0.5), TEXT).json() == [sure]
    assert ask(service_of(), TEXT, top_k=1).json() == [sure]


def test_the_nearest_pairs_are_asked_about() -> None:
    assert told(ask(service_of(max_pairs=2), TEXT).json()) == HOME[1:]


def test_a_request_fails_with_the_relation_model_as_with_the_other() -> None:
    service = service_of()
    assert ask(service, ["Ada alone", f"{TEXT} POISON"]).status_code == 500
    assert ask(service_of(), "Ada POISON").json() == [], "there is no pair to ask about"
    rows = [parse_input(Tagger().task, text) for text in ("x", f"{TEXT} POISON")]
    with pytest.raises(TextError, match="text 1"):
        asyncio.run(service_of().triples(rows))


@pytest.mark.parametrize(
    ("inputs", "status"), [([], 422), (7, 422), ({"words": []}, 422), (["x"] * 3, 413), ("x" * 50, 413)]
)
def test_what_is_no_input_is_refused_as_by_predict(inputs: Any, status: int) -> None:
    service = service_of(max_texts=2, max_chars=40)
    body = {"inputs": inputs}
    triples, predict = talk(service, ("/triples", body), ("/predict", body))
    assert triples.status_code == predict.status_code == status
    assert triples.json()["error"] == predict.json()["error"]


def test_too_many_pairs_are_refused_and_the_client_sends_fewer_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relations_module, "MOST_QUESTIONS", 4)
    service = service_of()
    answer = ask(service, [TEXT, TEXT])
    assert (answer.status_code, "pairs of entities" in answer.json()["error"]) == (413, True)

    async def scenario() -> None:
        async with client_of(service) as client:
            found = await client.triples([TEXT] * 3, top_k=1)
            assert [[(t.head, t.relation, t.tail) for t in triples] for triples in found] == [HOME[:1]] * 3

    asyncio.run(scenario())


def client_of(service: Service) -> AsyncClient:
    client = AsyncClient("http://localhost", retries=0)
    transport = httpx2.ASGITransport(build_app(service, scrape=None))  # type: ignore[arg-type]
    client._http = httpx2.AsyncClient(transport=transport, base_url="http://localhost")
    return client


def test_without_a_relation_model_there_are_no_triples() -> None:
    service = Service(Engine(Tagger()), ServeConfig(), About("1", None, "none"))
    about, api, answer = talk(
        service, ("/model", None), ("/openapi.json", None), ("/triples", {"inputs": "x"})
    )
    assert about.json()["relations"] is None
    assert "/triples" not in api.json()["paths"]
    assert answer.status_code == 404
    with pytest.raises(ServiceError):
        asyncio.run(_triples_of(service))
    with pytest.raises(InputError, match="a list of texts"):
        Client("http://localhost").triples(TEXT)


async def _triples_of(service: Service) -> None:
    async with client_of(service) as client:
        await client.triples([TEXT])


def test_the_interface_is_described() -> None:
    service = service_of()
    about, api = talk(service, ("/model", None), ("/openapi.json", None))
    assert about.json()["relations"] == LABELS
    paths = api.json()["paths"]
    route, predict = paths["/triples"]["post"], paths["/predict"]["post"]
    asked, other = (one["requestBody"]["content"]["application/json"]["schema"] for one in (route, predict))
    assert "Most triples" in asked["properties"]["top_k"].pop("description")
    assert "Most entities" in other["properties"]["top_k"].pop("description")
    assert asked == other
    assert route["responses"].keys() == predict["responses"].keys()
    content = route["responses"]["200"]["content"]["application/json"]
    answers = Draft202012Validator(content["schema"])
    assert answers.is_valid(content["example"])
    assert answers.is_valid(ask(service, TEXT).json())
    assert not answers.is_valid([{"head": "Ada"}])


def test_a_service_is_ready_when_both_models_answer() -> None:
    service = service_of()
    assert talk(service, ("/readyz", None))[0].status_code == 200
    engine = Engine(Relater())
    broken = Service(
        Engine(Lenient()), ServeConfig(), About("1", None, "none"), relations=Relations(engine, ServeConfig())
    )
    engine.model = Gone()
    assert talk(broken, ("/readyz", None))[0].status_code == 503
