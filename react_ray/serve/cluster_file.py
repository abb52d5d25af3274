"""Files for ``serve deploy`` and for KubeRay's RayService."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from react_ray.config.hosting import HostConfig
from react_ray.errors import InputError
from react_ray.folders import replace_file

__all__ = ["LISTENING", "check_cluster_host", "cluster_options", "http_options", "write_cluster_file"]

LISTENING = {"host", "port", "proxy_memory_bytes", "connections_per_address", "start_timeout_s"}
"""Settings that stand in other places of the file, or are the command's or HAProxy's alone."""
HEAD = """\
# What `serve deploy` and serveConfigV2 of a RayService take. {changes}
# HAProxy before the replicas: eval "$(python -m react_ray.serve.ingress)" on every node, before Ray starts
# (with max_body_bytes=..., body_timeout_s=... and request_timeout_s=... where they are not the defaults).
"""


def write_cluster_file(
    path: Path, content: Mapping[str, Any], changes: str, folders: Sequence[str], host: str
) -> str:
    """Write the file ``content`` and return instructions; ``changes`` says what may be changed in it."""
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    head = HEAD.format(changes=changes)
    replace_file(path, lambda temporary: temporary.write_text(head + text, encoding="utf-8"))
    return (
        f"{path}: serves {', '.join(folders)}: every node must see it under this name\n"
        f"  {shlex.join(['serve', 'deploy', str(path)])}   "
        "(or as serveConfigV2 of a RayService, see deploy/kuberay)\n"
        f"  each node listens on {host}; where others are to reach it: --host 0.0.0.0"
    )


def check_cluster_host(host: str) -> None:
    """Raise InputError for an IPv6 address, with which Ray Serve starts proxies on IPv4 or one node only."""
    if ":" in host:
        raise InputError(f"--host {host}: on a cluster Ray Serve listens on IPv4; give --host 0.0.0.0")


def cluster_options(config: HostConfig, grpc: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stands in the file beside the applications; ``grpc``: Serve's options of gRPC, if any."""
    options: dict[str, Any] = {"proxy_location": "EveryNode", "http_options": http_options(config)}
    if grpc:
        options["grpc_options"] = dict(grpc)
    return {**options, "logging_config": {"enable_access_log": False}}


def http_options(config: HostConfig) -> dict[str, Any]:
    """Return Serve's HTTP options."""
    return {"host": config.host, "port": config.port, "request_timeout_s": config.request_timeout_s}


class _Dumper(yaml.SafeDumper):
    """YAML dumper that quotes strings starting with a digit: KubeRay reads 12345e678901 as a number."""


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "'" if text[:1].isdecimal() else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _string)
