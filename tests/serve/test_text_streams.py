"""Generated texts in pieces over real HTTP: server-sent events, limits, callers that leave."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx2
import numpy as np
import pytest
import uvicorn
from fakes import FakeModel, FakeTokenizer
from ports import free_port
from tiny_generators import save_generator

import react_ray
from react_ray import ServiceError
from react_ray.config.service import ServeConfig
from react_ray.errors import InputError
from react_ray.inference.ctranslate2_export import export
from react_ray.serve.engine.about import About
from react_ray.serve.engine.model import Engine, load_engine
from react_ray.serve.service import Service
from react_ray.serve.watch.metrics import ReplicaMetrics
from react_ray.serve.web import build_app
from react_ray.tasks import get_task
from react_ray.tasks.task import Example, Outputs

TEXTS = ["a b c d", "j i h g f"]
WORD = 7
"""Token of the fake model."""


@contextmanager
def served(engine: Engine) -> Iterator[str]:
    """The address of a service in a thread."""
    service = Service(engine, ServeConfig(), About("1", None, "none"), None)
    app = build_app(service, scrape=None)  # type: ignore[arg-type]
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module", params=["torch", "CTranslate2"])
def generator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = save_generator(tmp_path_factory.mktemp("model"), "marian")
    if request.param != "torch":
        export(folder, folder / "ctranslate2", TEXTS)
    engine = load_engine(str(folder), "fp32", threads=1, use_gpu=False)
    assert engine.name.startswith(request.param)
    with served(engine) as url:
        yield url


def events(response: httpx2.Response) -> list[Any]:
    assert response.headers["content-type"].startswith("text/event-stream"), response.text
    return [json.loads(line.removeprefix("data: ")) for line in response.text.split("\n\n") if line]


def post(url: str, body: Any, **headers: str) -> httpx2.Response:
    return httpx2.post(f"{url}/predict", json=body, headers=headers)


def test_pieces_are_the_text_and_the_last_event_is_the_answer(generator: str) -> None:
    *pieces, last = events(post(generator, {"inputs": TEXTS[0], "stream": True}))
    ((key, text), (score, value)) = last["answer"][0].items()
    assert (key, score, last["done"], last["search"]) == ("translation_text", "score", True, "greedy")
    assert "".join(piece["text"] for piece in pieces) == text
    assert 0 < value <= 1
    assert len(pieces) > 1
    again = events(post(generator, {"inputs": {"source": TEXTS[0]}}, accept="text/event-stream"))
    assert again == [*pieces, last]


def test_a_streamed_text_that_is_cut_is_counted(generator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    monkeypatch.setattr(ReplicaMetrics, "cut", lambda self, texts, tokens: counted.extend([texts, tokens]))
    for stream in (False, True):
        assert (
            post(generator, {"inputs": "a " * 3000, "stream": stream, "max_new_tokens": 2}).status_code == 200
        )
    assert counted[0] == 1
    assert counted[:2] == counted[2:]


def test_a_request_may_lower_the_limit_of_tokens_but_not_raise_it(generator: str) -> None:
    def text(**more: Any) -> str:
        return post(generator, {"inputs": TEXTS[0], **more}).json()[0]["translation_text"]

    def streamed(limit: int) -> str:
        last = events(post(generator, {"inputs": TEXTS[0], "stream": True, "max_new_tokens": limit}))[-1]
        return last["answer"][0]["translation_text"]

    assert len(text(max_new_tokens=2)) < len(text())
    assert text(max_new_tokens=1000) == text()
    assert len(streamed(2)) < len(streamed(1000))
    assert streamed(1000) == streamed(10)
    both = post(generator, {"inputs": TEXTS, "max_new_tokens": 2}).json()
    assert both[0][0]["translation_text"] == text(max_new_tokens=2)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"inputs": TEXTS, "stream": True}, "one input"),
        ({"inputs": "a", "max_new_tokens": 0}, "max_new_tokens"),
        ({"inputs": "a", "stream": "yes"}, "stream"),
    ],
)
def test_what_cannot_be_streamed_is_said(generator: str, body: Any, said: str) -> None:
    answer = post(generator, body)
    assert answer.status_code == 422
    assert said in answer.json()["error"]


def test_the_clients_give_the_pieces(generator: str) -> None:
    with react_ray.Client(generator) as client:
        pieces = [*client.stream(TEXTS[0])]
        (short,) = client.predict(TEXTS[0])
        limited = "".join(client.stream(TEXTS[0], max_new_tokens=2))

    async def collect() -> list[str]:
        async with react_ray.AsyncClient(generator) as other:
            return [piece async for piece in other.stream({"source": TEXTS[0]})]

    assert asyncio.run(collect()) == pieces
    assert "".join(pieces).startswith(limited)
    assert isinstance(short, react_ray.GeneratedText)
    with react_ray.Client(generator) as client, pytest.raises(InputError):
        next(client.stream(["a"]))  # type: ignore[arg-type]
    with react_ray.Client(generator, retries=0) as client, pytest.raises(ServiceError, match="inputs"):
        next(client.stream({"text": "a"}))


class Words(FakeTokenizer):
    def text_of(self, ids: Sequence[int]) -> str:
        return " ".join("word" for _ in ids)


class Endless(FakeModel):
    """Writes a word every 10 ms until it is stopped; fails on a text without characters."""

    def __init__(self) -> None:
        super().__init__((), Words(8, "right"), get_task("translation"))
        self.stopped = threading.Event()
        self.limits: list[int] = []

    def run(self, examples: Sequence[Example]) -> Outputs:
        return [np.array([[-0.1, WORD]], np.float32) for _ in examples]

    def generate(self, examples: Sequence[Example], limit: int) -> Outputs:
        self.limits.append(limit)
        return self.run(examples)

    def stream(self, example: Example, emit: Callable[[int], bool], limit: int | None = None) -> Any:
        if limit == 13:
            raise RuntimeError("poison")
        for _ in range(3000):
            if emit(WORD):
                self.stopped.set()
                break
            time.sleep(0.01)
        return np.array([[-0.1, WORD]], np.float32)


def test_a_caller_that_leaves_frees_the_place_of_its_text() -> None:
    model = Endless()
    with served(Engine(model)) as url, httpx2.Client(timeout=10) as http:
        body = {"inputs": "a", "stream": True}
        with http.stream("POST", f"{url}/predict", json=body) as response:
            for line in response.iter_lines():
                assert json.loads(line.removeprefix("data: ")) == {"text": "word"}
                break
        assert model.stopped.wait(5), "the model goes on for a caller that left"
        answer = post(url, {"inputs": "b"})
        assert answer.json() == [{"translation_text": "word", "score": pytest.approx(0.9, abs=0.1)}]
        model.stopped.clear()
        with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1]))) as raw:  # cut, not closed
            content = json.dumps(body).encode()
            lines = ["POST /predict HTTP/1.1", "host: localhost", "content-type: application/json"]
            lines += [f"content-length: {len(content)}", "", ""]
            raw.sendall("\r\n".join(lines).encode() + content)
            received = b""
            while b"word" not in received:
                received += raw.recv(1000)
        assert model.stopped.wait(5)


def test_a_failure_in_the_middle_is_an_event() -> None:
    with served(Engine(Endless())) as url:
        (event,) = events(post(url, {"inputs": "a", "stream": True, "max_new_tokens": 13}))
        assert event == {"error": "the model failed on this text"}
        with react_ray.Client(url) as client, pytest.raises(ServiceError, match="failed"):
            next(client.stream("a", max_new_tokens=13))


def test_other_tasks_know_no_streams() -> None:
    with served(Engine(FakeModel())) as url:
        answer = post(url, {"inputs": "a", "stream": True})
        assert answer.status_code == 422
        assert "stream is not known" in answer.json()["error"]


def test_a_text_that_waits_is_not_generated_when_its_caller_leaves() -> None:
    model = Endless()
    service = Service(Engine(model), ServeConfig(), About("1", None, "none"), None)

    async def leave() -> list[str]:
        first, second = (service.stream(model.row(text)) for text in "ab")
        pieces = [await anext(first)]
        waiting = asyncio.ensure_future(anext(second))
        await asyncio.sleep(0.1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await first.aclose()
        ((last,),) = await service.predict([model.row("c")])
        return [*pieces, last["translation_text"]]

    assert asyncio.run(asyncio.wait_for(leave(), 10)) == ["word", "word"]


def test_probes_and_first_calls_generate_few_tokens() -> None:
    model = Endless()
    engine = Engine(model)
    engine.warm_up()
    service = Service(engine, ServeConfig(), About("1", None, "none"), None)
    assert asyncio.run(service.ready())
    assert len(model.limits) == 3
    assert max(model.limits) < 10
