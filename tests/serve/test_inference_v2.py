"""The open inference protocol over real HTTP, as a client of any such server speaks it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from service_client import LABELS, LIMITS, POISON, Answer, Client

pytestmark = pytest.mark.ray

INFER = "/v2/models/classifier/infer"
TEXTS = ["goal in the last minute", "股市上涨", "מזג האוויר", "مرحبا بالعالم", "नमस्ते", ""]
JSON = {"Content-Type": "application/json"}


def tensor(texts: list[Any], **changes: Any) -> dict[str, Any]:
    return {"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": texts, **changes}


def infer(client: Client, *inputs: dict[str, Any], **more: Any) -> Answer:
    body = json.dumps({"inputs": list(inputs), **more}, ensure_ascii=False).encode()
    return client.send("POST", INFER, body, JSON)


def by_name(answer: Answer) -> dict[str, dict[str, Any]]:
    assert answer.status == 200, answer.body
    return {output["name"]: output for output in answer.json["outputs"]}


def test_the_server_and_the_model_describe_themselves(client: Client) -> None:
    server = client.get("/v2").json
    assert server["name"] == "react-ray"
    assert set(server) == {"name", "version", "extensions"}
    assert client.get("/v2/health/live").status == 200
    assert client.get("/v2/health/ready").status == 200
    assert client.get("/v2/models/classifier/ready").status == 200
    model = client.get("/v2/models/classifier").json
    assert model["parameters"]["labels"] == LABELS
    assert model["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert model["outputs"][2] == {"name": "probabilities", "datatype": "FP32", "shape": [-1, len(LABELS)]}


def test_infer_says_what_predict_says(client: Client) -> None:
    answer = infer(client, tensor(TEXTS), id="nr. 7 ünï")
    assert {name: answer.json[name] for name in ("id", "model_name", "model_version")} == {
        "id": "nr. 7 ünï",
        "model_name": "classifier",
        "model_version": "1",
    }
    outputs = by_name(answer)
    count, classes = len(TEXTS), len(LABELS)
    assert [(o["datatype"], o["shape"]) for o in answer.json["outputs"]] == [
        ("BYTES", [count]),
        ("FP32", [count]),
        ("FP32", [count, classes]),
    ]
    flat = outputs["probabilities"]["data"]
    for i, ranking in enumerate(client.predict(TEXTS).json):
        assert outputs["label"]["data"][i] == ranking[0]["label"]
        assert outputs["score"]["data"][i] == pytest.approx(ranking[0]["score"], abs=1e-6)
        scores = {entry["label"]: entry["score"] for entry in ranking}
        row = flat[i * classes : (i + 1) * classes]
        assert row == pytest.approx([scores[label] for label in LABELS], abs=1e-6)


def test_a_column_of_texts_is_the_same_as_a_list(client: Client) -> None:
    expected = by_name(infer(client, tensor(TEXTS)))["label"]
    for data in (TEXTS, [[text] for text in TEXTS]):
        column = infer(client, tensor(data, shape=[len(TEXTS), 1]))
        assert by_name(column)["label"] == expected
        assert "id" not in column.json


def test_outputs_pick_the_tensors_in_their_order(client: Client) -> None:
    answer = infer(client, tensor(["球队"]), outputs=[{"name": "score"}, {"name": "label"}])
    assert [output["name"] for output in answer.json["outputs"]] == ["score", "label"]
    plain = {"name": "label", "parameters": {"binary_data": False}}
    assert list(by_name(infer(client, tensor(["球队"]), outputs=[plain]))) == ["label"]


@pytest.mark.parametrize(
    ("inputs", "more", "says"),
    [
        ([], {}, "the input tensors are none; expected one, 'text'"),
        ([tensor(["a"], name="input_ids")], {}, "are 'input_ids'; expected one, 'text'"),
        ([tensor(["a"]), tensor(["a"])], {}, "are 'text', 'text'; expected one"),
        ([tensor(["a"], datatype="INT64")], {}, "datatype 'INT64'; expected 'BYTES'"),
        ([tensor(["a", "b"], shape=[3])], {}, "shape [3] and 2 items; expected 3"),
        ([tensor(["a", "b"], shape=[1, 2])], {}, "shape [1, 2]; expected [n] or [n, 1]"),
        ([tensor([], shape=[0])], {}, "shape [0]; expected [n]"),
        ([tensor([], shape=[])], {}, "shape []; expected [n]"),
        ([tensor(["a", 7])], {}, "item 1 is a number; expected a string"),
        ([tensor([["a"], ["b", "c"]], shape=[2, 1])], {}, "item 0 is a list; expected a string"),
        ([tensor(["a"])], {"outputs": [{"name": "logits"}]}, "output 'logits' is not known; known are"),
        ([tensor(["a"])], {"output": []}, "output is not known"),
        ([{"name": "text", "datatype": "BYTES", "shape": [1]}], {}, "inputs.0.data is missing; tensors go"),
        ([tensor(["a"], parameters={"binary_data_size": 5})], {}, "inputs.0.data is missing; tensors go"),
        ([tensor(["a"])], {"outputs": [{"name": "label", "parameters": {"classification": 2}}]}, "not taken"),
        ([tensor(["a"])], {"id": 7}, "id is a number"),
    ],
)
def test_wrong_tensors_are_told_why(client: Client, inputs: list, more: dict, says: str) -> None:
    answer = infer(client, *inputs, **more)
    assert (answer.status, list(answer.json)) == (422, ["error"])
    assert says in answer.json["error"]


def test_other_refusals_have_their_statuses(client: Client) -> None:
    body = json.dumps({"inputs": [tensor(["a"])]}).encode()
    missing = client.send("POST", "/v2/models/bert/infer", body, JSON)
    assert missing.status == 404
    assert missing.json["error"] == "model 'bert' is not here; the model is 'classifier'"
    assert client.get("/v2/models/bert").status == 404
    assert client.get("/v2/models/bert/ready").status == 404
    assert client.send("POST", INFER, b'{"inputs": ', JSON).status == 400
    assert client.send("POST", INFER, '{"inputs": "股"}'.encode("gbk"), JSON).status == 400
    assert client.send("POST", INFER, body, {"Content-Type": "application/octet-stream"}).status == 415


def test_limits_hold(client: Client) -> None:
    texts, chars = LIMITS["max_texts"], LIMITS["max_chars"]
    assert infer(client, tensor(["股"] * texts)).status == 200
    over = infer(client, tensor(["a"] * (texts + 1)))
    assert (over.status, over.json["error"]) == (413, "text: 129 texts; at most 128 are taken in a request")
    assert infer(client, tensor(["a" * chars])).status == 200
    assert infer(client, tensor(["a" * (chars + 1)])).status == 413
    assert client.send("POST", INFER, b" " * (LIMITS["max_body_bytes"] + 1), JSON).status == 413


def test_a_failing_model_is_an_internal_error(client: Client) -> None:
    answer = infer(client, tensor(["fine", POISON]))
    assert (answer.status, set(answer.json)) == (500, {"error", "request_id"})


def test_openapi_describes_the_protocol(client: Client) -> None:
    paths = client.get("/openapi.json").json["paths"]
    model = "/v2/models/{name}"
    assert {"/v2", "/v2/health/live", "/v2/health/ready", model, f"{model}/ready"} <= set(paths)
    route = paths[f"{model}/infer"]["post"]
    assert {"200", "400", "404", "413", "415", "422"} <= set(route["responses"])
    assert route["responses"]["200"]["content"]["application/json"]["example"]["outputs"]
    schema = route["requestBody"]["content"]["application/json"]["schema"]
    assert "$ref" not in json.dumps(schema)
    for example in schema["examples"]:
        assert client.send("POST", INFER, json.dumps(example).encode(), JSON).status == 200
