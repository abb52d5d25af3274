"""Every route against /openapi.json: requests drawn from its schemas, and such as break them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from service_client import Answer, Client, Guarded

pytestmark = pytest.mark.ray

Drawn = st.SearchStrategy[Any]
MISTAKES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just([]) | st.just({})
NAMES = st.just("classifier") | st.text(min_size=1, max_size=8).filter(lambda name: name.strip("./") == name)
VERSIONS = st.sampled_from(["1", "2", "01", "latest", "-"])
ROUTES = [
    ("post", "/predict"),
    ("post", "/explain"),
    ("get", "/model"),
    ("post", "/bulk"),
    ("get", "/v2"),
    ("get", "/v2/health/live"),
    ("get", "/v2/health/ready"),
    ("get", "/v2/models/{name}"),
    ("get", "/v2/models/{name}/ready"),
    ("post", "/v2/models/{name}/infer"),
    ("get", "/v2/models/{name}/versions/{version}"),
    ("get", "/v2/models/{name}/versions/{version}/ready"),
    ("post", "/v2/models/{name}/versions/{version}/infer"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
]
OPEN = {"/healthz", "/readyz"}


@pytest.fixture(scope="module")
def api(client: Client) -> dict[str, Any]:
    return client.get("/openapi.json").json


def drawn(schema: dict[str, Any]) -> Drawn:
    """Values that a schema allows."""
    if "anyOf" in schema:
        return st.one_of([drawn(option) for option in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "string":
            return st.text(max_size=30)
        case "integer":
            return st.integers(schema.get("minimum"), schema.get("maximum"))
        case "number":
            return st.floats(
                schema.get("minimum"), schema.get("maximum"), allow_nan=False, allow_infinity=False
            )
        case "array":
            return st.lists(drawn(schema["items"]), min_size=schema.get("minItems", 0), max_size=4)
        case "object" if "properties" in schema:
            fields = {name: drawn(field) for name, field in schema["properties"].items()}
            required = {name: fields.pop(name) for name in schema.get("required", [])}
            return st.fixed_dictionaries(required, optional=fields)
        case "object":
            return st.dictionaries(st.text(max_size=5), drawn(schema["additionalProperties"]), max_size=2)
    return MISTAKES


def broken(value: Any) -> Drawn:
    """The value with a mistake somewhere: another type, a field too many, one missing."""
    options = [MISTAKES]
    if isinstance(value, dict):
        options.append(st.builds(lambda more: {**value, "more": more}, MISTAKES))
        for name in value:
            without = {other: value[other] for other in value if other != name}
            options.append(st.just(without))
            options.append(broken(value[name]).map(lambda wrong, name=name: {**value, name: wrong}))
    if isinstance(value, list):
        options.append(MISTAKES.map(lambda wrong: [*value, wrong]))
    return st.one_of(options)


def assert_documented(api: dict[str, Any], route: dict[str, Any], answer: Answer) -> None:
    """The status is one of the route's, and the body what is said of it there."""
    assert answer.status < 500, answer.body
    assert str(answer.status) in route["responses"], answer.body
    content = route["responses"][str(answer.status)]["content"]
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind in content
    said = Draft202012Validator({**content[kind]["schema"], "components": api["components"]})
    if kind == "application/x-ndjson":
        for line in answer.body.splitlines():
            said.validate(json.loads(line))
    else:
        said.validate(answer.json if kind == "application/json" else answer.body.decode())


def test_the_routes_here_are_those_of_the_service(api: dict[str, Any]) -> None:
    assert {(method, path) for path, methods in api["paths"].items() for method in methods} == set(ROUTES)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_tells_what_it_may_answer(guarded: Guarded, method: str, path: str) -> None:
    api = guarded.ask("GET", "/openapi.json").json
    route = api["paths"][path][method]
    common = {"200", "408", "414", "421", "429", "503"} | (set() if path in OPEN else {"401"})
    own = {
        "/predict": {"400", "413", "415", "422", "500"},
        "/explain": {"400", "413", "415", "422", "500"},
        "/bulk": {"413", "415", "422"},
        "/v2/models/{name}": {"404"},
        "/v2/models/{name}/ready": {"404"},
        "/v2/models/{name}/infer": {"400", "404", "413", "415", "422", "500"},
    }
    assert set(route["responses"]) == common | own.get(path.replace("/versions/{version}", ""), set())
    assert {"text/plain"} <= set(route["responses"]["429"]["content"])
    without = guarded.ask(method.upper(), path, Authorization="")
    assert without.status == (200 if path in OPEN else 401)
    assert_documented(api, route, without)


def schema_of(api: dict[str, Any], path: str) -> tuple[str, dict[str, Any]]:
    ((kind, body),) = api["paths"][path]["post"]["requestBody"]["content"].items()
    return kind, body["schema"]


POSTS = [path for method, path in ROUTES if method == "post"]
drawing = settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("path", POSTS)
@drawing
@given(st.data())
def test_what_the_schema_allows_is_answered(
    client: Client, api: dict[str, Any], path: str, data: st.DataObject
) -> None:
    kind, schema = schema_of(api, path)
    route = api["paths"][path]["post"]
    lines = data.draw(st.lists(drawn(schema), max_size=5) if path == "/bulk" else st.tuples(drawn(schema)))
    body = b"\n".join(json.dumps(line).encode() for line in lines)
    answer = client.send("POST", filled(path, data), body, {"Content-Type": kind})
    assert_documented(api, route, answer)
    if path in ("/predict", "/explain"):
        assert answer.status == 200
    if path == "/bulk":
        assert answer.status == 200
        *answered, end = [json.loads(line) for line in answer.body.splitlines()]
        assert [line["line"] for line in answered] == list(range(len(lines)))
        assert not [line for line in answered if "error" in line]
        assert end == {"done": True, "lines": end["lines"]}


@pytest.mark.parametrize("path", [path for path in POSTS if path != "/bulk"])
@drawing
@given(st.data())
def test_what_the_schema_does_not_allow_is_refused(
    client: Client, api: dict[str, Any], path: str, data: st.DataObject
) -> None:
    kind, schema = schema_of(api, path)
    body = data.draw(drawn(schema).flatmap(broken))
    answer = client.send("POST", at_model(path), json.dumps(body).encode(), {"Content-Type": kind})
    assert_documented(api, api["paths"][path]["post"], answer)
    if not Draft202012Validator(schema).is_valid(body):
        assert 400 <= answer.status < 500


@pytest.mark.parametrize("path", [path for method, path in ROUTES if method == "get"])
@settings(drawing, max_examples=10)
@given(st.data())
def test_what_is_only_read_is_answered(
    client: Client, api: dict[str, Any], path: str, data: st.DataObject
) -> None:
    where = filled(path, data)
    answer = client.get(where)
    assert_documented(api, api["paths"][path]["get"], answer)
    assert answer.status == (200 if where == at_model(path) else 404)


def at_model(path: str) -> str:
    """The path of the model that is served."""
    return path.replace("{name}", "classifier").replace("{version}", "1")


def filled(path: str, data: st.DataObject) -> str:
    for part, names in (("{name}", NAMES), ("{version}", VERSIONS)):
        path = path.replace(part, quote(data.draw(names), safe="")) if part in path else path
    return path


@pytest.mark.parametrize("path", POSTS)
def test_another_type_of_body_is_refused(client: Client, api: dict[str, Any], path: str) -> None:
    for kind in ("", "text/plain", "multipart/form-data", "application/json; charset=latin-1"):
        answer = client.send("POST", at_model(path), b"{}", {"Content-Type": kind})
        assert answer.status == 415
        assert_documented(api, api["paths"][path]["post"], answer)


def others(path: str) -> Iterator[str]:
    there = {method.upper() for method, route in ROUTES if route == path}
    yield from sorted({"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - there)


@pytest.mark.parametrize("path", [path for _, path in ROUTES])
def test_other_methods_are_refused_and_told_which_there_is(client: Client, path: str) -> None:
    for method in others(path):
        answer = client.send(method, at_model(path), b"{}")
        assert (answer.status, answer.json) == (405, {"error": "Method Not Allowed"})
        assert answer.headers["allow"] in ("GET, HEAD", "POST")
