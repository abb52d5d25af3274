"""Linear map of the embeddings of texts, learnt from what users liked one after the other.

The frozen encoder knows what texts say, the map which of that matters to these users. It is a metric learnt
with in-batch and drawn negatives (InfoNCE, van den Oord et al. 2018, arXiv:1807.03748), and works for items
without interactions too, as long as they have a text.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from react_ray.apps.recommend.interactions import Histories, Interactions

__all__ = ["HALF_LIFE", "apply_text_map", "fit_text_map"]

STEPS, BATCH, NEGATIVES = 300, 256, 256
LEARNING_RATE, TEMPERATURE = 1e-3, 0.05
HALF_LIFE, LAST = 3.0, 20
"""Later items after which a liked item counts half in a profile, and most items of a profile."""


def fit_text_map(embeddings: NDArray[np.float32], train: Interactions, seed: int = 0) -> NDArray[np.float32]:
    """Return a matrix W (d x d) so that users like next what is near to their past after the map.

    With the profile p (the decayed sum of the embeddings of a user's last items), the next item j and the
    other items i of a batch that the user does not like, it minimizes
    ``-log softmax_j(cos(p W, e_i W) / temperature)``.

    Parameters
    ----------
    embeddings
        Of the texts of all items, items x d; 0 for items without text.
    train
        Interactions that may be known.
    seed
        Draws the users and the negatives.
    """
    import torch
    from torch.nn.functional import cross_entropy, normalize

    width = embeddings.shape[1]
    liked = train.all_histories()
    has_text = np.asarray(embeddings.any(1))
    places = _places(liked, has_text)
    known = np.flatnonzero(has_text & (train.counts() > 0))
    if not len(places):
        return np.eye(width, dtype=np.float32)
    random = np.random.default_rng([seed, 5])
    matrix = liked.matrix()
    users = np.repeat(np.arange(len(liked)), liked.lengths())
    weights = torch.eye(width, requires_grad=True)
    optimizer = torch.optim.Adam([weights], lr=LEARNING_RATE)
    for _ in range(STEPS):
        batch = random.choice(places, BATCH)
        targets = liked.items[batch]
        negatives = random.choice(known, min(NEGATIVES, len(known)), replace=False)
        items = np.union1d(targets, negatives)
        answers = np.searchsorted(items, targets)
        is_liked = matrix[users[batch]][:, items].toarray() > 0
        is_liked[np.arange(BATCH), answers] = False
        profiles = torch.from_numpy(_profiles(liked, batch, embeddings))
        cosines = normalize(profiles @ weights) @ normalize(torch.from_numpy(embeddings[items]) @ weights).T
        logits = (cosines / TEMPERATURE).masked_fill(torch.from_numpy(is_liked), float("-inf"))
        optimizer.zero_grad()
        cross_entropy(logits, torch.from_numpy(answers)).backward()
        optimizer.step()
    return np.asarray(weights.detach().numpy(), np.float32)


def apply_text_map(embeddings: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mapped embeddings, rows of length 1, or 0 for items without text.

    >>> embeddings, weights = np.array([[1, 0], [0, 0]], np.float32), np.array([[0, 2], [1, 0]], np.float32)
    >>> apply_text_map(embeddings, weights).tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """
    mapped = embeddings @ weights
    lengths = np.linalg.norm(mapped, axis=1, keepdims=True)
    return np.asarray(mapped / np.maximum(lengths, 1e-9), np.float32)


def _places(liked: Histories, has_text: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the places of items that have a text and follow another one, which has a text too."""
    place = np.arange(len(liked.items))
    follows = place > np.repeat(liked.starts[:-1], liked.lengths())
    previous_has_text = np.concatenate([[False], has_text[liked.items[:-1]]])
    return np.flatnonzero(follows & has_text[liked.items] & previous_has_text)


def _profiles(
    liked: Histories, places: NDArray[np.int64], embeddings: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return what the users liked before each of the ``places``: n x d, newer items weigh more."""
    first = liked.starts[np.searchsorted(liked.starts, places, side="right") - 1]
    steps = np.arange(LAST)
    before = places[:, None] - 1 - steps
    weights = np.where(before >= first[:, None], 0.5 ** (steps / HALF_LIFE), 0).astype(np.float32)
    return np.einsum("bk,bkd->bd", weights, embeddings[liked.items[before.clip(0)]])
