"""The ranker: gradient-boosted trees over the features of candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from react_ray import InputError
from react_ray.apps.recommend.features import TEXT_FEATURES, Candidates, Sources
from react_ray.apps.recommend.interactions import Histories, Targets
from react_ray.apps.recommend.recommenders import Scores
from react_ray.apps.recommend.settings import RankerSettings
from react_ray.apps.recommend.split import Query

__all__ = ["RANKER", "WITHOUT_TEXT", "Ranked", "Ranker", "Rows", "join_rows", "training_rows"]

RANKER, WITHOUT_TEXT = "ranker", "without_text"
AT = 10


@dataclass(frozen=True)
class Rows:
    """Candidates of some users with their labels, for training: a group a user."""

    features: NDArray[np.float32]
    labels: NDArray[np.int8]
    groups: NDArray[np.int64]


class Ranker:
    """A LightGBM model that scores candidates.

    Parameters
    ----------
    model
        Booster of LightGBM.
    columns
        Columns of the features that it reads.
    """

    def __init__(self, model: Any, columns: Sequence[int]):
        self.model, self.columns = model, list(columns)

    @classmethod
    def fit(
        cls,
        train: Rows,
        validation: Rows,
        names: Sequence[str],
        columns: Sequence[int],
        settings: RankerSettings,
        seed: int,
    ) -> Ranker:
        """Train on some users, and stop where NDCG@10 on the validation users is best."""
        import lightgbm

        def dataset(rows: Rows, reference: Any = None) -> Any:
            return lightgbm.Dataset(
                rows.features[:, columns],
                rows.labels,
                group=rows.groups,
                feature_name=[names[column] for column in columns],
                reference=reference,
                params={"verbose": -1},
            )

        parameters = {
            "objective": "lambdarank",
            "metric": "ndcg",
            "eval_at": [AT],
            "learning_rate": settings.learning_rate,
            "num_leaves": settings.leaves,
            "min_data_in_leaf": settings.min_rows,
            "min_sum_hessian_in_leaf": 0.0,
            "lambdarank_truncation_level": 3 * AT,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbose": -1,
        }
        learned = dataset(train)
        model = lightgbm.train(
            parameters,
            learned,
            settings.trees,
            valid_sets=[dataset(validation, learned)],
            callbacks=[lightgbm.early_stopping(settings.patience, verbose=False)],
        )
        return cls(model, columns)

    def scores(self, candidates: Candidates) -> NDArray[np.float64]:
        """Return the score of each candidate."""
        if not len(candidates.items):
            return np.zeros(0)
        return np.asarray(self.model.predict(candidates.features[:, self.columns], num_threads=1))

    @property
    def reads_texts(self) -> bool:
        """Whether a feature of texts is among those that it reads."""
        return any(name in TEXT_FEATURES for name in self.model.feature_name())

    def gains(self) -> dict[str, float]:
        """Return the share of the total gain that each feature has, the largest first."""
        gains = self.model.feature_importance("gain")
        shares = gains / max(gains.sum(), 1e-12)
        pairs = zip(self.model.feature_name(), shares.tolist(), strict=True)
        return dict(sorted(pairs, key=lambda pair: -pair[1]))

    def save(self, path: Path) -> None:
        """Write LightGBM's text format."""
        self.model.save_model(path)

    @classmethod
    def load(cls, path: Path, names: Sequence[str]) -> Ranker:
        """Read a model that :meth:`save` has written; ``names`` are those of all features.

        Raises InputError if there is none, or one with other features.
        """
        import lightgbm

        if not path.is_file():
            raise InputError(f"{path}: no such file; build the recommender again")
        model = lightgbm.Booster(model_file=str(path))
        if unknown := sorted(set(model.feature_name()) - set(names)):
            raise InputError(
                f"{path}: made by another version ({', '.join(unknown)}); build the recommender again"
            )
        return cls(model, [list(names).index(name) for name in model.feature_name()])


@dataclass(frozen=True)
class Ranked:
    """A recommender of two steps: candidates by the sources, in the order of the ranker.

    All other items follow, by popularity and then by text. With a ranker that reads no texts, nothing depends
    on them.
    """

    sources: Sources
    ranker: Ranker

    def scores(self, liked: Histories, only: NDArray[np.int64] | None = None) -> Scores:
        """Return users x items: all candidates above all other items; with ``only``, of these items."""
        texts = self.ranker.reads_texts
        scores = self.sources.fallback_scores(liked, texts)
        for first, part in self.sources.candidates(liked, texts, only):
            values = self.ranker.scores(part)
            scores[part.query + first, part.items] = values - values.min(initial=0) + 1
        return scores


def join_rows(parts: Sequence[Rows]) -> Rows:
    """Put the users of several parts together. Raises InputError if there is none."""
    joined = Rows(
        *(np.concatenate([getattr(p, name) for p in parts]) for name in ("features", "labels", "groups"))
    )
    if not len(joined.labels):
        raise InputError(
            "too few interactions to train the ranker: of no user with three liked items is the last but one "
            "found among the candidates; give more interactions, or count more of them as liked (min_rating, "
            "events)"
        )
    return joined


def training_rows(query: Query, sources: Sources, most: int, seed: int) -> Rows:
    """Return the candidates of the users of ``query``; users without a relevant one are left out."""
    users = np.arange(len(query))
    if len(users) > most:
        users = np.sort(np.random.default_rng(seed).permutation(users)[:most])
    relevant = _pairs(Targets(users, [query.targets.items[user] for user in users]), query.liked.item_count)
    features, labels, groups = [], [], []
    for first, part in sources.candidates(query.liked.take(users)):
        numbers = users[part.query + first] * query.liked.item_count + part.items
        label = np.isin(numbers, relevant)
        hit = np.bincount(part.query, label, minlength=part.query.max(initial=-1) + 1) > 0
        selected = hit[part.query]
        features.append(part.features[selected])
        labels.append(label[selected].astype(np.int8))
        groups.append(np.unique(part.query[selected], return_counts=True)[1])
    return Rows(
        np.concatenate([*features, np.zeros((0, len(sources.names())), np.float32)]),
        np.concatenate([*labels, np.zeros(0, np.int8)]),
        np.concatenate([*groups, np.zeros(0, np.int64)]),
    )


def _pairs(targets: Targets, item_count: int) -> NDArray[np.int64]:
    parts = [user * item_count + items for user, items in zip(targets.users, targets.items, strict=True)]
    return np.concatenate([*parts, np.zeros(0, np.int64)])
