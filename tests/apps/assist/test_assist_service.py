"""The chat over HTTP, in this process: replies, streams, agents, keys, limits, and what is learnt."""

from __future__ import annotations

import itertools
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import react_ray
from react_ray.apps.assist.build import build
from react_ray.apps.assist.folder import CONFIG, FILES, NEW, load_assistant
from react_ray.apps.assist.learn import forget, learn
from react_ray.apps.assist.settings import ChatConfig
from react_ray.apps.files import locked
from react_ray.cli import main
from react_ray.errors import InputError

LOAD, OWNER = "react_ray.apps.assist.hosted:load", "react_ray.apps.assist.hosted:open_store"
SURE = "delivery parcel late courier"
STRANGE = "§§ 9999 ####"
NUMBERS = itertools.count()


def open_chat(folder: Path, **settings: Any) -> TestClient:
    app = react_ray.create_app(LOAD, folder, ChatConfig(**settings), owner=OWNER)
    return TestClient(app, base_url="http://localhost")


@pytest.fixture
def folder(shop: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shop / "out", tmp_path / "out"))


@pytest.fixture
def http(folder: Path) -> Iterator[TestClient]:
    with open_chat(folder, max_message_chars=200, max_turns=3, handover_text="One moment.") as client:
        yield client


def say(http: TestClient, text: str, session: str = "s1", **more: str) -> dict[str, Any]:
    answer = http.post("/chat", json={"session": session, "message": text, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_conversation_with_a_slot_a_repeated_message_and_its_record(http: TestClient) -> None:
    asked = say(http, SURE, id="m1")
    assert set(asked) == {"kind", "text", "source", "intent", "score", "id"}
    assert (asked["kind"], asked["text"]) == ("template", "Which order is it?")
    assert say(http, "12345", id="m2")["text"] == "Your order 12345 arrives within five days."
    assert say(http, SURE, id="m1") == asked
    roles = [one["role"] for one in http.get("/chat/s1").json()]
    assert roles == ["customer", "assistant"] * 2


def test_a_stream_ends_with_the_stored_reply(http: TestClient) -> None:
    answer = http.post(
        "/chat", json={"session": "s", "message": SURE, "id": "m"}, headers={"accept": "text/event-stream"}
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line.removeprefix("data:")) for line in answer.text.splitlines() if line]
    assert events[-1]["done"]
    assert "".join(one["text"] for one in events[:-1]) == events[-1]["reply"]["text"]
    assert say(http, SURE, session="s", id="m") == events[-1]["reply"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"session": "s", "message": "x" * 201}, 422, "longer than 200"),
        ({"session": "s", "message": "  "}, 422, "blank"),
        ({"session": "../etc", "message": "a"}, 422, "session: string should match pattern '^[A-Za-z0-9._-]"),
        ({"session": "s", "message": "a", "role": "agent"}, 422, "role"),
        ({"session": "s"}, 422, "message"),
    ],
)
def test_bad_messages_are_rejected(http: TestClient, body: dict[str, str], status: int, said: str) -> None:
    answer = http.post("/chat", json=body)
    assert (answer.status_code, said in answer.json()["error"]) == (status, True), answer.text
    assert http.get("/chat/s").status_code == 422


def test_a_handover_reaches_an_agent_and_the_answer_reaches_the_customer(http: TestClient) -> None:
    reply = say(http, STRANGE)
    assert (reply["kind"], reply["text"]) == ("handover", "One moment.")
    waiting = http.get("/agent/waiting").json()
    assert [one["text"] for one in waiting["conversations"]] == [STRANGE]
    assert "delivery" in waiting["intents"]
    body = {"session": "s1", "id": "a1", "message": "Which kettle?", "intent": "return"}
    for _ in range(2):
        assert http.post("/agent/answer", json=body).status_code == 200
    seen = http.get("/chat/s1").json()
    assert [one["text"] for one in seen if one["role"] == "agent"] == ["Which kettle?"]
    assert http.get(f"/chat/s1?after={seen[-1]['number']}").json() == []
    assert say(http, SURE)["kind"] == "handover", "a person answers here now"
    assert http.post("/agent/close/s1", json={}).status_code == 200
    assert say(http, SURE)["kind"] == "template"


def test_a_service_with_all_conversations_it_may_keep_is_unavailable_to_new_ones(folder: Path) -> None:
    with open_chat(folder, max_sessions=1) as http:
        say(http, SURE, session="s")
        answer = http.post("/chat", json={"session": "t", "message": SURE})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "600")
        say(http, "12345", session="s")


def test_agents_need_a_key_of_an_agent_where_keys_are_set(folder: Path, tmp_path: Path) -> None:
    keys = {name: _key(tmp_path / "keys.txt", name) for name in ("shop", "ann")}
    with open_chat(folder, api_keys=str(tmp_path / "keys.txt"), agents=("ann",)) as http:
        assert http.post("/chat", json={"session": "s", "message": "a"}).status_code == 401
        assert http.get("/agent").status_code == 200, "a browser brings no key; the page asks for it"
        for name, status in (("shop", 403), ("ann", 200)):
            found = http.get("/agent/waiting", headers={"authorization": f"Bearer {keys[name]}"})
            assert found.status_code == status
        say_as_shop = {"authorization": f"Bearer {keys['shop']}"}
        http.post("/chat", json={"session": "s", "message": "a"}, headers=say_as_shop)
        assert http.get("/chat/s", headers={"authorization": f"Bearer {keys['ann']}"}).status_code == 422


def _key(file: Path, name: str) -> str:
    import contextlib
    import io

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["key", name, "--file", str(file)]) == 0
    return printed.getvalue().strip()


def test_no_text_of_a_conversation_is_logged(http: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        say(http, "my secret kettle")
    assert "kettle" not in caplog.text


def test_what_agents_answer_is_learnt_and_what_is_forgotten_is_gone(folder: Path) -> None:
    question = "qqqq wwww\u2028jjjj vvvv"  # JSON keeps this separator of lines as it is
    with open_chat(folder) as http:
        say(http, question, session="visitor-1")
        body = {"session": "visitor-1", "id": "a", "message": "We do not sell these.", "intent": "return"}
        body |= {"learn": True}
        http.post("/agent/answer", json=body)
    result = learn(folder, quiet=True)
    _, assistant = load_assistant(folder)
    found = assistant.find([question], assistant.encoder.encode([question]))[0]
    best = assistant.finder.index.entry(int(found.numbers[0]))
    assert (best.question, best.answer) == (question, "We do not sell these.")
    assert result.record["counts"]["questions"] == len(
        [e for e in assistant.finder.index.entries() if e.question]
    )
    assert "1 conversation, 1 labels, 1 entries" in forget(folder, "visitor-1")
    left = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert question.encode() not in left
    assert b"wwww" not in left
    _, assistant = load_assistant(folder)
    assert question not in [entry.question for entry in assistant.finder.index.entries()]
    with pytest.raises(InputError, match="nothing is known"):
        forget(folder, "visitor-1")
    with pytest.raises(InputError, match="no conversation has a label"):
        learn(folder, quiet=True)


def test_a_running_service_learns_and_forgets(folder: Path) -> None:
    question = "qqqq wwww jjjj vvvv"
    with open_chat(folder) as http:
        assert say(http, question, session="visitor-1")["kind"] == "handover"
        body = {"session": "visitor-1", "id": "a", "message": "We do not sell these.", "intent": "return"}
        assert http.post("/agent/answer", json=body | {"learn": True}).status_code == 200
        first = version(http)
        learn(folder, quiet=True)
        learnt = best_answer(http, question)
        assert learnt == "We do not sell these."
        second = version(http)
        kept = (folder / "config.json").read_bytes()
        (folder / "config.json").unlink()  # as while a build is at work
        assert say(http, SURE, session="visitor-2")["kind"] == "template"
        (folder / "config.json").write_text("{}")  # damaged
        assert say(http, SURE, session="visitor-3")["kind"] == "template"
        (folder / "config.json").write_bytes(kept)
        forget(folder, "visitor-1")
        assert best_answer(http, question) != "We do not sell these."
        assert len({first, second, version(http)}) == 3


def version(http: TestClient) -> str:
    say(http, SURE, session=f"session-{next(NUMBERS)}")
    found: str = http.get("/readyz").headers["x-model-version"]
    return found


def best_answer(http: TestClient, question: str) -> str:
    """Return what the service answers, whatever else it is sure of."""
    return say(http, question, session=f"session-{next(NUMBERS)}")["text"]


def test_pages_load_nothing_from_elsewhere(http: TestClient) -> None:
    for path in ("/", "/agent"):
        page = http.get(path)
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "--accent" in page.text, "the styles are in the page"
        assert "style.css" not in page.text
        assert "http://" not in page.text
        assert "https://" not in page.text
    assert http.get("/readyz").json()["status"] == "ready"
    paths = http.get("/openapi.json").json()["paths"]
    assert {"/chat", "/feedback", "/agent/answer", "/agent/label"} <= paths.keys()


def test_a_build_that_fails_leaves_the_assistant_and_the_next_one_replaces_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_assistant(folder)[0].config.model_copy(update={"output": str(folder)})
    before = {name: (folder / name).read_bytes() for name in FILES}

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("react_ray.apps.assist.build.tune", fail)
        with pytest.raises(MemoryError):
            build(config, quiet=True)
    assert {name: (folder / name).read_bytes() for name in FILES} == before
    with locked(folder):
        for change in (lambda: build(config, quiet=True), lambda: forget(folder, "s"), lambda: learn(folder)):
            with pytest.raises(InputError, match="another command"):
                change()
    build(config.model_copy(update={"precision": 0.7}), quiet=True)
    assert load_assistant(folder)[0].config.precision == 0.7
    assert not (folder / NEW).exists()


def test_a_replacement_that_was_killed_goes_on_with_the_next_command(folder: Path) -> None:
    (folder / NEW).mkdir()
    for name in (CONFIG, FILES[1]):  # as a kill leaves them
        (folder / name).rename(folder / NEW / name)
    with pytest.raises(InputError, match="no assistant"):
        load_assistant(folder)
    with pytest.raises(InputError, match="nothing is known"):
        forget(folder, "s")
    assert load_assistant(folder)


def test_a_build_that_fails_after_a_killed_replacement_loses_no_assistant(folder: Path) -> None:
    config = load_assistant(folder)[0].config.model_copy(update={"output": str(folder)})
    (folder / NEW).mkdir()
    (folder / CONFIG).rename(folder / NEW / CONFIG)
    with pytest.raises(InputError):
        build(config.model_copy(update={"history": str(folder / "nowhere.csv")}), quiet=True)
    assert load_assistant(folder)
