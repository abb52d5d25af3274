"""The assistant as an application on Ray Serve: routes, pages, and the owner of the conversations."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi import Path as InPath
from fastapi.responses import StreamingResponse
from pydantic import Field

from react_ray import Host, HostConfig, HostedApp, split_sentences
from react_ray.apps.assist.live import LiveAssistant
from react_ray.apps.assist.service import ChatService
from react_ray.apps.assist.settings import ChatConfig
from react_ray.apps.assist.store import ConversationStore, Limits, StoreFullError
from react_ray.config.sections.base import Settings

__all__ = ["AssistApp", "load", "open_store"]

IDENTIFIER = r"^[A-Za-z0-9._-]{1,64}$"
EVENTS = "text/event-stream"
Identifier = Annotated[str, Field(pattern=IDENTIFIER)]
SessionPath = Annotated[str, InPath(pattern=IDENTIFIER)]
MAX_TEXT = 20_000


class ChatMessage(Settings):
    """A message of a customer."""

    session: Identifier = Field(description="Id of the conversation, hard to guess, such as a UUID")
    message: str = Field(min_length=1, max_length=MAX_TEXT, description="What the customer writes")
    id: Identifier | None = Field(None, description="Id of the message; sent again, it gets the same reply")


class ChatReply(Settings):
    """A reply."""

    kind: str = Field(description="template, answer or handover")
    text: str = Field(description="The reply; may be blank for a handover")
    source: str | None = Field(description="Where an answer is from")
    intent: str | None = Field(description="The most probable intent")
    score: float = Field(description="How sure the assistant is of this reply, 0 to 1")
    id: str = Field(description="Id of the message, for /feedback")


class Vote(Settings):
    """Whether a reply helped."""

    session: Identifier = Field(description="Id of the conversation")
    id: Identifier = Field(description="Id of the message that was replied to")
    up: bool = Field(description="Whether the reply helped")


class AgentAnswer(Settings):
    """An answer by a person."""

    session: Identifier = Field(description="Id of the conversation")
    id: Identifier = Field(description="Id of this answer; sent again, it is stored once")
    message: str = Field(min_length=1, max_length=MAX_TEXT, description="The answer")
    intent: str | None = Field(None, max_length=500, description="Intent of the question; None: not known")
    close: bool = Field(False, description="Whether the assistant answers again from now on")
    learn: bool = Field(False, description="Whether it is the right answer to the question handed over")


class AgentLabel(Settings):
    """The right answer or intent of a customer's message."""

    number: int = Field(ge=1, description="Number of the message")
    answer: str | None = Field(None, max_length=MAX_TEXT, description="Right answer; None: not known")
    intent: str | None = Field(None, max_length=500, description="Right intent; None: not known")


class AssistApp(HostedApp):
    """Routes of customers and of agents."""

    title = "Customer service"
    description = "Answers customers from questions and answers, and hands over to people."

    def __init__(self, folder: Path, host: Host):
        assert isinstance(host.config, ChatConfig)
        self._live = LiveAssistant(folder)
        self.version = self._live.version
        self.page, self.pages = _page("chat.html"), {"/agent": _page("agent.html")}
        self._host, self._config = host, host.config
        self._service = ChatService(self._live, host.owner, host.config)

    async def ready(self) -> bool:
        """Return whether the assistant answers."""
        return await self._service.ready()

    def close(self) -> None:
        """End the thread that computes."""
        self._service.close()

    def add_routes(self, app: FastAPI) -> None:
        """Add the routes."""
        self._add_customer_routes(app)
        self._add_agent_routes(app)

    def _add_customer_routes(self, app: FastAPI) -> None:
        owner, service, caller = self._host.owner, self._service, self._host.caller

        @app.post("/chat", summary="Answer a message of a conversation", response_model=ChatReply)
        async def chat(message: ChatMessage, request: Request) -> Any:
            try:
                reply = await service.chat(message.session, message.message, message.id, caller())
            except StoreFullError as error:
                raise HTTPException(503, str(error), {"retry-after": "600"}) from None
            self.version = self._live.version
            if EVENTS not in request.headers.get("accept", ""):
                return reply
            return StreamingResponse(_events(reply), media_type=EVENTS, headers={"cache-control": "no-store"})

        @app.get("/chat/{session}", summary="Messages of a conversation, those of agents too")
        async def conversation(
            session: SessionPath, after: Annotated[int, Query(ge=0)] = 0
        ) -> list[dict[str, Any]]:
            messages: list[dict[str, Any]] = await owner.call("conversation", session, after, caller())
            return messages

        @app.post("/feedback", summary="Say whether a reply helped")
        async def feedback(vote: Vote) -> dict[str, bool]:
            await owner.call("feedback", vote.session, vote.id, vote.up, caller())
            return {"stored": True}

    def _add_agent_routes(self, app: FastAPI) -> None:
        owner = self._host.owner

        @app.get("/agent/waiting", summary="Conversations that wait for a person")
        async def waiting() -> dict[str, Any]:
            self._check_agent()
            return {"conversations": await owner.call("waiting"), "intents": await self._service.intents()}

        @app.get("/agent/conversation/{session}", summary="Messages of any conversation")
        async def any_conversation(session: SessionPath) -> list[dict[str, Any]]:
            self._check_agent()
            messages: list[dict[str, Any]] = await owner.call("conversation", session)
            return messages

        @app.post("/agent/answer", summary="Answer as a person")
        async def answer(body: AgentAnswer) -> dict[str, bool]:
            self._check_agent()
            words = (body.session, body.id, body.message, body.intent, body.close, body.learn)
            await owner.call("answer", *words)
            return {"stored": True}

        @app.post("/agent/close/{session}", summary="Let the assistant answer again")
        async def close(session: SessionPath) -> dict[str, bool]:
            self._check_agent()
            await owner.call("close_conversation", session)
            return {"stored": True}

        @app.get("/agent/questions", summary="Questions whose label would help most")
        async def questions() -> list[dict[str, Any]]:
            self._check_agent()
            answer: list[dict[str, Any]] = await owner.call("questions")
            return answer

        @app.post("/agent/label", summary="Label a question")
        async def label(body: AgentLabel) -> dict[str, bool]:
            self._check_agent()
            await owner.call("label", body.number, body.answer, body.intent)
            return {"stored": True}

    def _check_agent(self) -> None:
        agents = self._config.agents
        if agents is not None and self._host.caller() not in agents:
            raise HTTPException(403, "this key is not one of an agent")


def load(folder: Path, host: Host) -> AssistApp:
    """Load the application of a replica."""
    return AssistApp(folder, host)


def open_store(folder: Path, config: HostConfig) -> ConversationStore:
    """Open the conversations, which one process owns."""
    assert isinstance(config, ChatConfig)
    return ConversationStore(folder, Limits(config.max_turns, config.max_sessions, config.retention_days))


async def _events(reply: dict[str, Any]) -> AsyncIterator[bytes]:
    """Yield the sentences of a stored reply as events, and at last the whole of it."""
    text, begin = reply["text"], 0
    for _, end in split_sentences(text):
        yield _event({"text": text[begin:end]})
        begin = end
    yield _event({"done": True, "reply": reply})


def _event(content: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n".encode()


def _page(name: str) -> str:
    file = resources.files("react_ray.apps.assist") / "static" / name
    return file.read_text(encoding="utf-8")
