"""Prometheus metrics: those of one replica, and the sum over replicas as text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["CONTENT_TYPE", "ReplicaMetrics", "RequestMetrics", "render"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)


class RequestMetrics:
    """Metrics of the requests and the process of one replica."""

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
        self._running = Gauge(
            "react_ray_requests_running", "Requests in the replica, this one too", registry=self._registry
        )

    def begun(self) -> None:
        """Count a running request, until ``answered``."""
        self._running.inc()

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request; ``route`` is a template, never a path of a caller."""
        self._running.dec()
        self._requests.labels(route, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Call ``value`` whenever the metrics are read."""
        Gauge(name, meaning, registry=self._registry).set_function(value)

    def add(self, collector: Collector) -> None:
        """Add a collector, which computes metrics when they are read."""
        self._registry.register(collector)

    def families(self) -> list[Metric]:
        """Return all current metrics in a form that can be sent to another process."""
        return list(self._registry.collect())


class ReplicaMetrics(RequestMetrics):
    """Metrics of one replica with a model."""

    def __init__(self) -> None:
        super().__init__()
        self._batch = Histogram(
            "react_ray_batch_texts", "Texts in a model call", buckets=TEXTS, registry=self._registry
        )
        self._model = Histogram(
            "react_ray_batch_seconds", "Time of a model call", buckets=SECONDS, registry=self._registry
        )
        self._labels = Counter(
            "react_ray_predictions",
            "Texts by the classes that their answers name",
            ["label"],
            registry=self._registry,
        )
        self._scores = Histogram(
            "react_ray_top_score", "Score of the answer", buckets=SHARES, registry=self._registry
        )
        self._tokens = Counter("react_ray_tokens", "Tokens of answered texts", registry=self._registry)
        self._cut_texts = Counter(
            "react_ray_cut_texts", "Texts longer than the model's input", registry=self._registry
        )
        self._cut_tokens = Counter(
            "react_ray_cut_tokens",
            "Tokens that the model did not read; a text counts with up to 4 inputs of the model",
            registry=self._registry,
        )
        self._request_texts = Histogram(
            "react_ray_request_texts", "Texts in a request", buckets=TEXTS, registry=self._registry
        )
        self._abstentions = Counter(
            "react_ray_abstentions",
            "Texts of whose answer all is below the threshold",
            registry=self._registry,
        )

    def called(self, texts: int, seconds: float) -> None:
        """Count a model call."""
        self._batch.observe(texts)
        self._model.observe(seconds)

    def received(self, texts: int) -> None:
        """Count the texts of a request."""
        self._request_texts.observe(texts)

    def cut(self, texts: int, tokens: int) -> None:
        """Count texts of which the model reads only a part, and the tokens that it does not read."""
        self._cut_texts.inc(texts)
        self._cut_tokens.inc(tokens)

    def predicted(self, names: Collection[str], score: float, tokens: int) -> None:
        """Count a text whose answer contains these classes; one without counts as ""."""
        for name in set(names) or ("",):
            self._labels.labels(name).inc()
        self._scores.observe(score)
        self._tokens.inc(tokens)

    def abstained(self) -> None:
        """Count a text without a label."""
        self._abstentions.inc()


def render(replicas: Mapping[str, Iterable[Metric]], silent: int = 0) -> bytes:
    """Format the metrics of all ``replicas`` (name → families) as text, with the label replica.

    ``silent`` is the number of replicas without an answer.
    """
    missing = GaugeMetricFamily(
        "react_ray_replicas_silent", "Replicas whose series are missing here", value=silent
    )
    merged: dict[str, Metric] = {missing.name: missing}
    for replica, families in replicas.items():
        for family in families:
            merged_family = merged.setdefault(
                family.name, Metric(family.name, family.documentation, family.type)
            )
            for sample in family.samples:
                if not sample.name.endswith("_created"):  # when a series began: noise to most readers
                    merged_family.samples.append(
                        sample._replace(labels={"replica": replica, **sample.labels})
                    )
    return generate_latest(_Families(merged.values()))


class _Families:
    """Registry interface that ``generate_latest`` needs."""

    def __init__(self, families: Iterable[Metric]):
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
