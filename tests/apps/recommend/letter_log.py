"""Small interactions made by hand or by rule."""

from __future__ import annotations

import numpy as np

from react_ray.apps.recommend.interactions import Interactions


def log_of(histories: list[str], items: str = "abcdefgh", liked: str = "abcdefgh") -> Interactions:
    """Interactions of one string a user, a letter an item, from old to new; only ``liked`` are positive."""
    user = np.repeat(np.arange(len(histories)), [len(one) for one in histories])
    item = np.array([items.index(letter) for one in histories for letter in one], np.int64)
    positive = np.array([letter in liked for one in histories for letter in one], bool)
    time = np.arange(len(user), dtype=float)
    return Interactions(user, item, time, positive, len(histories), len(items))


def letters(indexes: np.ndarray, items: str = "abcdefgh") -> str:
    return "".join(items[int(index)] for index in indexes)
