"""Features of several encoders side by side, those that read a data set, as ``encoder: auto`` has them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchmarks.label_efficiency.features import Copies, FeatureStore, Stored
from react_ray.config.settings import AUTO, DataConfig
from react_ray.data.views import BLOCKS, side_by_side
from react_ray.data.vocabulary import SAMPLE_TEXTS, ModelChoice, Vocabulary
from react_ray.models.choices import embedded_models

__all__ = ["JointStore", "store_of"]


@dataclass(frozen=True)
class JointStore:
    """Stores of single encoders, of which those that read a data set are taken."""

    stores: tuple[FeatureStore, ...]
    encoder: str = AUTO

    def load(self, dataset: str) -> Stored:
        """The set with the features of all encoders that read it. Raises DatasetMissingError."""
        parts = [store.load(dataset) for store in _readers(self, dataset)]
        asked = parts[0].copies.asked
        for part in parts[1:]:
            asked = np.intersect1d(asked, part.copies.asked)
        copies = [_sorted_copies(part.copies, asked) for part in parts]
        features = {
            name: side_by_side([getattr(part, name) for part in parts])
            for name in ("train_features", "test_features", "names", "prompted")
        }
        joined = Copies(asked, copies[0].of, side_by_side([part.features for part in copies]))
        return replace(parts[0], encoder=AUTO, copies=joined, blocks=BLOCKS * len(parts), **features)

    def with_copies(self, stored: Stored, rows: Iterable[int]) -> Stored:
        """``stored`` with copies of the training rows ``rows`` too; they are kept from now on."""
        asked = list(rows)
        for store in _readers(self, stored.name):
            store.with_copies(store.load(stored.name), asked)
        return self.load(stored.name)


def store_of(data: Path, encoder: str, cache: Path) -> FeatureStore | JointStore:
    """The store of one encoder, or for auto that of the embedded ones."""
    if encoder != AUTO:
        return FeatureStore(data, encoder, cache)
    return JointStore(tuple(FeatureStore(data, name, cache) for name in embedded_models()))


@lru_cache
def _readers(joint: JointStore, dataset: str) -> list[FeatureStore]:
    texts = joint.stores[0].read(dataset)[0]["text"].head(SAMPLE_TEXTS).tolist()
    choice = ModelChoice("--encoder", tuple(store.encoder for store in joint.stores), automatic=True)
    readers = Vocabulary(texts, DataConfig().max_unknown).readers(choice)
    return [store for store in joint.stores if store.encoder in readers]


def _sorted_copies(copies: Copies, asked: np.ndarray) -> Copies:
    """The copies of the rows ``asked``, in their order; those of a row as they were made."""
    chosen = np.flatnonzero(np.isin(copies.of, asked))
    chosen = chosen[np.argsort(copies.of[chosen], kind="stable")]
    return Copies(asked, copies.of[chosen], copies.features[chosen])
