"""Settings of a run, a service and a search; files, environment variables and flags that set them."""

from __future__ import annotations

from react_ray.config.settings import (
    AugmentConfig,
    ClusterConfig,
    Columns,
    Config,
    DataConfig,
    EncodeConfig,
    FinetuneConfig,
    LganConfig,
    ServeConfig,
    TuneConfig,
)

__all__ = [
    "AugmentConfig",
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
