"""What Prometheus reads: counts of one replica, and the sum of them as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric

__all__ = ["CONTENT_TYPE", "Metrics", "render"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """The series of one replica."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "react_ray_requests", "Answered requests", ["route", "status"], registry=self._registry
        )
        self._latency = Histogram(
            "react_ray_request_seconds",
            "Time from request to answer",
            ["route"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._batch = Histogram(
            "react_ray_batch_texts", "Texts in a model call", buckets=TEXTS, registry=self._registry
        )
        self._model = Histogram(
            "react_ray_batch_seconds", "Time of a model call", buckets=SECONDS, registry=self._registry
        )
        self._labels = Counter(
            "react_ray_predictions", "Texts by their best label", ["label"], registry=self._registry
        )
        self._abstentions = Counter(
            "react_ray_abstentions", "Texts whose best label is below the threshold", registry=self._registry
        )

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one request; ``route`` is its template, never a path that a caller made up."""
        self._requests.labels(route, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def called(self, texts: int, seconds: float) -> None:
        """Count one model call."""
        self._batch.observe(texts)
        self._model.observe(seconds)

    def predicted(self, label: str) -> None:
        """Count one text whose best label is ``label``."""
        self._labels.labels(label).inc()

    def abstained(self) -> None:
        """Count one text that got no label."""
        self._abstentions.inc()

    def families(self) -> list[Metric]:
        """All series as they are now; can be sent to another process."""
        return list(self._registry.collect())


def render(replicas: Mapping[str, Iterable[Metric]]) -> bytes:
    """The series of all ``replicas`` (name → families) as text, told apart by the label replica."""
    merged: dict[str, Metric] = {}
    for replica, families in replicas.items():
        for family in families:
            known = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                if not sample.name.endswith("_created"):  # when a series began: noise to most readers
                    known.samples.append(sample._replace(labels={"replica": replica, **sample.labels}))
    return generate_latest(_Families(merged.values()))


class _Families:
    """What ``generate_latest`` asks of a registry."""

    def __init__(self, families: Iterable[Metric]):
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
