"""Forms that a request may have: in the process of the test, as the application of a replica sees it."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from unittest.mock import Mock

import httpx2
import numpy as np
import pytest
from costs import Model, context
from ray.serve.generated.serve_pb2_grpc import add_RayServeAPIServiceServicer_to_server

from react_ray.config.file import load_serve_config
from react_ray.config.service import ServeConfig
from react_ray.errors import ConfigError
from react_ray.serve.engine.about import About
from react_ray.serve.engine.model import Engine
from react_ray.serve.limits import gate as gate_module
from react_ray.serve.limits.address import source_of
from react_ray.serve.limits.edge import Edge
from react_ray.serve.limits.hosts import Hosts
from react_ray.serve.limits.keys import add_key
from react_ray.serve.limits.refusal import RefusalError
from react_ray.serve.protocols.v2 import inference_pb2 as wire
from react_ray.serve.protocols.v2.grpc import InferenceMethods
from react_ray.serve.protocols.v2.methods import LIST, add_GRPCInferenceServiceServicer_to_server
from react_ray.serve.service import Service
from react_ray.serve.web import build_app

BODY = b'{"inputs": "a"}'
INFER = "/v2/models/classifier/infer"
TENSOR = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a", "股"]}
PATHS = ["/", "/docs", "/openapi.json", "/healthz", "/readyz", "/model", "/metrics", "/v2", "/v2/health/live"]
PATHS += ["/v2/health/ready", "/v2/models/classifier", "/v2/models/classifier/versions/1/ready"]


def service_of(**settings: Any) -> Service:
    return Service(Engine(Model()), ServeConfig(**settings), About("1", None, "none"))


def ask(method: str, path: str, body: bytes = b"", kind: str | None = "application/json", **more: Any) -> Any:
    """The answer of an application with ``settings``, below ``root``, to these headers."""
    settings, headers, root = more.get("settings", {}), more.get("headers", {}), more.get("root", "")

    async def scrape() -> bytes:
        return b"figures"

    async def asked() -> Any:
        app = more.get("app") or build_app(service_of(**settings), scrape)
        transport = httpx2.ASGITransport(app, root_path=root)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            given = {**({"Content-Type": kind} if kind is not None else {}), **headers}
            return await http.request(method, root + path, content=body, headers=given)

    return asyncio.run(asked())


@pytest.mark.parametrize("path", PATHS)
def test_head_is_get_without_a_body(path: str) -> None:
    got, head = ask("GET", path), ask("HEAD", path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]
    assert head.headers["content-type"] == got.headers["content-type"]


def test_head_where_there_is_no_get() -> None:
    answer = ask("HEAD", "/predict")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert ask("POST", "/healthz").headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("root", ["", "/news"])
def test_a_slash_at_the_end_changes_nothing_and_leads_nowhere_else(root: str) -> None:
    for path in [*PATHS[2:], "/predict", "/explain", "/bulk", INFER]:
        kind = "application/x-ndjson" if path == "/bulk" else "application/json"
        method = "POST" if path in ("/predict", "/explain", "/bulk", INFER) else "GET"
        plain, slash = (ask(method, path + end, b"7", kind, root=root) for end in ("", "/"))
        assert (slash.status_code, slash.content) == (plain.status_code, plain.content), path
    docs = ask("GET", "/docs/?a=1", root=root)
    assert (docs.status_code, docs.headers["location"]) == (307, "../docs?a=1")
    assert ask("GET", "/predict//", root=root).status_code == 404


def test_the_page_below_a_prefix_has_a_slash_at_its_end() -> None:
    answer = ask("GET", "", root="/news")
    assert (answer.status_code, answer.headers["location"]) == (307, "news/")
    assert ask("GET", "/", root="/news").status_code == 200


def test_the_interface_is_found_from_its_own_address() -> None:
    assert ask("GET", "/openapi.json", root="/news").json()["servers"] == [{"url": "."}]


def test_what_is_refused_before_any_route_is_described_for_every_route() -> None:
    for path, methods in ask("GET", "/openapi.json").json()["paths"].items():
        for operation in methods.values():
            assert {"414", "421"} <= operation["responses"].keys(), path


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("application/json;", 200),
        ("APPLICATION/JSON ; Charset=UTF-8", 200),
        ("application/json;charset=utf8", 200),
        ('application/json; charset="utf-8"', 200),
        ('application/json; charset="UTF8"; profile=x', 200),
        ("application/json; charset = utf-8", 200),
        ("application/vnd.api+json", 200),
        ("application/json; version=1", 200),
        ("application/json; charset=latin-1", 415),
        ("application/json; charset=utf-16", 415),
        ("application/json; charset=", 415),
        ("application/json; charset=utf-8; charset=gbk", 415),
        ("text/json", 415),
        ("application/json, text/plain", 415),
        ("+json", 415),
        ("", 415),
        (None, 415),
    ],
)
def test_types_of_a_body(kind: str | None, status: int) -> None:
    assert ask("POST", "/predict", BODY, kind).status_code == status


@pytest.mark.parametrize(
    "kind", ["application/jsonl", "application/ndjson; charset=utf8", "application/x-jsonlines"]
)
def test_types_of_a_bulk_body(kind: str) -> None:
    assert ask("POST", "/bulk", b'"a"\n', kind).status_code == 200


def test_a_mark_before_the_first_character_is_passed_over() -> None:
    bom = b"\xef\xbb\xbf"
    tensor = json.dumps({"inputs": [TENSOR]}).encode()
    for path, body in (("/predict", BODY), ("/explain", b'{"input": "a"}'), (INFER, tensor)):
        assert ask("POST", path, bom + body).status_code == 200
    lines = ask("POST", "/bulk", bom + b'"a"\n', "application/x-ndjson").text.splitlines()
    assert "label" in json.loads(lines[0])
    assert ask("POST", "/predict", '{"inputs": "a"}'.encode("utf-16")).status_code == 400


SITE = {"Origin": "https://app.example.org"}
PREFLIGHT = {
    **SITE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization",
}


def test_other_sites_are_kept_out_unless_they_are_named() -> None:
    assert ask("OPTIONS", "/predict", headers=PREFLIGHT).status_code == 405
    assert "access-control-allow-origin" not in ask("POST", "/predict", BODY, headers=SITE).headers
    named = {"cors_origins": ("https://app.example.org",)}
    answer = ask("OPTIONS", "/predict", headers=PREFLIGHT, settings=named)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, SITE["Origin"])
    for body, status in ((BODY, 200), (b"{", 400)):
        answer = ask("POST", "/predict", body, headers=SITE, settings=named)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, SITE["Origin"])
    other = {**PREFLIGHT, "Origin": "https://evil.example.org"}
    assert ask("OPTIONS", "/predict", headers=other, settings=named).status_code == 400


@pytest.mark.parametrize("origin", ["app.example.org", "https://a.org/path", "https://a.org/", ""])
def test_an_origin_is_what_a_browser_sends(origin: str) -> None:
    with pytest.raises(ConfigError, match="cors_origins"):
        load_serve_config(flags={"cors_origins": [origin]})


@pytest.mark.parametrize(
    ("listens", "host", "status"),
    [
        ("127.0.0.1", "127.0.0.1:8000", 200),
        ("127.0.0.1", "localhost", 200),
        ("127.0.0.1", "LOCALHOST.:8000", 200),
        ("127.0.0.1", "app.localhost:8000", 200),
        ("127.0.0.1", "[::1]:8000", 200),
        ("127.0.0.1", "name.example:8000", 200),
        ("127.0.0.1", "evil.example", 421),
        ("127.0.0.1", "127.0.0.1.evil.example", 421),
        ("127.0.0.1", "localhost.evil.example:8000", 421),
        ("127.0.0.1", "10.0.0.7:8000", 421),
        ("127.0.0.1", "", 421),
        ("localhost", "evil.example", 421),
        ("::1", "evil.example", 421),
        ("127.0.0.5", "127.0.0.5", 200),
        ("0.0.0.0", "evil.example", 200),
        ("0.0.0.0", "10.0.0.7:8000", 200),
        ("10.0.0.7", "10.0.0.7:8000", 200),
    ],
)
def test_a_service_of_this_machine_has_its_names(listens: str, host: str, status: int) -> None:
    settings = {"host": listens, "allowed_hosts": ("Name.example",)}
    for path in ("/healthz", "/", "/model"):
        answer = ask("GET", path, headers={"Host": host}, settings=settings)
        assert answer.status_code == status
    assert status == 200 or "allowed_hosts" in answer.json()["error"]


def test_a_request_without_a_host_is_no_browsers() -> None:
    assert Hosts(ServeConfig()).check(None) is None
    with pytest.raises(RefusalError):
        Hosts(ServeConfig()).check("evil.example")


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("::FFFF:0a00:0007", "10.0.0.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("fe80::2%2", "fe80::/64"),
        ("10.0.0.7", "10.0.0.7"),
        ("", ""),
        ("x" * 5000, "x" * 64),
    ],
)
def test_whom_an_address_counts_for(address: str, source: str) -> None:
    assert source_of(address) == source


def test_wrong_keys_have_a_rate_and_do_not_lock_out_the_right_one(tmp_path: Any) -> None:
    key = add_key("team", tmp_path / "keys.txt")
    gate = service_of(api_keys=str(tmp_path / "keys.txt")).gate

    def status(authorization: str, peer: str) -> int:
        try:
            gate.enter(authorization, peer)
        except RefusalError as error:
            return error.status
        return 200

    allowed = int(gate_module.WRONG_KEYS_AT_ONCE)
    guesses = [status(f"Bearer guess{n}", f"2001:db8::{n:x}") for n in range(1, allowed + 20)]
    assert guesses[:allowed] == [401] * allowed
    assert guesses[-1] == 429
    assert status("", "2001:db8::1") == 429
    assert status(f"Bearer {key}", "2001:db8::1") == 200
    assert status("", "2001:db8:0:1::1") == 401


@pytest.mark.parametrize("number", [b"\xff\xfe", b"a\nb", b"x" * 30_000, b"two words", b"", "ä".encode()])
def test_ray_gets_no_number_that_is_not_short_and_plain(number: bytes) -> None:
    seen: list[list[tuple[bytes, bytes]]] = []

    async def ray(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["headers"])

    given = [(b"x-request-id", number), (b"x-request-id", b"second"), (b"user-agent", b"\xff")]
    given += [
        (b"serve_multiplexed_model_id", b"\xff"),
        (b"x-session-id", b"\xff"),
        (b"x-request-timeout-seconds", b"0"),
    ]
    asyncio.run(Edge(ray)({"type": "http", "path": "/", "headers": given}, None, None))  # type: ignore[arg-type]
    assert seen == [[(b"user-agent", b"\xff")]]
    asyncio.run(Edge(ray)({"type": "http", "path": "/", "headers": [(b"x-request-id", b"a-1")]}, None, None))  # type: ignore[arg-type]
    assert seen[1] == [(b"x-request-id", b"a-1")]


@pytest.mark.parametrize(
    "headers", [{"x-request-id": b"\xff"}, {"authorization": b"\xff"}, {"user-agent": b"\xff"}]
)
@pytest.mark.parametrize("path", ["/healthz", "/predict"])
def test_bytes_that_are_no_text_are_no_failure(path: str, headers: dict[str, bytes]) -> None:
    assert ask("GET", path, headers=headers).status_code == (200 if path == "/healthz" else 405)


@pytest.mark.parametrize("offset", ["9" * 5000, "1" + "0" * 16, "-1", "%ff", "%zz", "1e3", ""])
def test_the_offset_of_a_file_is_bounded(offset: str) -> None:
    answer = ask("POST", f"/bulk?offset={offset}", b'"a"\n', "application/x-ndjson")
    assert answer.status_code in (414, 422)
    assert len(answer.content) < 200


AS_TRITON = (
    b'{"inputs":[{"name":"text","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":12}}],'
)
ITEMS = b"\x01\x00\x00\x00a\x03\x00\x00\x00\xe8\x82\xa1"


def binary(head: bytes, tail: bytes = ITEMS, path: str = INFER, **headers: str) -> Any:
    length = {"Inference-Header-Content-Length": str(len(head)), **headers}
    return ask("POST", path, head + tail, None, headers=length)


@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_what_tritons_client_sends(version: str) -> None:
    more = b'"parameters":{"sequence_id":3,"sequence_start":true,"priority":1,"binary_data_output":true}}'
    answer = binary(AS_TRITON + more, path=INFER.replace("/infer", f"{version}/infer"))
    assert answer.status_code == 200
    length = int(answer.headers["inference-header-content-length"])
    told, raw = json.loads(answer.content[:length]), answer.content[length:]
    sizes = [tensor["parameters"]["binary_data_size"] for tensor in told["outputs"]]
    assert (sizes, len(raw)) == ([10, 8, 16], 34)
    assert raw[:10] == b"\x01\x00\x00\x00a" * 2
    assert np.frombuffer(raw[10:], "<f4").tolist() == [0.5] * 6
    mixed = binary(AS_TRITON + b'"outputs":[{"name":"label","parameters":{"binary_data":false}}]}')
    assert mixed.json()["outputs"] == [
        {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["a", "a"]}
    ]
    plain = json.dumps({"inputs": [TENSOR], "outputs": [{"name": "label"}]}).encode()
    assert ask("POST", INFER, plain, None).status_code == 200  # it names no type then


def test_a_page_of_another_site_cannot_leave_out_the_type() -> None:
    plain = json.dumps({"inputs": [TENSOR]}).encode()
    assert ask("POST", INFER, plain, None, headers={"Origin": "https://evil.example.org"}).status_code == 415


@pytest.mark.parametrize(
    ("head", "tail", "length", "status", "says"),
    [
        (AS_TRITON + b'"id":"7"}', ITEMS[:-1], None, 422, "binary_data_size does not fit"),
        (AS_TRITON + b'"id":"7"}', ITEMS + b"a", None, 422, "1 bytes of the body belong to no tensor"),
        (AS_TRITON + b'"id":"7"}', b"\xff" * 12, None, 422, "end within item 0"),
        (
            AS_TRITON + b'"id":"7"}',
            b"\x08\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff",
            None,
            400,
            "not UTF-8",
        ),
        (AS_TRITON + b'"id":"7"}', ITEMS, "-1", 400, "expected a number up to"),
        (AS_TRITON + b'"id":"7"}', ITEMS, "9" * 5000, 400, "expected a number up to"),
        (AS_TRITON + b'"id":"7"}', ITEMS, "٣", 400, "expected a number up to"),
        (AS_TRITON + b'"id":"7"}', ITEMS, "5", 400, "not JSON"),
        (AS_TRITON.replace(b"12", b'"12"') + b'"id":"7"}', ITEMS, None, 422, "does not fit"),
        (AS_TRITON.replace(b"12", b"true") + b'"id":"7"}', ITEMS, None, 422, "does not fit"),
    ],
)
def test_wrong_binary_tensors_are_told_why(
    head: bytes, tail: bytes, length: str | None, status: int, says: str
) -> None:
    headers = {} if length is None else {"Inference-Header-Content-Length": length.encode()}
    answer = binary(head, tail, **headers)  # type: ignore[arg-type]
    assert (answer.status_code, says in answer.json()["error"]) == (status, True), answer.text


@pytest.mark.parametrize(
    ("named", "status"),
    [
        ({"model_name": "classifier"}, 200),
        ({"model_name": "classifier", "model_version": "1"}, 200),
        ({"model_name": "classifier", "model_version": None}, 200),
        ({"model_name": "bert"}, 404),
        ({"model_version": "2"}, 404),
        ({"model_name": 7}, 422),
    ],
)
def test_what_kserves_client_sends(named: dict[str, Any], status: int) -> None:
    body = json.dumps({"id": "7", **named, "inputs": [TENSOR]}).encode()
    for path in (INFER, INFER.replace("/infer", "/versions/1/infer")):
        answer = ask("POST", path, body)
        assert answer.status_code == status
    assert status != 404 or "is not here" in answer.json()["error"]


@pytest.mark.parametrize("end", ["", "/ready", "/infer"])
def test_another_version_is_not_here(end: str) -> None:
    path = f"/v2/models/classifier/versions/2{end}"
    answer = ask("POST" if end == "/infer" else "GET", path, json.dumps({"inputs": [TENSOR]}).encode())
    assert (answer.status_code, answer.json()) == (
        404,
        {"error": "version '2' is not here; the version is '1'"},
    )


@pytest.mark.parametrize("raw", [True, False])
def test_data_come_back_in_the_form_in_which_they_came(raw: bool) -> None:
    methods = InferenceMethods()
    methods._service = service_of()
    message = wire.ModelInferRequest(model_name="classifier", model_version="1")
    tensor = message.inputs.add(name="text", datatype="BYTES", shape=[2])
    if raw:
        message.raw_input_contents.append(ITEMS)
    else:
        tensor.contents.bytes_contents.extend([b"a", "股".encode()])
    answer = asyncio.run(methods.ModelInfer(message.SerializeToString(), context()))
    if raw:  # Triton's client reads the other form with an old numpy only
        assert [len(data) for data in answer.raw_output_contents] == [10, 8, 16]
        assert answer.raw_output_contents[0] == b"\x01\x00\x00\x00a" * 2
    else:
        assert list(answer.outputs[0].contents.bytes_contents) == [b"a", b"a"]
        assert not answer.raw_output_contents


@pytest.mark.parametrize("method", ["ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer"])
def test_all_but_health_asks_for_keys_over_grpc(tmp_path: Any, method: str) -> None:
    key = add_key("team", tmp_path / "keys.txt")
    methods = InferenceMethods()
    methods._service = service_of(api_keys=str(tmp_path / "keys.txt"))
    request = getattr(wire, f"{method}Request")()
    given = context()
    message = request.SerializeToString() if method == "ModelInfer" else request
    asyncio.run(getattr(methods, method)(message, given))
    assert given.told.status.name == "UNAUTHENTICATED"
    allowed = context()
    allowed.invocation_metadata = lambda: [("authorization", f"Bearer {key}")]
    asyncio.run(getattr(methods, method)(message, allowed))
    assert allowed.told.status is None or allowed.told.status.name != "UNAUTHENTICATED"
    for health in ("ServerLive", "ServerReady"):
        asyncio.run(getattr(methods, health)(getattr(wire, f"{health}Request")(), open_ := context()))
        assert open_.told.status is None


def test_ray_does_not_list_the_applications_over_grpc() -> None:
    class Server:
        def __init__(self) -> None:
            self.generic_rpc_handlers: list[Any] = []

        def add_generic_rpc_handlers(self, handlers: Any) -> None:
            self.generic_rpc_handlers.append(handlers)

        add_registered_method_handlers = Mock()

    server = Server()
    add_RayServeAPIServiceServicer_to_server(Mock(), server)
    add_GRPCInferenceServiceServicer_to_server(Mock(), server)
    known = {name for handlers in server.generic_rpc_handlers for name in handlers[0]._method_handlers}
    assert LIST not in known
    assert {"/ray.serve.RayServeAPIService/Healthz", "/inference.GRPCInferenceService/ModelInfer"} <= known
