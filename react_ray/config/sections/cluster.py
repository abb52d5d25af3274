"""Settings of the Ray cluster and of the hyperparameter search."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from react_ray.config.ranges import Range, read_space
from react_ray.config.sections.base import Count, Settings

__all__ = ["ClusterConfig", "TuneConfig"]

Positive = Annotated[int, Field(ge=1, strict=True)]

WorkerRange = tuple[Positive, Positive]
"""Minimum and maximum number of workers: elastic training continues with fewer when nodes are lost."""


class ClusterConfig(Settings):
    """Where a run executes: Ray cluster, workers, timeouts."""

    address: str | None = Field(None, description="Address of a Ray cluster; None: this machine")
    workers: Count | Literal["auto"] | WorkerRange = Field(
        "auto",
        description="Training workers; 0: this process; [least, most]: as many as there is room for; "
        "auto: one for each GPU, else one",
    )
    use_gpu: bool | Literal["auto"] = Field(
        "auto", description="Train and encode on GPUs; auto: where there are any"
    )
    cpus_per_worker: int = Field(1, ge=1, description="CPU cores of each training worker")
    encoders: Positive | Literal["auto"] = Field(
        "auto", description="Encoder processes at a time; auto: as many as fit"
    )
    max_failures: int = Field(3, ge=0, description="Worker failures that a run survives before it ends")
    timeout_s: int = Field(
        600, ge=1, description="Seconds that workers wait for each other before an attempt is given up"
    )
    answer_s: int = Field(30, ge=1, description="Seconds within which a node must answer the preflight check")
    local_rows: int = Field(
        20_000, ge=0, description="Most rows that are encoded in this process, without Ray Data"
    )

    @field_validator("workers")
    @classmethod
    def _check_order(cls, workers: object) -> object:
        if isinstance(workers, tuple) and workers[0] > workers[1]:
            raise ValueError(f"cluster.workers = {list(workers)}: give the minimum first, as in [1, 4]")
        return workers


class TuneConfig(Settings):
    """Hyperparameter search."""

    stage: Literal["run", "finetune", "lgan"] = Field(
        "finetune", description="Stage whose validation score is optimized; run: all stages"
    )
    space: dict[str, Range | list[Any]] | None = Field(
        None,
        description="Settings to search, each with a range or a list of values; None: see docs/tuning.md",
    )
    trials: int = Field(20, ge=1, description="Most trials")
    minutes: float | None = Field(
        None, gt=0, description="Minutes after which the search ends; None: no time limit"
    )
    sampler: Literal["tpe", "random"] = Field(
        "tpe", description="How settings are drawn; tpe: Optuna's sampler, which learns from earlier trials"
    )
    scheduler: Literal["asha", "fifo", "pbt"] = Field(
        "asha",
        description="How trials are stopped; asha: early, where they lag behind; fifo: never; "
        "pbt: population-based training",
    )
    repeats: int = Field(1, ge=1, description="Seeds of each trial; its score is their mean")
    concurrent: int = Field(0, ge=0, description="Trials at a time; 0: as many as there is room for")

    @field_validator("space", mode="before")
    @classmethod
    def _parse_space(cls, space: object) -> object:
        return read_space(space)
