"""Settings of recommendation."""

from __future__ import annotations

from pydantic import Field

from react_ray.config.hosting import HostConfig
from react_ray.config.sections.base import Settings
from react_ray.config.sections.cluster import ClusterConfig

__all__ = [
    "AlsSettings",
    "NeighbourSettings",
    "RankerSettings",
    "RecommendConfig",
    "RecommendServeConfig",
    "Tuned",
]


class NeighbourSettings(Settings):
    """Item neighbours: items that the same users liked."""

    count: int = Field(100, ge=1, description="Neighbours of each item")
    shrinkage: float = Field(10.0, ge=0, description="Users added to each pair: more trust few users less")
    half_life: float | None = Field(
        None, gt=0, description="Later items after which a liked item counts half; None: all count the same"
    )


class AlsSettings(Settings):
    """Matrix factorization of implicit feedback."""

    factors: int = Field(32, ge=1, description="Factors of a user and of an item")
    regularization: float = Field(1.0, ge=0, description="Weight of the penalty on large factors")
    alpha: float = Field(10.0, gt=0, description="Weight of a liked item; that of all others is 1")


class Tuned(Settings):
    """What is chosen on validation users: settings of the simple recommenders, and what recommends."""

    neighbours: NeighbourSettings = Field(NeighbourSettings(), description="Item neighbours")
    als: AlsSettings = Field(AlsSettings(), description="Matrix factorization")
    blend: dict[str, float] = Field({"item_knn": 1.0}, description="Weights of the simple recommenders")
    chosen: str = Field("ranker", description="What recommends: chosen on validation users")
    new_items: str = Field("text", description="What orders new items: text or text_mapped")
    slot: int | None = Field(
        None, ge=2, description="Every which place is for a new item; None: new ones come last"
    )


class RankerSettings(Settings):
    """Gradient-boosted trees that rank the candidates (LightGBM, lambdarank)."""

    trees: int = Field(500, ge=1, description="Most trees; validation users may stop earlier")
    patience: int = Field(50, ge=1, description="Trees without gain on validation users before it stops")
    learning_rate: float = Field(0.05, gt=0, le=1, description="Step of each tree")
    leaves: int = Field(15, ge=2, description="Leaves of a tree")
    min_rows: int = Field(50, ge=1, description="Candidates in a leaf, at least")
    users: int = Field(5000, ge=1, description="Most users that the ranker is trained on, drawn by the seed")


class RecommendConfig(Settings):
    """Settings of ``react-ray recommend build``."""

    items: str = Field(description="Items: csv, jsonl or parquet with the columns item and text")
    interactions: str = Field(description="Interactions: user, item, and rating, event or time where known")
    output: str = Field("out/recommend", min_length=1, description="Folder of the result")
    columns: dict[str, str] = Field({}, description="For columns with another name in the files, that name")
    features: tuple[str, ...] = Field((), description="Columns of the items with numbers for the ranker")
    filters: tuple[str, ...] = Field((), description="Columns of the items that requests may filter by")
    keep_days: float | None = Field(
        None, gt=0, description="Days after which an interaction is left out of the build; None: all are kept"
    )
    events: tuple[str, ...] | None = Field(
        None, min_length=1, description="Events that count as liked; None: all"
    )
    min_rating: float | None = Field(None, description="Lowest rating that counts as liked; None: all")
    encoder: str = Field("auto", description="auto, embedded, multilingual, a hub name or a folder")
    max_length: int = Field(128, ge=8, description="Longest text of an item, in tokens; longer ones are cut")
    candidates: int = Field(
        200, ge=10, description="Candidates of each source: neighbours, factors, popularity, text"
    )
    cold_share: float = Field(
        0.1, ge=0, le=0.5, description="Share of users and items that are hidden to measure new ones"
    )
    new_share: float = Field(
        0.1, ge=0, lt=1, description="Share of new items among what users take next; 0: new ones come last"
    )
    ranker: RankerSettings = Field(RankerSettings(), description="Ranker of the candidates")
    seed: int = Field(0, ge=0, description="Seed of every random choice")
    cluster: ClusterConfig = Field(ClusterConfig(), description="Where the texts are encoded")


class RecommendServeConfig(HostConfig):
    """Settings of ``react-ray recommend serve``."""

    max_count: int = Field(100, ge=1, le=1000, description="Most items of an answer")
    max_history: int = Field(1000, ge=1, description="Most items of a history in a request")
    max_text: int = Field(2000, ge=1, description="Longest text of a request, in characters")
    max_filter: int = Field(20, ge=1, description="Most values of a column in a filter")
