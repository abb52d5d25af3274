"""A caller of the service over real HTTP, and what the tests serve."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LABELS = ["体育", "business", "science & nature", "a<b>c", "zebra"]
POISON = "☠"
CARD = "---\nlicense: mit\n---\n\n# A tiny classifier 体育\n\n<script>alert(1)</script>\n"
LIMITS = {
    "max_body_bytes": 16_384,
    "max_texts": 128,
    "max_chars": 300,
    "max_bulk_bytes": 2_000_000,
    "max_bulk_lines": 20_000,
    "max_explain_words": 12,
    "replicas": 2,
    "cpus_per_replica": 1,
}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Client:
    port: int
    grpc_port: int = 0
    timeout: float = 60

    def send(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
        try:
            connection.request(method, path, body, headers or {}, encode_chunked=not isinstance(body, bytes))
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.send("GET", path)

    def post(self, body: bytes, content_type: str | None = "application/json") -> Answer:
        return self.send("POST", "/predict", body, {"Content-Type": content_type} if content_type else {})

    def predict(self, inputs: Any, **more: Any) -> Answer:
        return self.post(json.dumps({"inputs": inputs, **more}, ensure_ascii=False).encode())


@dataclass
class Guarded:
    """A service under /guarded; ``key`` goes with every request unless another is given."""

    client: Client
    file: Path
    key: str

    def ask(self, method: str, path: str, *, body: bytes | None = None, **headers: str) -> Answer:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json", **headers}
        return self.client.send(method, "/guarded" + path, body, {k: v for k, v in headers.items() if v})

    def predict(self, **headers: str) -> Answer:
        return self.ask("POST", "/predict", body=b'{"inputs": "a text"}', **headers)
