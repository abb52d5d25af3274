"""Measure the delay of alerts on dated rows with injected surges, against plain rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from react_ray import InputError, read_rows
from react_ray.apps.intervals import mean_intervals
from react_ray.apps.monitor.items import BUCKETS, parse_time
from react_ray.apps.monitor.labels import negative_label
from react_ray.apps.monitor.plain import RULES
from react_ray.apps.monitor.settings import SurgeSettings
from react_ray.apps.monitor.surge import Counts, Detector, alarms_a_month, largest_share, warm_buckets
from react_ray.config.file import load_settings
from react_ray.config.sections.base import Settings
from react_ray.console.reporter import Reporter
from react_ray.folders import replace_file

__all__ = ["OURS", "EvaluateConfig", "EvaluationResult", "evaluate", "load_config"]

OURS = "ours"
Floats = NDArray[np.float64]
Statistic = Callable[[Counts], Floats]
LEAST_MEAN = 0.05


class EvaluateConfig(Settings):
    """Settings of ``react-ray monitor evaluate``."""

    columns: dict[str, str] = Field({}, description="For columns with another name in the files, that name")
    negative: str | None = Field(None, description="Label that is negative; None: one that is named so")
    bucket: str = Field("day", pattern="^(day|hour)$", description="Length of time that rows are counted in")
    sizes: tuple[float, ...] = Field(
        (0.5, 1.0, 2.0),
        min_length=1,
        description="Negative texts added, in means of the weeks before",
    )
    days: int = Field(7, ge=1, description="Length of a surge")
    repetitions: int = Field(300, ge=2, description="Surges of each size, at times that the seed draws")
    surge: SurgeSettings = Field(SurgeSettings(), description="Detection of surges")
    seed: int = Field(0, ge=0, description="Seed of every random choice")


@dataclass(frozen=True)
class EvaluationResult:
    """Figures of the detector and the plain rules, as in metrics.json."""

    folder: Path
    metrics: Mapping[str, Any]

    def summary(self) -> str:
        """Return a table: delay and false alarms of each method."""
        unit, rate = self.metrics["bucket"], self.metrics["stated_false_alarms_per_month"]
        lines = [
            f"second half, surges of {self.metrics['days']} days, mean delay in {unit}s (one that is not "
            "found counts as its whole length and one more)",
            f"  {'':<14}{'equal false alarms':>20}{'tuned on first half':>21}{'its false alarms':>18}",
        ]
        for name, delay in self.metrics["delay"].items():
            tuned = self.metrics["tuned_on_first_half"][name]
            mean_delay = np.mean([size["delay"] for size in tuned["sizes"].values()])
            lines.append(
                f"  {name:<14}{delay:>20.2f}{mean_delay:>21.2f}{tuned['false_alarms_per_month']:>18.2f}"
            )
        lines.append(f"  stated false alarms in 30 days: {rate:g}; figures: {self.folder / 'metrics.json'}")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Surges:
    """Parts of the history that end with a surge, one a row, with the tie-breaks of their buckets."""

    counts: Counts
    ties: Floats
    size: float


def load_config(overrides: Iterable[str], flags: Mapping[str, Any]) -> EvaluateConfig:
    """Load the settings of an evaluation: ``key=value``, then flags by dotted key. Raises ConfigError."""
    return load_settings(EvaluateConfig, overrides, flags)


def evaluate(config: EvaluateConfig, input: str, folder: Path, *, quiet: bool = False) -> EvaluationResult:
    """Replay dated rows by time, inject surges into the second half, and write ``folder/metrics.json``.

    Raises InputError if rows cannot be used, or span too little time.
    """
    reporter = Reporter(quiet)
    with reporter.step("read"):
        counts, record = _read(config, input)
    with reporter.step("replay"):
        metrics = {**record, **measure(counts, config)}
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(metrics, ensure_ascii=False, indent=1) + "\n"
    replace_file(folder / "metrics.json", lambda path: path.write_text(text, encoding="utf-8"))
    return EvaluationResult(folder, metrics)


def _read(config: EvaluateConfig, input: str) -> tuple[Counts, dict[str, Any]]:
    """Return the counts of all buckets, and what was read."""
    times, labels, rejected = [], [], 0
    for row in read_rows(input, ["label", "time"], [], config.columns):
        try:
            if row.reason or not isinstance(row.cells.get("label"), str):
                raise ValueError
            times.append(parse_time(row.cells.get("time")))
            labels.append(row.cells["label"])
        except ValueError:
            rejected += 1
    if not times:
        raise InputError(f"{input}: no row has a label and a time; --column label=NAME names another column")
    negative = negative_label(sorted(set(labels)), config.negative)
    length = BUCKETS[config.bucket]
    places = (np.array(times) // length).astype(np.int64)
    places -= places.min()
    total = np.bincount(places).astype(float)
    negatives = np.bincount(places, np.array(labels) == negative, len(total)).astype(float)
    record = {
        "rows": len(times),
        "rejected": rejected,
        "negative": negative,
        "negatives": int(negatives.sum()),
    }
    return Counts(total, negatives, BUCKETS["day"] // length), record


def measure(counts: Counts, config: EvaluateConfig) -> dict[str, Any]:
    """Tune all methods on the first half, and measure them on the second, with and without surges."""
    middle, per_day, rate = len(counts) // 2, counts.per_day, config.surge.false_alarms_per_month
    detector = Detector.fit(counts[:middle], config.surge, rate, config.seed)
    if detector is None:
        least = 4 * warm_buckets(per_day, config.surge)
        raise InputError(f"the rows span {len(counts):,} {config.bucket}s; at least {least:,} are needed")
    most = (len(counts) - middle - 1) // per_day
    if config.days > most:
        raise InputError(
            f"days={config.days}: surges are injected into the second half of the rows, which has room for "
            f"days={most} at most; give a lower number, or rows of more time"
        )
    methods: dict[str, Statistic] = {OURS: detector.statistic, **RULES}
    draw = np.random.default_rng(config.seed)
    ties = draw.random(len(counts))
    values = {name: _with_ties(name, method(counts), ties) for name, method in methods.items()}
    warm = warm_buckets(per_day, config.surge)
    first = {name: _threshold(value[warm:middle], config, per_day) for name, value in values.items()}
    first[OURS] = 1.0  # set by resampling the first half, not by its alarms
    second = {name: _threshold(value[middle:], config, per_day) for name, value in values.items()}
    surges = [_inject(counts, ties, middle, size, config, draw) for size in config.sizes]
    delays = {
        (name, surge.size): _with_ties(name, method(surge.counts), surge.ties)[..., -config.days * per_day :]
        for name, method in methods.items()
        for surge in surges
    }

    def judged(thresholds: Mapping[str, float]) -> dict[str, Any]:
        delays_of = {key: _delays(value, thresholds[key[0]]) for key, value in delays.items()}
        return {name: _figures(name, delays_of, values, thresholds[name], middle, config) for name in methods}

    equal = judged(second)
    return {
        "bucket": config.bucket,
        "buckets": len(counts),
        "days": config.days,
        "stated_false_alarms_per_month": rate,
        "delay": {
            name: float(np.mean([size["delay"] for size in figures["sizes"].values()]))
            for name, figures in equal.items()
        },
        "false_alarms_per_month": {
            name: figures["false_alarms_per_month"] for name, figures in equal.items()
        },
        "equal_false_alarms": equal,
        "tuned_on_first_half": judged(first),
        "detector": {"alpha": detector.alpha, "rho": detector.rho, "thresholds": list(detector.thresholds)},
        "seed": config.seed,
    }


def _inject(
    counts: Counts, ties: Floats, middle: int, size: float, config: EvaluateConfig, draw: np.random.Generator
) -> _Surges:
    """Return surges at random places of the second half, each with the history before it."""
    per_day = counts.per_day
    length = config.days * per_day
    before = (config.surge.history + 7) * per_day + config.surge.gap + config.surge.longest
    before = min(before, middle)
    starts = draw.integers(middle, len(counts) - length, config.repetitions)
    places = starts[:, None] + np.arange(-before, length)
    total, negative = counts.total[places].copy(), counts.negative[places].copy()
    level = np.maximum(negative[:, :before].mean(-1), LEAST_MEAN / per_day)
    extra = draw.poisson(size * level[:, None], (config.repetitions, length))
    total[:, -length:] += extra
    negative[:, -length:] += extra
    return _Surges(Counts(total, negative, per_day), ties[places], size)


def _with_ties(name: str, values: Floats, ties: Floats) -> Floats:
    """Break ties of equal values at random, so that any rate of false alarms can be set."""
    return values + ties * (1.0 if name == "fixed_count" else 1e-9)


def _threshold(values: Floats, config: EvaluateConfig, per_day: int) -> float:
    """Return the lowest threshold with no more false alarms than stated."""
    ordered = np.sort(values)

    def at(share: float) -> float:
        return float(ordered[int((1 - share) * (len(ordered) - 1))])

    def rate_at(share: float) -> float:
        return alarms_a_month(values > at(share), config.surge.quiet, per_day)

    return at(largest_share(rate_at, config.surge.false_alarms_per_month))


def _delays(values: Floats, threshold: float) -> Floats:
    """Return the bucket of a surge, from 1, in which it is found; the one after its end if it is not."""
    over = values > threshold
    return np.where(over.any(-1), over.argmax(-1) + 1.0, over.shape[-1] + 1.0)


def _figures(
    name: str,
    all_delays: Mapping[tuple[str, float], Floats],
    values: Mapping[str, Floats],
    threshold: float,
    middle: int,
    config: EvaluateConfig,
) -> dict[str, Any]:
    per_day = BUCKETS["day"] // BUCKETS[config.bucket]
    sizes = {}
    for size in config.sizes:
        delays, ours = all_delays[name, size], all_delays[OURS, size]
        sizes[f"{size:g}"] = {
            "delay": float(delays.mean()),
            "found": float((delays <= config.days * per_day).mean()),
            "ours_earlier_by": float((delays - ours).mean()),
            "interval": mean_intervals({"days": delays - ours}, config.seed)["days"],
        }
    quiet = config.surge.quiet
    return {
        "threshold": threshold,
        "false_alarms_per_month": alarms_a_month(values[name][middle:] > threshold, quiet, per_day),
        "false_alarms_per_month_first_half": alarms_a_month(
            values[name][:middle] > threshold, quiet, per_day
        ),
        "sizes": sizes,
    }
