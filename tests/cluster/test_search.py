from __future__ import annotations

import json
import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest

from react_ray.cluster.search import EvaluatedTrial, search
from react_ray.cluster.session import Session
from react_ray.config.settings import ClusterConfig, Range, TuneConfig
from react_ray.errors import ClusterError
from react_ray.tune.journal import Journal

pytestmark = pytest.mark.usefixtures("ray_cluster")
SPACE = {"x": Range(low=0.0, high=1.0), "kind": ["good", "bad"]}


class Heard(Journal):
    """A journal that listens, as the board of a search does."""

    def end(self, number: int, failure: Any = None, work: Any = None) -> Any:  # type: ignore[override]
        return super().end(number, 3) if failure is None else self.fail(number, failure)


def climb(values: dict[str, Any], report: Any, start: Path | None = None) -> None:
    """Tells its worth at three rungs."""
    for rung in (1, 2, 3):
        report((values["x"] if values["kind"] == "good" else 0.1 * values["x"]) * rung / 3, rung)


def breaks(values: dict[str, Any], report: Any, start: Path | None) -> None:
    report(0.0, 3, "too bad") if values["kind"] == "bad" else climb(values, report)


def dies_once(values: dict[str, Any], report: Any, start: Path | None) -> None:
    mark = Path(values["kind"])
    if not mark.exists():
        mark.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    climb(values, report)


def grow(values: dict[str, Any], report: Any, start: Path | None) -> None:
    """Its worth is the sum of x over the rungs, its own or those of the trial it goes on from."""
    rung, total = json.loads((start / "sum").read_text()) if start else (0, 0.0)
    while rung < 3:
        rung, total = rung + 1, total + values["x"]
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "sum").write_text(json.dumps([rung, total]))
            report(total, rung, checkpoint=Path(folder))


def run(trial: Any, tmp_path: Path, config: TuneConfig, space: Any = SPACE, **more: Any) -> Heard:
    heard = Heard(tmp_path / "trials.jsonl")
    session = Session(ClusterConfig(use_gpu=False, max_failures=1))
    search(trial, space, config, rungs=3, folder=tmp_path / "ray", session=session, listener=heard, **more)
    return heard


def test_trials_that_lag_behind_are_stopped_and_the_best_is_found(tmp_path: Path) -> None:
    heard = run(climb, tmp_path, TuneConfig(trials=12, concurrent=2), first=[{"x": 0.5, "kind": "good"}])
    assert {"x": 0.5, "kind": "good"} in [heard.trials[number].values for number in (0, 1)]
    ends = [trial.status for trial in heard.finished()]
    assert len(ends) == 12
    assert {"complete", "stopped"} == {*ends}
    best = heard.best()
    assert best is not None
    assert best.score == max(
        trial.values["x"] for trial in heard.finished() if trial.values["kind"] == "good"
    )


def test_a_population_goes_on_from_its_better_half_with_other_values(tmp_path: Path) -> None:
    space, first = {"x": SPACE["x"]}, [{"x": 0.01}, {"x": 0.5}, {"x": 0.02}, {"x": 0.6}]
    config = TuneConfig(trials=4, scheduler="pbt", concurrent=4)
    heard = run(grow, tmp_path, config, space=space, first=first)
    assert [trial.status for trial in heard.finished()] == ["complete"] * 4
    scores = sorted(trial.score or 0.0 for trial in heard.finished())
    assert scores[0] > 0.05  # alone the weakest would have 0.03: it took over what a strong one had
    assert all(0.0 <= trial.values["x"] <= 1.0 for trial in heard.finished())


def test_a_trial_that_fails_does_not_end_the_search(tmp_path: Path) -> None:
    first = [{"x": 0.2, "kind": "bad"}, {"x": 0.3, "kind": "good"}]
    heard = run(breaks, tmp_path, TuneConfig(trials=2, scheduler="fifo"), first=first)
    told = {trial.values["kind"]: (trial.status, trial.failure) for trial in heard.finished()}
    assert told == {"bad": ("failed", "too bad"), "good": ("complete", "")}


def test_a_trial_whose_process_dies_is_tried_again(tmp_path: Path) -> None:
    name = str(tmp_path / "mark")
    heard = run(
        dies_once,
        tmp_path,
        TuneConfig(trials=1),
        space={"x": SPACE["x"], "kind": [name, "good"]},
        first=[{"x": 0.9, "kind": name}],
    )
    assert (tmp_path / "mark").exists()
    assert [trial.status for trial in heard.finished()] == ["complete"]


def test_trials_of_an_earlier_session_count(tmp_path: Path) -> None:
    known = [EvaluatedTrial({"x": 0.9, "kind": "good"}, 0.9), EvaluatedTrial({"x": 0.1, "kind": "bad"}, None)]
    assert len(run(climb, tmp_path, TuneConfig(trials=3), evaluated=known).finished()) == 1
    assert len(run(climb, tmp_path / "b", TuneConfig(trials=2), evaluated=known).finished()) == 0


def test_more_than_any_node_has_is_refused_at_once(tmp_path: Path) -> None:
    session = Session(ClusterConfig(use_gpu=False, cpus_per_worker=64))
    with pytest.raises(ClusterError, match="64 CPU"):
        search(
            climb,
            SPACE,
            TuneConfig(),
            rungs=3,
            folder=tmp_path,
            session=session,
            listener=Heard(tmp_path / "t"),
        )
