"""Text that grows while a model generates it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from react_ray.tasks.task import Example

__all__ = ["Pieces"]

INCOMPLETE = "\ufffd"
"""Output of a decoder for an incomplete character."""


class Pieces:
    """Asynchronous iterator over the pieces of a text, which a thread adds token by token.

    Parameters
    ----------
    example
        The input, which has the function that converts tokens to text.
    """

    def __init__(self, example: Example):
        assert example.text_of is not None
        self._text_of = example.text_of
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[int | None] = asyncio.Queue()
        self._text = ""
        self._stopped = False

    def put(self, token: int) -> bool:
        """Add a token, from any thread; returns whether no more are wanted."""
        if not self._stopped:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, token)
        return self._stopped

    def close(self, *_: object) -> None:
        """End the iteration after the tokens that there are."""
        self._queue.put_nowait(None)

    def stop(self) -> None:
        """Have :meth:`put` return True from now on."""
        self._stopped = True

    async def __aiter__(self) -> AsyncIterator[str]:
        tokens: list[int] = []
        while (token := await self._queue.get()) is not None:
            tokens.append(token)
            text = self._text_of(tokens).strip()
            if not text.endswith(INCOMPLETE) and (piece := self._more(text)):
                yield piece

    def rest(self, text: str) -> str:
        """Return what of the whole ``text`` was not in a piece."""
        return self._more(text)

    def _more(self, text: str) -> str:
        if not text.startswith(self._text):
            return ""
        piece, self._text = text[len(self._text) :], text
        return piece
