"""Conversations on disk: nothing is lost or doubled, limits hold, and what is forgotten is gone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from react_ray.apps.assist.store import STORE, ConversationStore, Limits
from react_ray.errors import InputError

REPLY = {"kind": "answer", "text": "Five days.", "source": "a.csv:1", "intent": "delivery", "score": 0.9}
ANSWER = {**REPLY, "whole": "Five days. Or six."}
HANDOVER = {"kind": "handover", "text": "", "source": None, "intent": None, "score": 0.8, "whole": None}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ConversationStore]:
    opened = ConversationStore(tmp_path, Limits(turns=3, sessions=2, days=1))
    yield opened
    opened.close()


def test_a_message_sent_again_gets_the_reply_that_was_stored(store: ConversationStore) -> None:
    assert store.begin("s", "m1", "when?")["reply"] is None
    first = store.finish("s", "m1", ANSWER)
    assert store.begin("s", "m1", "when?")["reply"] == first
    assert store.finish("s", "m1", HANDOVER) == first, "of two replicas the first one counts"
    assert [one["role"] for one in store.conversation("s")] == ["customer", "assistant"]


def test_a_message_without_a_reply_is_still_there_after_a_crash(tmp_path: Path) -> None:
    ConversationStore(tmp_path).begin("s", "m1", "when?")  # never closed
    store = ConversationStore(tmp_path)
    assert [one["text"] for one in store.conversation("s")] == ["when?"]
    assert store.begin("s", "m1", "when?")["reply"] is None
    store.finish("s", "m1", ANSWER)
    assert store.begin("s", "m2", "and then?")["earlier"] == ["when?"]
    assert len(store.conversation("s")) == 3
    assert (tmp_path / STORE).stat().st_mode & 0o077 == 0


def test_limits_of_turns_and_sessions_and_ids_that_are_taken(store: ConversationStore) -> None:
    for number in range(3):
        store.begin("s", f"m{number}", "when?")
    with pytest.raises(InputError, match="has 3 messages"):
        store.begin("s", "m4", "when?")
    with pytest.raises(InputError, match="another message"):
        store.begin("s", "m1", "what?")
    store.begin("t", "m", "when?")
    with pytest.raises(InputError, match="2 conversations"):
        store.begin("u", "m", "when?")
    with pytest.raises(InputError, match="no such conversation"):
        store.finish("u", "m", ANSWER)


def test_a_conversation_belongs_to_the_key_that_began_it(store: ConversationStore) -> None:
    store.begin("s", "m1", "when?", "shop-a")
    for call in (
        lambda: store.begin("s", "m2", "what?", "shop-b"),
        lambda: store.conversation("s", 0, "shop-b"),
        lambda: store.feedback("s", "m1", True, "shop-b"),
    ):
        with pytest.raises(InputError, match="no such conversation"):
            call()
    assert len(store.conversation("s", 0, "shop-a")) == 1


def test_a_handover_waits_for_an_agent_whose_answer_is_stored_once_and_learnt(
    store: ConversationStore,
) -> None:
    store.begin("s", "m1", "my kettle leaks")
    store.finish("s", "m1", HANDOVER)
    (waiting,) = store.waiting()
    assert (waiting["session"], waiting["text"]) == ("s", "my kettle leaks")
    for _ in range(2):
        store.answer("s", "a1", "We send a new one.", "return", False, True)
    assert [one["text"] for one in store.conversation("s") if one["role"] == "agent"] == [
        "We send a new one."
    ]
    assert store.begin("s", "m2", "thanks")["with_agent"]
    assert store.labels() == [
        {"session": "s", "question": "my kettle leaks", "answer": "We send a new one.", "intent": "return"}
    ]
    store.close_conversation("s")
    assert store.waiting() == []
    assert not store.begin("s", "m2", "thanks")["with_agent"]


def test_feedback_becomes_a_label_or_a_question_to_agents(store: ConversationStore) -> None:
    for session, up in (("s", True), ("t", False)):
        store.begin(session, "m1", f"when in {session}?")
        store.finish(session, "m1", ANSWER)
        store.feedback(session, "m1", up)
    assert store.labels() == [
        {"session": "s", "question": "when in s?", "answer": "Five days. Or six.", "intent": None}
    ]
    (asked,) = store.questions()
    assert asked["text"] == "when in t?"
    store.label(asked["number"], None, "delivery")
    assert store.questions() == []
    assert {"session": "t", "question": "when in t?", "answer": None, "intent": "delivery"} in store.labels()
    with pytest.raises(InputError, match="no message of a customer"):
        store.label(99, None, "delivery")


def test_what_is_forgotten_is_not_on_disk_any_more(store: ConversationStore, tmp_path: Path) -> None:
    store.begin("s", "m1", "my number is 0123456789")
    store.finish("s", "m1", HANDOVER)
    store.answer("s", "a1", "We call you.", None, True, True)
    assert store.forget("s")
    assert not store.forget("s")
    assert store.labels() == []
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"0123456789" not in written


def test_old_conversations_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ConversationStore(tmp_path, Limits(days=1))
    store.begin("s", "m1", "when exactly?")
    store.close()
    later = time.time() + 90_000
    monkeypatch.setattr(time, "time", lambda: later)
    store = ConversationStore(tmp_path, Limits(days=1))
    store.begin("t", "m1", "when?")
    with pytest.raises(InputError, match="no such conversation"):
        store.conversation("s")
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"when exactly?" not in written


def test_a_service_without_messages_deletes_old_conversations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("react_ray.apps.assist.store.CLEAN_EVERY_S", 0.02)
    store = ConversationStore(tmp_path, Limits(days=1))
    store.begin("s", "m1", "when?")
    later = time.time() + 90_000
    monkeypatch.setattr(time, "time", lambda: later)
    for _ in range(500):
        if b"when?" not in b"".join(path.read_bytes() for path in tmp_path.iterdir()):
            break
        time.sleep(0.01)
    else:
        pytest.fail("the conversation is still on disk")
    store.close()


def test_an_answer_teaches_the_question_that_was_handed_over_and_no_later_message(
    store: ConversationStore,
) -> None:
    silent = HANDOVER | {"score": None}
    store.begin("s", "m1", "where is my parcel?")
    store.finish("s", "m1", HANDOVER)
    store.answer("s", "a1", "What is your number?", None, False, False)
    store.begin("s", "m2", "12345, 5 High St")
    store.finish("s", "m2", silent)
    store.answer("s", "a2", "It arrives on Monday.", "delivery", False, True)
    store.begin("s", "m3", "thanks!")
    store.finish("s", "m3", silent)
    store.answer("s", "a3", "You are welcome.", None, True, False)
    assert store.labels() == [
        {
            "session": "s",
            "question": "where is my parcel?",
            "answer": "It arrives on Monday.",
            "intent": "delivery",
        }
    ]
    assert store.questions() == []
