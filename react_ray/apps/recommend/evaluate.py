"""Evaluate a recommender and what it is compared with, in one protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from react_ray import InputError
from react_ray.apps.recommend.choice import all_recommenders, chosen_of
from react_ray.apps.recommend.features import Sources
from react_ray.apps.recommend.folder import Built, load, write_json
from react_ray.apps.recommend.measure import leads, measure
from react_ray.apps.recommend.recommenders import Recommender
from react_ray.apps.recommend.report import as_page, as_table
from react_ray.apps.recommend.split import Query, protocol
from react_ray.console.reporter import Reporter, quiet_libraries
from react_ray.folders import replace_file

__all__ = ["OURS", "EvaluationResult", "evaluate"]

OURS = "ours"


@dataclass(frozen=True)
class EvaluationResult:
    """Figures of all recommenders, as in metrics.json."""

    folder: Path
    metrics: Mapping[str, Any]

    def summary(self) -> str:
        """Return the table of all recommenders."""
        return f"{as_table(self.metrics)}\n\nfigures: {self.folder / 'metrics.json'}, report.html"


def evaluate(folder: Path, *, verbose: bool = False, quiet: bool = False) -> EvaluationResult:
    """Measure the recommender in ``folder`` on its test part; writes metrics.json and report.html.

    Raises InputError if there is no complete recommender.
    """
    quiet_libraries(verbose)
    reporter, built = Reporter(quiet), load(folder)
    if built.changed:
        raise InputError(f"{folder}: users were forgotten since the build; build again to measure")
    queries: dict[str, dict[str, Any]] = {}
    ahead: dict[str, dict[str, Any]] = {}
    for name, query, sources in _queries(built):
        with reporter.step(name):
            results = {
                method: measure(query, recommender, built.config.seed)
                for method, recommender in _recommenders(built, sources).items()
            }
        queries[name] = {method: measured.figures(query) for method, measured in results.items()}
        ahead[name] = {method: leads(results[OURS], results[method]) for method in results if method != OURS}
    metrics = {
        "test": queries["warm"][OURS],
        "protocol": protocol(built.interactions, built.config.cold_share, built.config.seed),
        "queries": queries,
        "leads": ahead,
        "seed": built.config.seed,
        "tuned": built.tuned.model_dump(mode="json"),
    }
    replace_file(folder / "metrics.json", lambda path: write_json(path, metrics))
    page = as_page(metrics)
    replace_file(folder / "report.html", lambda path: path.write_text(page, encoding="utf-8"))
    return EvaluationResult(folder, metrics)


def _queries(built: Built) -> Iterator[tuple[str, Query, Sources]]:
    """Yield each set of questions with the recommenders that are fitted for it."""
    split = built.split()
    warm = split.test()
    yield "warm", warm, built.sources(warm.train)
    users = split.new_users()
    if len(users):
        yield "new_users", users, built.sources(users.train)
    items = split.new_items()
    if len(items):
        sources = built.sources(items.train)
        yield "new_items", items, sources
        yield "new_items_among_new", replace(items, only=split.cold_items()), sources


def _recommenders(built: Built, sources: Sources) -> dict[str, Recommender]:
    ours = chosen_of(sources, built.rankers, built.tuned)
    return {OURS: ours, **all_recommenders(sources, built.rankers, built.tuned)}
