"""HTTP service of a recommender; hosted by ``react-ray recommend serve``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict, Field, model_validator

from react_ray import Host, HostedApp, InputError
from react_ray.apps.files import version_of
from react_ray.apps.recommend.folder import FILES, file_states, load
from react_ray.apps.recommend.recommendations import Recommendation, Recommendations
from react_ray.apps.recommend.settings import RecommendServeConfig

__all__ = ["RecommendApp", "load_service"]

logger = logging.getLogger("ray.serve")
Result = TypeVar("Result")
MOST_CHARS = 500
"""Maximum characters of an id, and of a value in a filter."""
SHOWN_CHARS = 200
Id = Annotated[str, Field(min_length=1, max_length=MOST_CHARS)]
Cell = Annotated[str, Field(max_length=MOST_CHARS)] | bool | float


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Range(_Body):
    """Numbers from ``min`` to ``max``, both included."""

    min: float | None = None
    max: float | None = None


class _RecommendationRequest(_Body):
    """What all requests have in common."""

    count: int = Field(10, ge=1, description="Most items of the answer")
    filter: dict[str, Range | list[Cell] | Cell] = Field(
        {}, description="Column of the items: a value, a list of values, or min and max"
    )
    text: str | None = Field(None, min_length=1, description="What is looked for, in words")


class RecommendRequest(_RecommendationRequest):
    """Items for a user, or for a history."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user": "u1", "count": 5}, {"history": ["item1", "item2"]}]}
    )
    user: Id | None = Field(None, description="Id of a user; one who is not known is new")
    history: list[Id] = Field([], description="Liked items, from old to new, after those known of the user")


class SimilarRequest(_RecommendationRequest):
    """Items like another one, or like a text."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"item": "item1", "count": 5}]})
    item: Id | None = Field(None, description="Id of an item")

    @model_validator(mode="after")
    def _check(self) -> SimilarRequest:
        if (self.item is None) == (self.text is None):
            raise ValueError("expected either item or text")
        return self


class Reason(_Body):
    """Why an item is in the answer."""

    kind: str = Field(
        description="users: liked by those who liked the past items; text: like the text of a past item; "
        "asked: like the text of the request; popular: liked by so many users; new: by nobody yet"
    )
    items: list[str] | None = Field(None, description="Past items that explain it")
    words: list[str] | None = Field(None, description="Words that the texts share, the rarest first")
    users: int | None = None


class Item(_Body):
    """An item of an answer."""

    item: str
    score: float = Field(description="Orders the items of this answer; not comparable with other answers")
    text: str = Field(description="The beginning of the item's text")
    reasons: list[Reason]


class RecommendApp(HostedApp):
    """Service of the recommender in a folder, which is read again before an answer if it has changed."""

    title = "Recommendation"
    description = "Items for a user or a history, and items like another one, with reasons."

    def __init__(self, folder: Path, config: RecommendServeConfig, threads: int = 1, use_gpu: bool = False):
        self.folder, self.config, self._use_gpu = folder, config, use_gpu
        self._pool = ThreadPoolExecutor(max(1, threads))
        self._reading = asyncio.Lock()
        self.page = (resources.files("react_ray.apps.recommend") / "page.html").read_text(encoding="utf-8")
        self._read()

    def add_routes(self, app: FastAPI) -> None:
        """Add the routes."""

        @app.post("/recommend", summary="Items that a user has not seen, best first")
        async def recommend(request: RecommendRequest) -> list[Item]:
            self._check(request, len(request.history))
            return await self._answer(request)

        @app.post("/similar", summary="Items like another one, or like a text")
        async def similar(request: SimilarRequest) -> list[Item]:
            self._check(request)
            return await self._answer(request)

        @app.get("/about", summary="What is recommended, and by which columns answers can be filtered")
        async def about() -> dict[str, Any]:
            await self._update()
            built = self._recommendations.built
            return {
                "version": self.version,
                "items": len(built.catalogue.ids),
                "filters": list(built.catalogue.columns),
                "max_count": self.config.max_count,
                "max_history": self.config.max_history,
            }

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _check(self, request: _RecommendationRequest, history: int = 0) -> None:
        """Raise an error for a request over the limits."""
        config = self.config
        values = max((len(value) for value in request.filter.values() if isinstance(value, list)), default=0)
        for name, size, most in (
            ("count", request.count, config.max_count),
            ("history", history, config.max_history),
            ("text", len(request.text or ""), config.max_text),
            ("filter", max(values, len(request.filter)), config.max_filter),
        ):
            if size > most:
                raise HTTPException(413, f"{name}: {size}; at most {most} are taken")

    async def _answer(self, request: RecommendRequest | SimilarRequest) -> list[Item]:
        await self._update()
        recommendations = self._recommendations  # the same for the whole answer
        recommended = await self._apart(lambda: self._recommended(request, recommendations))
        return [
            Item(
                item=recommendation.item,
                score=recommendation.score,
                text=recommendations.text_of(recommendation.item)[:SHOWN_CHARS],
                reasons=[Reason(**reason) for reason in recommendation.reasons],
            )
            for recommendation in recommended
        ]

    async def _apart(self, work: Callable[[], Result]) -> Result:
        """Run ``work`` outside of the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def _update(self) -> None:
        """Read the folder again if it has changed; while a build writes it, the last state answers."""
        try:
            if file_states(self.folder) == self._states:
                return
            async with self._reading:
                if file_states(self.folder) != self._states:
                    await self._apart(self._read)
        except InputError as error:
            logger.warning("the folder is not read again: %s", error)

    def _read(self) -> None:
        states, version = file_states(self.folder), version_of(self.folder, FILES)
        recommendations = Recommendations(load(self.folder), self._use_gpu)
        if file_states(self.folder) != states:
            raise InputError(f"{self.folder} was changed while it was loaded")
        self._recommendations, self._states, self.version = recommendations, states, version

    def _recommended(
        self, request: RecommendRequest | SimilarRequest, recommendations: Recommendations
    ) -> list[Recommendation]:
        count, columns = request.count, _filter(request)
        if isinstance(request, SimilarRequest):
            return recommendations.similar(request.item, count, columns, request.text)
        return recommendations.recommend(request.user, request.history, count, columns, request.text)


def _filter(request: _RecommendationRequest) -> dict[str, Any]:
    return {
        name: condition.model_dump() if isinstance(condition, Range) else condition
        for name, condition in request.filter.items()
    }


def load_service(folder: Path, host: Host) -> RecommendApp:
    """Load the service, in a replica of :func:`react_ray.serve_app`."""
    config = cast(RecommendServeConfig, host.config)
    return RecommendApp(folder, config, host.threads, host.use_gpu)
