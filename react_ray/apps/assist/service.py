"""Chat service of a replica: conversations are in the owner's store, answers come from the assistant."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from react_ray import InputError, Owner
from react_ray.apps.assist.assistant import Reply
from react_ray.apps.assist.live import LiveAssistant
from react_ray.apps.assist.settings import ChatConfig

__all__ = ["ChatService"]

MAX_BATCH = 32


class ChatService:
    """Answers messages; messages that wait are understood together.

    Parameters
    ----------
    live
        The assistant that answers messages; called in a thread of its own.
    owner
        Calls methods of the :class:`react_ray.apps.assist.store.ConversationStore`.
    config
        Limits.
    """

    def __init__(self, live: LiveAssistant, owner: Owner, config: ChatConfig):
        self.config, self._live, self._owner = config, live, owner
        self._thread = ThreadPoolExecutor(1)
        self._waiting: list[tuple[str, Sequence[str], asyncio.Future[Reply]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def chat(
        self, session: str, text: str, message: str | None = None, key: str | None = None
    ) -> dict[str, Any]:
        """Answer a message and return the stored reply.

        Parameters
        ----------
        session
            Id of the conversation.
        text
            What the customer writes.
        message
            Id of the message; the same id again gets the same reply. None: a new one.
        key
            Name of the caller's key: a conversation belongs to the key that began it.

        Raises
        ------
        InputError
            The message is blank or too long, or the conversation has too many.
        """
        if not text.strip():
            raise InputError("message: it is blank")
        if len(text) > self.config.max_message_chars:
            raise InputError(f"message: longer than {self.config.max_message_chars:,} characters")
        message = message or uuid.uuid4().hex
        begun = await self._owner.call("begin", session, message, text, key)
        if begun["reply"] is not None:
            return _public(begun["reply"])
        if begun["with_agent"]:
            reply = Reply("handover", "", None, None, 0.0)
        else:
            reply = await self._think(text, begun["earlier"])
        stored = {**reply.as_json(), "whole": reply.whole}
        if begun["with_agent"]:
            stored["score"] = None  # a person answers, so nothing was judged
        elif reply.kind == "handover":
            stored["text"] = self.config.handover_text
        return _public(await self._owner.call("finish", session, message, stored))

    async def ready(self) -> bool:
        """Return whether the assistant answers."""
        await self._think("ready?", [])
        return True

    async def intents(self) -> list[str]:
        """Return the names of the intents."""
        loop = asyncio.get_running_loop()
        intents = (await loop.run_in_executor(self._thread, self._live.current)).finder.intents
        return [] if intents is None else list(intents.names)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    async def _think(self, text: str, earlier: Sequence[str]) -> Reply:
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((text, earlier, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        """Answer all that wait, a batch at a time."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            messages = [(text, earlier) for text, earlier, _ in batch]
            try:
                replies = await loop.run_in_executor(self._thread, self._replies, messages)
            except Exception as error:
                for *_, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (*_, future), reply in zip(batch, replies, strict=True):
                if not future.done():
                    future.set_result(reply)

    def _replies(self, messages: Sequence[tuple[str, Sequence[str]]]) -> list[Reply]:
        return self._live.current().replies(messages)


def _public(reply: dict[str, Any]) -> dict[str, Any]:
    shown = {name: reply[name] for name in ("kind", "text", "source", "intent", "score", "id")}
    return shown | {"score": reply["score"] or 0.0}
