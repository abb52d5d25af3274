"""Export of a service of models as a file for ``serve deploy`` and for KubeRay's RayService."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from react_ray.config.service import ServeConfig
from react_ray.folders import model_version
from react_ray.serve.cluster_file import LISTENING, check_cluster_host, cluster_options, write_cluster_file
from react_ray.serve.models import application_of, models_of, route_of, with_relations

__all__ = ["grpc_options", "serve_config", "write_config"]

ELSEWHERE = {*LISTENING, "grpc_port", "threshold"}
CHANGES = """\
`threshold` can be changed and deployed again
# while the service runs; any other change replaces the replicas one after the other. A model that was
# trained again has another version: write the file again, for replicas load no other version than the one
# named here."""


def write_config(model: str, config: ServeConfig, path: Path) -> str:
    """Write the file that serves ``model`` (or a list) with these settings; return instructions."""
    models = models_of(model)
    config = with_relations(models, config)
    check_cluster_host(config.host)
    folders = [*map(str, models.values()), *([config.relations] if config.relations else [])]
    return write_cluster_file(path, serve_config(models, config), CHANGES, folders, config.host)


def serve_config(models: Mapping[str, Path], config: ServeConfig) -> dict[str, Any]:
    """Return the content of the file for ``models`` by name, see :mod:`react_ray.serve.models`."""
    changed = config.model_dump(exclude_defaults=True, exclude=ELSEWHERE)
    applications: list[dict[str, Any]] = [
        {
            "name": application_of(name),
            "route_prefix": route_of(name),
            "import_path": "react_ray.serve.app:build",
            "args": {"model": str(folder), "version": model_version(folder), **changed},
            "deployments": [{"name": "classifier", "user_config": {"threshold": config.threshold}}],
        }
        for name, folder in models.items()
    ]
    return {**cluster_options(config, grpc_options(config)), "applications": applications}


def grpc_options(config: ServeConfig) -> dict[str, Any]:
    """Return Serve's gRPC options; without a servicer it does not listen."""
    from react_ray.serve.protocols.v2.grpc import ADD_SERVICER

    if config.grpc_port is None:
        return {}
    return {
        "port": config.grpc_port,
        "grpc_servicer_functions": [ADD_SERVICER],
        "request_timeout_s": config.request_timeout_s,
    }
