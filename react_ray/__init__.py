"""Train and serve text models from a few labels and much unlabelled text.

>>> import react_ray
>>> config = react_ray.load_config(flags={"data.labeled": "labels.csv", "output": "out"})
>>> run = react_ray.run(config)  # doctest: +SKIP
>>> react_ray.load("out").predict(["a new text"])  # doctest: +SKIP
>>> react_ray.Client("http://127.0.0.1:8000").predict("a new text")  # doctest: +SKIP
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from react_ray.config.file import load_config
from react_ray.config.hosting import HostConfig
from react_ray.config.settings import Config
from react_ray.errors import (
    ClusterError,
    ConfigError,
    InputError,
    ReactRayError,
    ServiceError,
    TrainingError,
)
from react_ray.version import __version__

# Before torch is loaded: its threads then soon sleep when they wait for each other, instead of keeping their
# cores busy, so that training beside another busy process is not many times slower (benchmarks.busy_cores).
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

if TYPE_CHECKING:
    from react_ray.client.client import AsyncClient, Client
    from react_ray.client.exchange import BulkResult, Explanation, Word
    from react_ray.data.table_rows import FileRow, read_rows
    from react_ray.inference.classifier import Classifier, load
    from react_ray.inference.prediction import Entity, GeneratedText, Prediction, SpanAnswer, Triple
    from react_ray.inference.together import ClassifierGroup, load_together
    from react_ray.inference.triples import TripleExtractor, load_triples
    from react_ray.pipeline.encode import TextEncoder, choose_encoder, encode, load_encoder
    from react_ray.pipeline.run import Run, run
    from react_ray.serve.application import Host, HostedApp, Owner, create_app
    from react_ray.serve.serve_app import serve_app
    from react_ray.tasks.sentences import split_sentences

__all__ = [
    "AsyncClient",
    "BulkResult",
    "Classifier",
    "ClassifierGroup",
    "Client",
    "ClusterError",
    "Config",
    "ConfigError",
    "Entity",
    "Explanation",
    "FileRow",
    "GeneratedText",
    "Host",
    "HostConfig",
    "HostedApp",
    "InputError",
    "Owner",
    "Prediction",
    "ReactRayError",
    "Run",
    "ServiceError",
    "SpanAnswer",
    "TextEncoder",
    "TrainingError",
    "Triple",
    "TripleExtractor",
    "Word",
    "__version__",
    "choose_encoder",
    "create_app",
    "encode",
    "load",
    "load_config",
    "load_encoder",
    "load_together",
    "load_triples",
    "read_rows",
    "run",
    "serve_app",
    "split_sentences",
]

_LAZY = {
    "AsyncClient": "client.client",
    "BulkResult": "client.exchange",
    "Classifier": "inference.classifier",
    "ClassifierGroup": "inference.together",
    "Client": "client.client",
    "Entity": "inference.prediction",
    "Explanation": "client.exchange",
    "FileRow": "data.table_rows",
    "Host": "serve.application",
    "HostedApp": "serve.application",
    "Owner": "serve.application",
    "create_app": "serve.application",
    "serve_app": "serve.serve_app",
    "GeneratedText": "inference.prediction",
    "Prediction": "inference.prediction",
    "choose_encoder": "pipeline.encode",
    "encode": "pipeline.encode",
    "load": "inference.classifier",
    "load_encoder": "pipeline.encode",
    "load_together": "inference.together",
    "load_triples": "inference.triples",
    "read_rows": "data.table_rows",
    "Run": "pipeline.run",
    "run": "pipeline.run",
    "SpanAnswer": "inference.prediction",
    "split_sentences": "tasks.sentences",
    "TextEncoder": "pipeline.encode",
    "Triple": "inference.prediction",
    "TripleExtractor": "inference.triples",
    "Word": "client.exchange",
}
"""Public names that are imported at first use, because their modules import torch or an HTTP client."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'react_ray' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"react_ray.{_LAZY[name]}"), name)
