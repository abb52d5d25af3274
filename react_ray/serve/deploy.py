"""Export of a service as a file for ``serve deploy`` and for KubeRay's RayService."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from react_ray.config.service import ServeConfig
from react_ray.errors import InputError
from react_ray.folders import model_version, replace_file
from react_ray.serve.models import application_of, models_of, route_of, with_relations

__all__ = ["check_cluster_host", "grpc_options", "http_options", "serve_config", "write_config"]

LISTENING = {"host", "port", "grpc_port", "proxy_memory_bytes", "connections_per_address"}
ELSEWHERE = {*LISTENING, "threshold", "start_timeout_s"}
"""Settings that stand in other places of the file, or are the command's or HAProxy's alone."""
HEAD = """\
# What `serve deploy` and serveConfigV2 of a RayService take. `threshold` can be changed and deployed again
# while the service runs; any other change replaces the replicas one after the other. A model that was trained
# again has another version: write the file again, for replicas load no other version than the one named here.
# HAProxy before the replicas: eval "$(python -m react_ray.serve.ingress)" on every node, before Ray starts
# (with max_body_bytes=..., body_timeout_s=... and request_timeout_s=... where they are not the defaults).
"""


def write_config(model: str, config: ServeConfig, path: Path) -> str:
    """Write the file that serves ``model`` (or a list) with these settings; return instructions."""
    models = models_of(model)
    config = with_relations(models, config)
    check_cluster_host(config.host)
    text = yaml.dump(serve_config(models, config), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    folders = [*models.values(), *([config.relations] if config.relations else [])]
    replace_file(path, lambda half: half.write_text(HEAD + text, encoding="utf-8"))
    return (
        f"{path}: serves {', '.join(map(str, folders))}: every node must see it under this name\n"
        f"  {shlex.join(['serve', 'deploy', str(path)])}   "
        "(or as serveConfigV2 of a RayService, see deploy/kuberay)\n"
        f"  each node listens on {config.host}; where others are to reach it: --host 0.0.0.0"
    )


def check_cluster_host(host: str) -> None:
    """Raise InputError for an IPv6 address, with which Ray Serve starts proxies on IPv4 or one node only."""
    if ":" in host:
        raise InputError(f"--host {host}: on a cluster Ray Serve listens on IPv4; give --host 0.0.0.0")


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
    whole: dict[str, Any] = {"proxy_location": "EveryNode", "http_options": http_options(config)}
    if config.grpc_port:
        whole["grpc_options"] = grpc_options(config)
    whole["logging_config"] = {"enable_access_log": False}
    return {**whole, "applications": applications}


class _Dumper(yaml.SafeDumper):
    """YAML dumper that quotes strings starting with a digit: KubeRay reads 12345e678901 as a number."""


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "'" if text[:1].isdecimal() else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _string)


def http_options(config: ServeConfig) -> dict[str, Any]:
    """Return Serve's HTTP options."""
    return {"host": config.host, "port": config.port, "request_timeout_s": config.request_timeout_s}


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
