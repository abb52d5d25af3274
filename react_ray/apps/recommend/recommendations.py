"""Answers of a built recommender: items for a user, items like another one, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from react_ray import InputError, TextEncoder, load_encoder
from react_ray.apps.recommend.choice import chosen_of
from react_ray.apps.recommend.folder import Built
from react_ray.apps.recommend.interactions import Histories
from react_ray.apps.recommend.measure import allowed_items
from react_ray.apps.recommend.mix import from_zero_to_one
from react_ray.apps.recommend.read import as_column
from react_ray.apps.recommend.recommenders import Scores, TextProfile, top_items
from react_ray.apps.recommend.terms import Terms

__all__ = ["Filter", "Recommendation", "Recommendations"]

WORDS, ITEMS = 5, 3
"""Most words and past items of a reason."""
LIKE = 0.3
"""Least cosine of two texts that are called alike."""
KINDS = {str: "texts", float: "numbers", bool: "true and false"}
"""Types of the cells of a column, in words."""
Filter = Mapping[str, Any]
"""Column -> a value, a list of values, or {"min": number, "max": number}."""


@dataclass(frozen=True)
class Recommendation:
    """An item with its score, which orders the items of one answer, and the reasons."""

    item: str
    score: float
    reasons: list[dict[str, Any]]


class Recommendations:
    """Recommender that is fitted on all interactions of a build; a text of a request loads its encoder."""

    def __init__(self, built: Built, use_gpu: bool = False):
        self.built, self._use_gpu = built, use_gpu
        self.catalogue = built.catalogue
        self._data = built.interactions
        self._sources = built.sources(self._data, built.text_map)
        self._chosen = chosen_of(self._sources, built.rankers, built.tuned)
        self._place_of = {item: place for place, item in enumerate(self.catalogue.ids)}
        self._user_of = {user: number for number, user in enumerate(built.users)}
        self._counts = self._data.counts()
        self._terms = Terms(self.catalogue.texts)
        self._order = np.random.default_rng(built.config.seed).permutation(len(self.catalogue.ids))

    def recommend(
        self,
        user: str | None = None,
        history: Sequence[str] = (),
        count: int = 10,
        filter: Filter | None = None,
        text: str | None = None,
    ) -> list[Recommendation]:
        """Return the best items that the user has not seen, best first.

        Parameters
        ----------
        user
            Id of a user; one who is not known is new, and has seen nothing.
        history
            Liked items, from old to new, after those that are known of the user.
        count, filter
            Most items, and what their columns must be.
        text
            What a user without liked items looks for.

        Raises
        ------
        InputError
            An item of the history, or a column of the filter, is unknown, the column has no such values, or
            no item has a text to compare with.
        """
        liked, seen = self._histories(user, history)
        allowed = allowed_items(seen, self._only(filter))
        if len(liked.items):
            only = np.flatnonzero(allowed[0])
            scores = self._chosen.recommender.scores(liked, only)
            order = self._chosen.places(scores, liked, only)
            return self._answer(from_zero_to_one(scores), allowed, count, liked, order=order)
        if text is not None:
            likeness = TextProfile(self.built.embeddings).of(self._embedded(text))
            return self._answer(likeness, allowed, count, liked, text)
        return self._answer(self._sources.fallback_scores(liked), allowed, count, liked)

    def similar(
        self,
        item: str | None = None,
        count: int = 10,
        filter: Filter | None = None,
        text: str | None = None,
    ) -> list[Recommendation]:
        """Return the items most like another one, or like a text: by text, and by who liked both.

        Raises InputError for an unknown item or column, as :meth:`recommend` does.
        """
        if text is not None:
            return self.recommend(count=count, filter=filter, text=text)
        if item is None:
            raise InputError("item: expected the id of an item, or a text")
        history = Histories.of([self._places([item])], len(self.catalogue.ids))
        both = self._sources.simple["item_knn"].scores(history)
        likeness = TextProfile(self.built.embeddings).scores(history)
        scores = np.asarray(likeness.clip(0) / 2 + both / max(float(both.max()), 1e-9) / 2, np.float32)
        allowed = allowed_items(history, self._only(filter)) & (scores > 0)
        return self._answer(scores, allowed, count, history)

    def text_of(self, item: str) -> str:
        """Return the text of an item of an answer."""
        return self.catalogue.texts[self._place_of[item]]

    @cached_property
    def _encoder(self) -> TextEncoder:
        config = self.built.config
        return load_encoder(config.encoder, max_length=config.max_length, use_gpu=self._use_gpu)

    def _embedded(self, text: str) -> NDArray[np.float32]:
        if not any(self.catalogue.texts):
            raise InputError("text: no item of this recommender has one; name a user, a history or an item")
        return self._encoder.encode([text])

    def _histories(self, user: str | None, history: Sequence[str]) -> tuple[Histories, Histories]:
        """Return what the user liked, and what was seen."""
        numbers = [] if user is None or user not in self._user_of else [self._user_of[user]]
        places, items = self._places(history), len(self.catalogue.ids)
        histories = []
        for seen in (False, True):
            past = self._data.histories(np.array(numbers, np.int64), seen=seen).items
            earlier = past[~np.isin(past, places)]
            histories.append(Histories.of([np.concatenate([earlier, places])], items))
        return histories[0], histories[1]

    def _places(self, items: Sequence[str]) -> NDArray[np.int64]:
        """Return the items by place, each once, where it stands last."""
        for item in items:
            if item not in self._place_of:
                raise InputError(f"unknown item {item[:100]!r}: it was not among the items of the build")
        newest_first = dict.fromkeys(self._place_of[item] for item in reversed(items))
        return np.array(list(newest_first)[::-1], np.int64)

    def _only(self, filter: Filter | None) -> NDArray[np.int64] | None:
        """Return the items that pass the filter; None: all."""
        if not filter:
            return None
        passes = np.ones(len(self.catalogue.ids), bool)
        for name, condition in filter.items():
            if name not in self.catalogue.columns:
                columns = ", ".join(self.catalogue.columns) or "none: build with filters=[NAME]"
                raise InputError(f"unknown column {name[:100]!r} in the filter; expected one of {columns}")
            passes &= _passes(name, self.catalogue.columns[name], condition)
        return np.flatnonzero(passes)

    def _answer(
        self,
        scores: Scores,
        allowed: NDArray[np.bool_],
        count: int,
        liked: Histories,
        query: str | None = None,
        order: Scores | None = None,
    ) -> list[Recommendation]:
        """Return the best items by ``order`` (None: the scores), whose scores do not grow in it."""
        best = top_items(scores if order is None else order, allowed, count, self._order)[0]
        best = best[best >= 0]
        reasons = self._reasons(best, liked.items, query)
        # a new item has no score of its own among the others: that of the one before it
        own_scores = np.where(self._sources.is_new[best] & (order is not None), np.inf, scores[0, best])
        values = np.minimum.accumulate(own_scores)
        return [
            Recommendation(self.catalogue.ids[item], float(min(value, 1.0)), why)
            for item, value, why in zip(best, values, reasons, strict=True)
        ]

    def _reasons(
        self, items: NDArray[np.int64], past: NDArray[np.int64], query: str | None
    ) -> list[list[dict[str, Any]]]:
        """Return why each item: past items that the same users liked, a past item with such a text, words."""
        common = self._sources.similarity[past][:, items].toarray()
        cosines = self.built.embeddings[past] @ self.built.embeddings[items].T
        return [
            self._reasons_of(item, past, common[:, place], cosines[:, place], query)
            for place, item in enumerate(items)
        ]

    def _reasons_of(
        self,
        item: int,
        past: NDArray[np.int64],
        common: NDArray[np.float32],
        cosines: NDArray[np.float32],
        query: str | None,
    ) -> list[dict[str, Any]]:
        ids, texts = self.catalogue.ids, self.catalogue.texts
        reasons: list[dict[str, Any]] = []
        best = [place for place in np.argsort(-common, kind="stable")[:ITEMS] if common[place] > 0]
        if best:
            reasons.append({"kind": "users", "items": [ids[past[place]] for place in best]})
        if len(cosines) and cosines.max() >= LIKE:
            nearest = past[int(cosines.argmax())]
            words = self._terms.shared(texts[item], [texts[nearest]], WORDS)
            reasons.append({"kind": "text", "items": [ids[nearest]], "words": words})
        if query is not None:
            reasons.append({"kind": "asked", "words": self._terms.shared(texts[item], [query], WORDS)})
        if not reasons:
            users = int(self._counts[item])
            reasons.append({"kind": "popular", "users": users} if users else {"kind": "new"})
        return reasons


def _passes(name: str, cells: Sequence[Any], condition: Any) -> NDArray[np.bool_]:
    """Return which cells a filter of one column lets pass; blank cells pass none.

    >>> _passes("price", [1.0, 5.0, None], {"min": 2}).tolist(), _passes("code", ["07", "8"], ["07"]).tolist()
    ([False, True, False], [True, False])
    """
    kind = next((type(cell) for cell in cells if cell is not None), float)
    if isinstance(condition, Mapping):
        if kind is not float:
            raise InputError(f"filter: min and max need a column of numbers; {name} has {KINDS[kind]}")
        low, high = condition.get("min"), condition.get("max")
        values = np.array([np.nan if cell is None else cell for cell in cells], float)
        return (values >= (-np.inf if low is None else low)) & (values <= (np.inf if high is None else high))
    of_list = condition if isinstance(condition, list) else [condition]
    wanted = {_as_cell(name, kind, value) for value in of_list}
    return np.array([cell is not None and cell in wanted for cell in cells], bool)


def _as_cell(name: str, kind: type, value: Any) -> Any:
    """Return a value of a request as cells of the column have it; InputError if none can be so."""
    [cell] = as_column([value])
    if kind is str and not isinstance(value, bool):
        return f"{value:.15g}" if isinstance(value, float) else value.strip()
    if type(cell) is not kind:
        raise InputError(f"filter: {str(value)[:100]!r} is no value of {name}, which has {KINDS[kind]}")
    return cell
