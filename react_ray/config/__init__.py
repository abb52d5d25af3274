"""Settings of a run, a search and the service, and the files, variables and flags that set them."""

from __future__ import annotations

from react_ray.config.service import ServeConfig
from react_ray.config.settings import (
    AugmentConfig,
    CandidatesConfig,
    ClusterConfig,
    Columns,
    Config,
    DataConfig,
    EncodeConfig,
    FinetuneConfig,
    LganConfig,
    TuneConfig,
)

__all__ = [
    "AugmentConfig",
    "CandidatesConfig",
    "ClusterConfig",
    "Columns",
    "Config",
    "DataConfig",
    "EncodeConfig",
    "FinetuneConfig",
    "LganConfig",
    "ServeConfig",
    "TuneConfig",
]
