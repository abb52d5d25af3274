"""The command ``serve``: hosts saved models until a signal ends it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from react_ray.config.service import ServeConfig
from react_ray.folders import model_version
from react_ray.inference.folder import check_saved
from react_ray.serve.deploy import grpc_options
from react_ray.serve.engine.memory import check_memory
from react_ray.serve.host import Hosting, check_keys, check_listening, check_port, host, service_session
from react_ray.serve.models import application_of, models_of, note_of, route_of, with_relations
from react_ray.serve.protocols.examples import sample_input
from react_ray.serve.readiness import Hosted

if TYPE_CHECKING:
    from ray.serve import Application

__all__ = ["serve"]


def serve(
    model: str | Path,
    config: ServeConfig | None = None,
    *,
    address: str | None = None,
    verbose: bool = False,
) -> None:
    """Serve the model until Ctrl-C or SIGTERM, then finish running requests and return.

    ``model`` is a run's folder or the ``model/`` inside it, or a list of several: see
    :mod:`react_ray.serve.models`. Raises InputError if there is none or the port is taken,
    ClusterError if Ray lacks cores or does not start in time.
    """
    config = config or ServeConfig()
    check_keys(config)
    models = models_of(model)
    config = with_relations(models, config)
    folders = [*models.values(), *([Path(config.relations)] if config.relations else [])]
    versions = {name: model_version(folder) for name, folder in models.items()}
    session = service_session(address, verbose)
    local = session.address is None
    if local:
        check_memory(folders, config)
    check_listening(session, config)
    if local and config.grpc_port:
        check_port(config.host, config.grpc_port, "grpc_port=")
    hosting = Hosting(
        [_hosted(name, folder, config, versions[name]) for name, folder in models.items()],
        config,
        start=", ".join(map(str, folders)),
        welcome=_example(models, config),
        notes=[note for folder in folders if (note := note_of(folder, config))],
        grpc=grpc_options(config),
    )
    host(hosting, session)


def _hosted(name: str, folder: Path, config: ServeConfig, version: str) -> Hosted:
    return Hosted(
        application_of(name),
        route_of(name),
        "classifier",
        partial(_build, str(folder), config, version),
        what="model",
    )


def _build(folder: str, config: ServeConfig, version: str, cpus: float) -> Application:
    from react_ray.serve.app import build_application

    return build_application(folder, config, cpus, version)


def _example(models: Mapping[str, Path], config: ServeConfig) -> str:
    """Return a command that sends an input to the first model."""
    route = "triples" if config.relations else "predict"
    sample = sample_input(check_saved(next(iter(models.values()))))
    body = json.dumps({"inputs": [sample]}, ensure_ascii=False)
    return f"curl -H 'Content-Type: application/json' -d {shlex.quote(body)} {{url}}/{route}"
