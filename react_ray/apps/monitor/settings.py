"""Settings of opinion monitoring."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, field_validator

from react_ray.apps.monitor.items import DAY, Span
from react_ray.config.hosting import HostConfig, absolute
from react_ray.config.sections.base import Settings

__all__ = ["NEGATIVE_LABELS", "MonitorConfig", "MonitorServeConfig", "SurgeSettings"]

NEGATIVE_LABELS = ("negative", "neg", "bearish", "负面", "消极", "负向", "差评", "negativo", "négatif")
"""Names of the label that surges are counted of, unless the setting ``negative`` names another."""


class SurgeSettings(Settings):
    """Detection of surges of negative texts."""

    false_alarms_per_month: float = Field(
        1.0, gt=0, le=30, description="Stated false alarms in 30 days, over all topics and sources together"
    )
    history: int = Field(56, ge=14, description="Days before that the expected level is the mean of")
    gap: int = Field(
        3, ge=0, description="Latest buckets left out of the level, so that a surge is not in it"
    )
    longest: int = Field(7, ge=1, description="Longest surge that is summed up, in buckets")
    min_texts: int = Field(
        5, ge=1, description="Fewest negative texts in the buckets of a surge; with fewer there is no alert"
    )
    quiet: int = Field(3, ge=1, description="Buckets without a surge after which one is a new one")
    max_series: int = Field(50, ge=1, description="Most pairs of topic and source watched, the largest first")
    simulations: int = Field(200, ge=20, description="Resampled histories that set the thresholds")


class MonitorConfig(Settings):
    """Settings of ``react-ray monitor``."""

    sentiment: str = Field(min_length=1, description="Folder of the classifier of sentiment")
    topic: str | None = Field(None, description="Folder of the classifier of topics; None: no topics")
    negative: str | None = Field(
        None,
        description="Sentiment that surges are counted of; None: the label that is named negative",
    )
    columns: dict[str, str] = Field({}, description="For columns with another name in the files, that name")
    bucket: Literal["hour", "day"] = Field("day", description="Length of time that texts are counted in")
    lateness_hours: float = Field(
        1.0, ge=0, description="Hours by which a text may be late before its bucket is closed"
    )
    ahead_hours: float = Field(
        24.0, ge=0, description="Hours by which a time may be ahead of the clock; later ones are rejected"
    )
    unsure_below: float = Field(0.5, ge=0, le=1, description="Score under which a sentiment is unsure")
    batch: int = Field(256, ge=1, le=10_000, description="Texts of one transaction")
    compact_rows: int = Field(10_000, ge=1, description="Labelled texts in the journal before they are moved")
    retention_days: float | None = Field(
        None, gt=0, description="Days after which texts are deleted, by their time; None: they are kept"
    )
    webhook: str | None = Field(
        None, pattern=r"^https?://", description="URL that alerts are sent to; None: they are only kept"
    )
    alert_texts: int = Field(10, ge=0, le=100, description="Most texts that an alert comes with")
    surge: SurgeSettings = Field(SurgeSettings(), description="Detection of surges")
    seed: int = Field(0, ge=0, description="Seed of every random choice")

    @field_validator("sentiment", "topic")
    @classmethod
    def _make_absolute(cls, path: str | None) -> str | None:
        return absolute(path)  # the process of the service has another working directory

    @property
    def span(self) -> Span:
        """Times that are accepted, before and after the present, in seconds."""
        days = math.inf if self.retention_days is None else self.retention_days
        return Span(days * DAY, self.ahead_hours * 3600)


class MonitorServeConfig(HostConfig):
    """Settings of ``react-ray monitor serve``."""

    max_items: int = Field(1_000, ge=1, description="Most items of a request")
    max_waiting: int = Field(
        100_000, ge=1, description="Most items without a label; further requests are answered 503"
    )
    max_buckets: int = Field(2_000, ge=1, description="Most buckets of a trend, the latest")
