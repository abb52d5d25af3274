"""From a handful of labels and a pile of text to a served classifier.

run(Config(...)) -> Run          the whole road into a folder
load("out") -> Classifier        predict(texts)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from react_ray.config import Config
from react_ray.config_file import load_config
from react_ray.errors import ClusterError, ConfigError, InputError, ReactRayError, TrainingError
from react_ray.version import __version__

if TYPE_CHECKING:
    from react_ray.classifier import Classifier, load
    from react_ray.pipeline import Run, run
    from react_ray.prediction import Prediction

__all__ = [
    "Classifier",
    "ClusterError",
    "Config",
    "ConfigError",
    "InputError",
    "Prediction",
    "ReactRayError",
    "Run",
    "TrainingError",
    "__version__",
    "load",
    "load_config",
    "run",
]

_LAZY = {
    "Classifier": "classifier",
    "Prediction": "prediction",
    "load": "classifier",
    "Run": "pipeline",
    "run": "pipeline",
}
"""Names whose modules import torch: loaded at first use, so that the command line starts fast."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'react_ray' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"react_ray.{_LAZY[name]}"), name)
