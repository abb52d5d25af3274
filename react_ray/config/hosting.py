"""Settings that all HTTP services share: address, replicas, limits, keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from react_ray.config.sections.base import Settings

__all__ = ["HostConfig", "absolute"]

Origin = Annotated[str, Field(pattern=r"^(\*|[a-z][a-z0-9+.-]*://[^/\s,*]+)$")]
"""An origin as browsers send it: scheme, host and optional port, without a path; or *."""


class HostConfig(Settings):
    """Settings of any service on Ray Serve; those of one kind of service are a subclass.

    >>> class Greeting(HostConfig):
    ...     word: str = "hello"
    >>> Greeting(port=8001).max_body_bytes
    1048576
    """

    host: str = Field("127.0.0.1", description="Address to listen on; 127.0.0.1: this machine only")
    port: int = Field(8000, ge=1, le=65535, description="HTTP port")
    replicas: int = Field(1, ge=1, description="Copies of the service, one process each")
    max_replicas: int | None = Field(
        None, ge=1, description="Most replicas under load; None: always as many as replicas"
    )
    target_ongoing: int = Field(
        16, ge=1, description="Concurrent requests of a replica at which their number is scaled"
    )
    cpus_per_replica: int | None = Field(
        None, ge=1, description="CPU cores of a replica; None: a share of this machine's, on a cluster 1"
    )
    gpus_per_replica: float = Field(0, ge=0, description="GPUs of a replica; a fraction: replicas share one")
    max_body_bytes: int = Field(
        1 << 20,
        ge=1024,
        description="Largest body of a request, in bytes; the default fits 256 long articles",
    )
    proxy_memory_bytes: int = Field(
        1 << 30, ge=1 << 26, description="Memory of HAProxy, in bytes; it limits the number of connections"
    )
    connections_per_address: int | None = Field(
        None,
        ge=0,
        description="Most connections of a client address; None: half of all; 0: no limit, behind a proxy",
    )
    max_ongoing: int = Field(
        256,
        ge=2,
        description="Concurrent requests of a replica: twice what a model call of short texts takes",
    )
    max_queued: int = Field(
        128, ge=1, description="Requests that wait outside the replicas; more are answered 429"
    )
    body_timeout_s: float = Field(
        10, gt=0, description="Seconds for the body of a request to arrive; longer ones are answered 408"
    )
    request_timeout_s: float = Field(
        60, gt=0, description="Seconds from the first byte to the answer; longer ones are answered 408"
    )
    api_keys: str | None = Field(
        None, description="File of keys made by react-ray key; None: requests need no key"
    )
    allowed_hosts: tuple[str, ...] = Field(
        (), description="Further Host names of a service on a loopback address, such as that of a proxy"
    )
    cors_origins: tuple[Origin, ...] = Field(
        (),
        description="Origins whose pages may send requests, such as https://app.example.org; *: all",
    )
    rate_limit: float | None = Field(
        None, gt=0, description="Requests a second for each key or address and replica; None: no limit"
    )
    access_log: bool = Field(True, description="Log a line for each request, without texts")
    start_timeout_s: float = Field(
        180, gt=0, description="Seconds until the service must be ready; a busy machine needs over a minute"
    )
    drain_timeout_s: float = Field(
        30, ge=0, description="Seconds that running requests get to finish when the service stops"
    )

    @model_validator(mode="after")
    def _check_max_replicas(self) -> Self:
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError(f"max_replicas = {self.max_replicas} is less than replicas = {self.replicas}")
        return self

    @field_validator("host")
    @classmethod
    def _strip_brackets(cls, host: str) -> str:
        if not host or host != host.strip():
            raise ValueError(f"host = {host!r}: expected an address or a name, such as 127.0.0.1 or ::1")
        return host[1:-1] if host.startswith("[") and host.endswith("]") else host

    @field_validator("api_keys")
    @classmethod
    def _make_keys_absolute(cls, path: str | None) -> str | None:
        return absolute(path)


def absolute(path: str | None) -> str | None:
    """Return an absolute path, because replicas have a different working directory."""
    return path and str(Path(path).expanduser().absolute())
