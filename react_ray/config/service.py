"""Settings of the HTTP service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from react_ray.config.sections.base import Settings

__all__ = ["ServeConfig"]

Origin = Annotated[str, Field(pattern=r"^(\*|[a-z][a-z0-9+.-]*://[^/\s,*]+)$")]
"""An origin as browsers send it: scheme, host and optional port, without a path; or *."""


class ServeConfig(Settings):
    """Settings of the HTTP service, loaded by :func:`react_ray.config.file.load_serve_config`."""

    host: str = Field("127.0.0.1", description="Address to listen on; 127.0.0.1: this machine only")
    port: int = Field(8000, ge=1, le=65535, description="HTTP port")
    grpc_port: int | None = Field(
        None, ge=1, le=65535, description="Port of gRPC, which listens on all interfaces; None: no gRPC"
    )
    replicas: int = Field(1, ge=1, description="Copies of the model, one process each")
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
    max_bulk_bytes: int = Field(
        8 << 20,
        ge=1024,
        description="Largest body of a bulk request, in bytes; it is buffered in memory, also by the proxy",
    )
    max_bulk_lines: int = Field(
        100_000, ge=1, description="Most lines of a bulk request, each of which takes memory"
    )
    max_bulk_ongoing: int = Field(
        16, ge=1, description="Concurrent bulk requests of a replica, some 20 MB each; more are answered 429"
    )
    proxy_memory_bytes: int = Field(
        1 << 30, ge=1 << 26, description="Memory of HAProxy, in bytes; it limits the number of connections"
    )
    connections_per_address: int | None = Field(
        None,
        ge=0,
        description="Most connections of a client address; None: half of all; 0: no limit, behind a proxy",
    )
    max_texts: int = Field(
        256, ge=1, description="Most texts of a request: seconds of work; use react-ray predict for files"
    )
    max_chars: int = Field(100_000, ge=1, description="Longest text, in characters; as data.max_chars")
    max_words: int = Field(
        32_768,
        ge=1,
        description="Most words of a request to a model that finds entities; 8 characters count as a word",
    )
    precision: Literal["fp32", "int8"] = Field(
        "fp32", description="Number format of the model on CPUs; int8 is faster, docs/serving.md has its cost"
    )
    batch_tokens: int | None = Field(
        None, ge=1, description="Tokens of a model call; None: 512, which CPU caches hold, or 8,192 on a GPU"
    )
    threshold: float = Field(0, ge=0, le=1, description="Lowest score of a label that is returned")
    max_explain_words: int = Field(
        64, ge=2, description="Most words or spans of an explanation, each a row of the model"
    )
    max_ongoing: int = Field(
        256,
        ge=2,
        description="Concurrent requests of a replica: twice what a model call of short texts takes",
    )
    max_queued: int = Field(
        128, ge=0, description="Requests that wait outside the replicas; more are answered 429"
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
    log_texts: bool = Field(False, description="Add the texts to the access log")
    record: str | None = Field(
        None, description="Folder for requests and answers, as parquet files by day; None: nothing is kept"
    )
    record_texts: bool = Field(False, description="Record the texts too, not only their hashes")
    start_timeout_s: float = Field(
        180, gt=0, description="Seconds until the service must be ready; a busy machine needs over a minute"
    )
    drain_timeout_s: float = Field(
        30, ge=0, description="Seconds that running requests get to finish when the service stops"
    )
    max_pairs: int = Field(
        45, ge=1, le=1000, description="Most pairs of entities of a text that are judged: the nearest ones"
    )
    relations: str | None = Field(
        None, description="Folder of a relation model, for POST /triples of an entity model; None: no triples"
    )
    relations_version: str | None = Field(
        None, description="Version of the relation model that replicas load, and no other; None: any"
    )

    @property
    def tokens_per_call(self) -> int:
        """Maximum tokens of a model call."""
        return self.batch_tokens or (8192 if self.gpus_per_replica else 512)

    @property
    def max_values(self) -> int:
        """Maximum JSON values in a request, or fields over gRPC: 4 for each text, plus a constant."""
        return 4 * self.max_texts + 1000

    @model_validator(mode="after")
    def _check_max_replicas(self) -> ServeConfig:
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError(f"max_replicas = {self.max_replicas} is less than replicas = {self.replicas}")
        return self

    @field_validator("host")
    @classmethod
    def _strip_brackets(cls, host: str) -> str:
        if not host or host != host.strip():
            raise ValueError(f"host = {host!r}: expected an address or a name, such as 127.0.0.1 or ::1")
        return host[1:-1] if host.startswith("[") and host.endswith("]") else host

    @field_validator("api_keys", "record", "relations")
    @classmethod
    def _make_absolute(cls, path: str | None) -> str | None:
        # replicas have a different working directory
        return path and str(Path(path).expanduser().absolute())

    @model_validator(mode="after")
    def _check_grpc_host(self) -> ServeConfig:
        if self.grpc_port is not None and self.host not in ("0.0.0.0", "::"):
            raise ValueError(
                f"grpc_port = {self.grpc_port}: Ray's gRPC proxy listens on all interfaces, but host = "
                f"{self.host!r} does not; set host=0.0.0.0 to allow it"
            )
        return self
