"""react-ray assist serve on Ray Serve: a replica and the owner are killed under load, and nothing is lost."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from ports import free_port

from benchmarks.serving.victims import Victims
from react_ray.apps.assist.learn import forget, learn
from react_ray.apps.assist.store import ConversationStore

CUSTOMERS, MESSAGES = 6, 15
TRIES_WITHIN_S = 120.0
WORDS = ("delivery parcel late", "return refund broken", "pay credit card", "§§ 9999 ####")

pytestmark = pytest.mark.ray


def test_no_conversation_is_lost_or_doubled_when_processes_are_killed(shop: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(shop / "out", tmp_path / "out"))
    port, victims = free_port(), Victims()
    command = [sys.executable, "-m", "react_ray.cli", "assist", "serve", str(folder), f"port={port}"]
    command += ["replicas=2", "cpus_per_replica=1", "start_timeout_s=400"]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path)} | victims.environment
    with (
        (tmp_path / "err.txt").open("w") as err,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True, env=environment) as process,
    ):
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            assert first.startswith(f"Ready: http://127.0.0.1:{port}"), (tmp_path / "err.txt").read_text()
            replies = talk(port, victims)
            learn_and_forget(port, folder)
        finally:
            process.terminate()
        assert process.wait(60) == 0
    store = ConversationStore(folder)
    for customer in range(CUSTOMERS):
        messages = store.conversation(f"customer-{customer}")
        counts = Counter((one["role"], one["id"]) for one in messages)
        wanted = {(role, f"m{n}") for role in ("customer", "assistant") for n in range(MESSAGES)}
        assert counts == dict.fromkeys(wanted, 1)
        stored = {one["id"]: one["text"] for one in messages if one["role"] == "assistant"}
        assert stored == {name: reply["text"] for name, reply in replies[customer].items()}
    store.close()


def talk(port: int, victims: Victims) -> list[dict[str, Any]]:
    """Let customers talk, kill a replica, then the owner; return the replies by customer and message."""
    replies: list[dict[str, Any]] = [{} for _ in range(CUSTOMERS)]
    threads = [
        threading.Thread(target=customer, args=(port, number, replies[number])) for number in range(CUSTOMERS)
    ]
    for thread in threads:
        thread.start()
    for part, share in (("application", 0.25), ("owner", 0.6)):
        while sum(map(len, replies)) < share * CUSTOMERS * MESSAGES:
            assert any(thread.is_alive() for thread in threads)
            time.sleep(0.02)
        kill(victims, part)
    for thread in threads:
        thread.join(TRIES_WITHIN_S)
    assert [len(one) for one in replies] == [MESSAGES] * CUSTOMERS
    return replies


def learn_and_forget(port: int, folder: Path) -> None:
    """Both replicas answer what was learnt, and no longer what was forgotten; no message is dropped."""
    question, answer = "qqqq wwww jjjj vvvv", "We do not sell these."
    assert ask(port, "visitor", question)["text"] != answer
    body = {"session": "visitor", "id": "a", "message": answer, "intent": "return", "learn": True}
    assert post(port, body, "/agent/answer") is not None
    stop, asked = threading.Event(), []

    def keep_asking() -> None:
        while not stop.is_set():
            asked.append(ask(port, f"meanwhile-{len(asked)}", WORDS[0])["kind"])

    thread = threading.Thread(target=keep_asking)
    thread.start()
    try:
        learn(folder, quiet=True)
    finally:
        stop.set()
        thread.join()
    assert set(asked) == {"template"}
    assert {ask(port, f"after-{number}", question)["text"] for number in range(12)} == {answer}
    forget(folder, "visitor")
    assert answer not in {ask(port, f"gone-{number}", question)["text"] for number in range(12)}


def ask(port: int, session: str, text: str) -> dict[str, Any]:
    """Return the reply to the first message of a conversation, which must come at once."""
    reply = post(port, {"session": session, "message": text, "id": "m"})
    assert reply is not None
    return reply


def kill(victims: Victims, part: str) -> None:
    found = [one for one in victims.of("replica") if f":{part}" in title(one)]
    assert found, [title(one) for one in victims.of("replica")]
    found[0].kill()


def title(process: psutil.Process) -> str:
    return " ".join(process.cmdline())


def customer(port: int, number: int, replies: dict[str, Any]) -> None:
    """Send messages one after the other, each until it is answered."""
    for place in range(MESSAGES):
        body = {"session": f"customer-{number}", "id": f"m{place}", "message": WORDS[place % len(WORDS)]}
        deadline = time.monotonic() + TRIES_WITHIN_S
        while (reply := post(port, body)) is None:
            if time.monotonic() > deadline:
                return
            time.sleep(0.1)
        replies[body["id"]] = reply


def post(port: int, body: dict[str, str], path: str = "/chat") -> dict[str, Any] | None:
    """Return the reply; None where the message has to be sent again."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    if response.status == 200:
        reply: dict[str, Any] = json.loads(content)
        return reply
    assert response.status in (408, 429, 500, 502, 503, 504), content
    return None
