"""Drift detection: recent texts compared with the reference of the model."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from scipy.special import chdtrc

from react_ray.inference.reference import Reference, count

__all__ = ["Drift", "compare"]

WINDOW = 1000
FEWEST = 100
"""Texts below which nothing is said: ten bins want ten texts each."""

LEAST = 5
"""Texts to expect in a bin, for the chi-square test to hold (Cochran's rule)."""


@dataclass(frozen=True)
class Difference:
    """A shift of a distribution: its size ``index``, and the ``p_value`` of no shift."""

    index: float
    p_value: float


def compare(shares: NDArray[np.float64], total: int, counts: NDArray[np.int64]) -> Difference:
    """The population stability index of ``counts`` against ``shares`` of ``total`` texts.

    The index is sum((p - q) ln(p / q)); by custom 0.1 is a small shift and 0.25 a large
    one (Siddiqi, Credit Risk Scorecards, 2006). Where nothing has changed it is still
    about (bins - 1)(1/n + 1/m) for samples of n and m (Yurdakul and Naranjo, Statistical
    properties of the population stability index, Journal of Risk Model Validation 14(4),
    2020), so that much is taken off: what is left does not grow as windows get small.
    The p-value is that of the chi-square test of two samples.

    Nearly empty bins are merged first, so that a single unusual text is not a shift.
    """
    before, now = _joined(np.rint(np.asarray(shares) * total), counts)
    if len(before) < 2 or not (before + now).all():
        return Difference(0.0, 1.0)
    p, q = ((values + 0.5) / (values + 0.5).sum() for values in (before, now))  # no share is 0
    index = float(((q - p) * np.log(q / p)).sum())
    expected = (len(before) - 1) * (1 / before.sum() + 1 / now.sum())
    return Difference(max(0.0, index - expected), _chance(np.stack([before, now])))


def _chance(table: NDArray[np.float64]) -> float:
    """Compute the p-value of ``scipy.stats.chi2_contingency``, which is too slow (3 ms) for requests."""
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    return float(chdtrc(table.shape[1] - 1, ((table - expected) ** 2 / expected).sum()))


def _joined(*samples: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Merge the rarest bins until each has LEAST expected texts in the smaller sample."""
    table = np.stack(samples).astype(float)
    smaller = table.sum(1).min() / table.sum()
    while table.shape[1] > 2:
        table = table[:, np.argsort(-table.sum(0), kind="stable")]
        if table[:, -1].sum() * smaller >= LEAST:
            break
        table = np.column_stack([table[:, :-2], table[:, -2:].sum(1)])
    return tuple(table)


class Drift:
    """Window of the last texts of a replica, compared with the reference; a metrics collector."""

    def __init__(self, reference: Reference | None, clock: Callable[[], float] = time.time):
        self._reference = reference
        self._clock = clock
        self._window: deque[tuple[float, Collection[str], float, int]] = deque(maxlen=WINDOW)

    def add(self, names: Collection[str], score: float, tokens: int) -> None:
        """Add a text whose answer contains these classes."""
        if self._reference:
            self._window.append((self._clock(), set(names) or {""}, score, tokens))

    def differences(self) -> dict[str, Difference]:
        """Return the shifts of labels, scores and lengths; empty with too few texts."""
        reference = self._reference
        if reference is None or len(self._window) < FEWEST:
            return {}
        _, named, scores, lengths = zip(*self._window, strict=True)
        tally = Counter(name for names in named for name in names)
        every = dict.fromkeys([*reference.labels, *tally])  # such as "" where no text had no label before
        pairs = {
            "labels": (
                np.array([reference.labels.get(name, 0.0) for name in every]),
                np.array([tally[name] for name in every]),
            ),
            "scores": (np.array(reference.scores.shares), count(scores, reference.scores.edges)),
            "lengths": (np.array(reference.lengths.shares), count(lengths, reference.lengths.edges)),
        }
        return {of: compare(shares, reference.texts, counts) for of, (shares, counts) in pairs.items()}

    def collect(self) -> Iterator[Metric]:
        """Return the current gauges."""
        yield GaugeMetricFamily(
            "react_ray_drift_reference",
            "1 where the model's folder has a reference.json to compare with",
            value=self._reference is not None,
        )
        if self._reference is None:
            return
        yield GaugeMetricFamily("react_ray_drift_texts", "Texts in the window", value=len(self._window))
        age = self._clock() - self._window[0][0] if self._window else 0
        yield GaugeMetricFamily("react_ray_drift_window_seconds", "Age of the window's first text", value=age)
        index = GaugeMetricFamily(
            "react_ray_drift", "Population stability index against the training texts", labels=["of"]
        )
        p_value = GaugeMetricFamily(
            "react_ray_drift_p_value", "How often chance alone makes such a difference", labels=["of"]
        )
        for of, difference in self.differences().items():
            index.add_metric([of], difference.index)
            p_value.add_metric([of], difference.p_value)
        yield from (index, p_value)
