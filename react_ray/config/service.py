"""Settings of the HTTP service of a model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from react_ray.config.hosting import HostConfig, absolute

__all__ = ["ServeConfig"]


class ServeConfig(HostConfig):
    """Settings of the HTTP service, loaded by :func:`react_ray.config.file.load_serve_config`."""

    grpc_port: int | None = Field(
        None, ge=1, le=65535, description="Port of gRPC, which listens on all interfaces; None: no gRPC"
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
    log_texts: bool = Field(False, description="Add the texts to the access log")
    record: str | None = Field(
        None, description="Folder for requests and answers, as parquet files by day; None: nothing is kept"
    )
    record_texts: bool = Field(False, description="Record the texts too, not only their hashes")
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

    @field_validator("record", "relations")
    @classmethod
    def _make_absolute(cls, path: str | None) -> str | None:
        return absolute(path)

    @model_validator(mode="after")
    def _check_grpc_host(self) -> ServeConfig:
        if self.grpc_port is not None and self.host not in ("0.0.0.0", "::"):
            raise ValueError(
                f"grpc_port = {self.grpc_port}: Ray's gRPC proxy listens on all interfaces, but host = "
                f"{self.host!r} does not; set host=0.0.0.0 to allow it"
            )
        return self
