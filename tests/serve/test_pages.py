"""Health, metrics, the description of the interface and the pages, over real HTTP."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from service_client import CARD, LABELS, LIMITS, Client

from react_ray.serve.engine.about import About, read_about

pytestmark = pytest.mark.ray


def totals(client: Client) -> dict[tuple, float]:
    """Each series of /metrics summed over the replicas."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    sums: dict[tuple, float] = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "replica"))
            sums[sample.name, labels] = sums.get((sample.name, labels), 0) + sample.value
    return sums


def test_alive_and_ready(client: Client) -> None:
    assert client.get("/healthz").json == {"status": "ok"}
    expected = {"status": "ready", "labels": LABELS, "engine": "ONNX Runtime, fp32"}
    assert client.get("/readyz").json == expected


def test_every_answer_names_the_model_that_gave_it(client: Client) -> None:
    version = client.get("/model").json["version"]
    answers = [client.predict("ball"), client.predict([]), client.get("/nothing"), client.get("/")]
    assert {answer.headers["x-model-version"] for answer in answers} == {version}


def test_what_the_model_does_not_read_is_counted(client: Client) -> None:
    length, before = client.get("/model").json["max_length"], totals(client)
    fits = length - len(["[CLS]", "[SEP]"])
    assert client.predict(["a " * fits, "a " * (fits + 7), "a " * (2 * length)]).status == 200
    after = totals(client)

    def moved(name: str) -> float:
        return after[name, ()] - before.get((name, ()), 0)

    assert moved("react_ray_cut_texts_total") == 2
    assert moved("react_ray_cut_tokens_total") == 7 + length + 2


def test_metrics_count_requests_of_all_replicas(client: Client) -> None:
    before = totals(client)
    for _ in range(10):
        assert client.predict(["a", "b"]).status == 200
    client.predict(["a", "b", "c"], threshold=1)
    client.predict([])
    client.get("/made/up/path")
    after = totals(client)

    def moved(name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return after[key] - before.get(key, 0)

    assert moved("react_ray_requests_total", route="/predict", status="200") == 11
    assert moved("react_ray_requests_total", route="/predict", status="422") == 1
    assert moved("react_ray_requests_total", route="other", status="404") == 1
    assert moved("react_ray_request_seconds_count", route="/predict") == 12
    assert moved("react_ray_batch_texts_sum") >= 20
    assert moved("react_ray_request_texts_sum") == 23
    assert moved("react_ray_top_score_count") == 23
    assert moved("react_ray_tokens_total") == 23 * len(["[CLS]", "a", "[SEP]"])
    assert moved("react_ray_cut_texts_total") == moved("react_ray_cut_tokens_total") == 0
    assert after["react_ray_texts_waiting", ()] == 0
    assert after["react_ray_requests_running", ()] == 1  # that which asks
    assert after["react_ray_drift_reference", ()] == 0
    predictions = [key for key in after if key[0] == "react_ray_predictions_total"]
    assert sum(after[key] - before.get(key, 0) for key in predictions) == 23
    assert moved("react_ray_abstentions_total") == 3
    replicas = set(re.findall(r'replica="([^"]+)"', client.get("/metrics").body.decode()))
    assert len(replicas) == LIMITS["replicas"]


def test_model_says_what_is_served(client: Client) -> None:
    about = client.get("/model").json
    assert re.fullmatch("[0-9a-f]{12}", about.pop("version"))
    names = ("max_texts", "max_chars", "max_body_bytes", "max_explain_words")
    limits = {**{name: LIMITS[name] for name in names}, "max_words": None, "threshold": 0}
    engine = "ONNX Runtime, fp32"
    task = {
        "task": "text-classification",
        "title": "text classification",
        "inputs": [{"name": "text", "kind": "text"}],
        "needs": [["text"]],
        "example": "The striker scored twice.",
        "answers": "label",
        "explains": True,
        "relations": None,
    }
    model = {"labels": LABELS, "engine": engine, "max_length": 64, "limits": limits, "card": CARD}
    assert about == task | model


def test_the_version_is_that_of_the_weights(classifier_folder: Path, tmp_path: Path) -> None:
    model = shutil.copytree(classifier_folder, tmp_path / "run" / "model")
    (model / "README.md").unlink()
    before = read_about(model, "torch")
    assert before == About(read_about(classifier_folder, "torch").version, None, "torch")
    with (model / "model.safetensors").open("ab") as weights:
        weights.write(b" ")
    assert read_about(model, "torch").version != before.version


def test_openapi_describes_predict(client: Client) -> None:
    api = client.get("/openapi.json").json
    route = api["paths"]["/predict"]["post"]
    schema = route["requestBody"]["content"]["application/json"]["schema"]
    assert schema["required"] == ["inputs"]
    assert {"200", "400", "413", "415", "422", "500"} <= set(route["responses"])
    for example in schema["examples"]:
        inputs = example.pop("inputs")
        assert client.predict(inputs, **example).status == 200
    assert {"/healthz", "/readyz", "/metrics"} <= set(api["paths"])


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_need_nothing_from_elsewhere(client: Client, path: str) -> None:
    answer = client.get(path)
    html = answer.body.decode()
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.findall(r"""(?:https?:)?//[a-z]|@import|src\s*=|style\.css""", html)


def test_unknown_paths_and_methods_are_errors_in_json(client: Client) -> None:
    missing = client.get("/nothing")
    assert (missing.status, missing.json) == (404, {"error": "Not Found"})
    wrong = client.get("/predict")
    assert (wrong.status, wrong.headers["allow"]) == (405, "POST")
