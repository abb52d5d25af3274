"""Every setting of a service, typed, with its default and the reason for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from react_ray.config.settings import Settings

__all__ = ["ServeConfig"]

Origin = Annotated[str, Field(pattern=r"^(\*|[a-z][a-z0-9+.-]*://[^/\s,*]+)$")]
"""As a browser sends it: a scheme, a host and where it is needed a port, no path."""


class ServeConfig(Settings):
    """The HTTP service: where it listens, what a caller may ask of it; see ``config_file``."""

    host: str = "127.0.0.1"  # other machines reach it only when asked for
    port: int = Field(8000, ge=1, le=65535)
    grpc_port: int | None = Field(None, ge=1, le=65535)  # None: no gRPC; it listens on all interfaces
    replicas: int = Field(1, ge=1)  # copies of the model, each a process
    max_replicas: int | None = Field(None, ge=1)  # under load; None: always as many as replicas
    target_ongoing: int = Field(16, ge=1)  # requests in a replica that their number is made for
    cpus_per_replica: int | None = Field(None, ge=1)  # None: this machine's cores shared out; 1 on a cluster
    gpus_per_replica: float = Field(0, ge=0)  # a fraction lets replicas share one
    max_body_bytes: int = Field(1 << 20, ge=1024)  # of a request: 256 long articles fit
    max_bulk_bytes: int = Field(8 << 20, ge=1024)  # of a bulk request: it is held whole, in the proxy as well
    max_bulk_lines: int = Field(100_000, ge=1)  # of it: each takes memory; few models do as many in time
    max_bulk_ongoing: int = Field(16, ge=1)  # bulk requests in a replica, some 20 MB each; above: 429
    proxy_memory_bytes: int = Field(1 << 30, ge=1 << 26)  # HAProxy's, a replica: sets how many may connect
    connections_per_address: int | None = Field(None, ge=0)  # None: half of all; 0: all, for a proxy in front
    max_texts: int = Field(256, ge=1)  # of a request: seconds of work; files go to react-ray predict
    max_chars: int = Field(100_000, ge=1)  # of a text: as data.max_chars
    precision: Literal["fp32", "int8"] = "fp32"  # on processors; int8 is faster, see docs for what it costs
    batch_tokens: int | None = Field(None, ge=1)  # of a model call; None: 512, as caches hold; GPU 8,192
    threshold: float = Field(0, ge=0, le=1)  # labels that score less are left out
    relations: str | None = None  # folder of a relation model: with one of entities it answers POST /triples
    relations_version: str | None = None  # what the folder holds; replicas load no other; None: any
    max_pairs: int = Field(
        45, ge=1
    )  # of entities of a text, the nearest: all of ten entities; seconds at most
    max_explain_words: int = Field(64, ge=2)  # and model rows to explain one text: seconds at most
    max_ongoing: int = Field(256, ge=2)  # requests in a replica: twice what a model call of short texts takes
    max_queued: int = Field(128, ge=0)  # requests that wait outside: a burst; above: 429
    body_timeout_s: float = Field(10, gt=0)  # for the whole body to come; above: 408
    request_timeout_s: float = Field(60, gt=0)  # from the first byte to the answer; above: 408
    api_keys: str | None = None  # file of react-ray key; None: whoever reaches the port may ask
    allowed_hosts: tuple[str, ...] = ()  # more names for a service on 127.0.0.1, as a proxy before it has
    cors_origins: tuple[Origin, ...] = ()  # sites whose pages may ask, as https://app.example.org; "*": all
    rate_limit: float | None = Field(None, gt=0)  # requests a second, a key (or address) and replica
    access_log: bool = True  # a line a request in the replicas' logs, without texts
    log_texts: bool = False  # and with them
    record: str | None = None  # folder for what was asked and answered, as parquet files by day
    record_texts: bool = False  # the texts too, not only their hashes
    start_timeout_s: float = Field(180, gt=0)  # until ready: a machine under load needs over a minute
    drain_timeout_s: float = Field(30, ge=0)  # for running requests when the service stops

    @property
    def tokens_per_call(self) -> int:
        """Tokens that a model call takes at most."""
        return self.batch_tokens or (8192 if self.gpus_per_replica else 512)

    @property
    def max_values(self) -> int:
        """JSON values in a request, or fields over gRPC: 4 for each text, and some for the rest."""
        return 4 * self.max_texts + 1000

    @model_validator(mode="after")
    def _room_to_grow(self) -> ServeConfig:
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError(
                f"max_replicas = {self.max_replicas}: less than the {self.replicas} replicas there always are"
            )
        return self

    @field_validator("host")
    @classmethod
    def _without_brackets(cls, host: str) -> str:
        if not host or host != host.strip():
            raise ValueError(f"host = {host!r}: give an address or a name, as 127.0.0.1, ::1 or 0.0.0.0")
        return host[1:-1] if host.startswith("[") and host.endswith("]") else host

    @field_validator("api_keys", "record", "relations")
    @classmethod
    def _from_here(cls, path: str | None) -> str | None:
        # replicas have a working folder of their own
        return path and str(Path(path).expanduser().absolute())

    @model_validator(mode="after")
    def _as_open_as_said(self) -> ServeConfig:
        if self.grpc_port is not None and self.host not in ("0.0.0.0", "::"):
            raise ValueError(
                f"grpc_port = {self.grpc_port}: Ray's gRPC proxy listens on all interfaces, and host = "
                f"{self.host!r} does not; give host=0.0.0.0 where that is wanted"
            )
        return self
