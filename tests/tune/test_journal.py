from __future__ import annotations

from pathlib import Path

from react_ray.tune.journal import Journal


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    first = Journal(tmp_path / "t.jsonl")
    for lr, score in ((1, 0.5), (2, 0.9), (3, 0.9)):
        number = first.start({"lr": lr})
        first.report_score(number, {"lr": lr}, score, 2)
        first.end(number, rungs=2)
    assert Journal(tmp_path / "t.jsonl").trials == first.trials
    best = Journal(tmp_path / "t.jsonl").best()
    assert best is not None
    assert best.values == {"lr": 2}  # of equals the first


def test_a_trial_that_was_cut_off_begins_again_under_its_number(tmp_path: Path) -> None:
    killed = Journal(tmp_path / "t.jsonl")
    killed.start({"lr": 1})
    killed.start({"lr": 2})
    with (tmp_path / "t.jsonl").open("a") as file:
        file.write('{"number": 1, "val')  # the kill came while it was written
    again = Journal(tmp_path / "t.jsonl")
    assert [trial.values for trial in again.unfinished()] == [{"lr": 1}, {"lr": 2}]
    assert again.start({"lr": 2}) == 1
    assert again.start({"lr": 9}) == 2
    assert len(Journal(tmp_path / "t.jsonl").trials) == 3


def test_a_trial_that_failed_is_tried_again_by_the_next_command(tmp_path: Path) -> None:
    first = Journal(tmp_path / "t.jsonl")
    first.fail(first.start({"lr": 1}), "a disk is full\u2028or slow")
    assert [trial.status for trial in first.finished()] == ["failed"]
    again = Journal(tmp_path / "t.jsonl")
    assert again.finished() == []
    assert again.start({"lr": 1}) == 0
    again.report_score(0, {"lr": 1}, 0.5, 2)
    again.end(0, rungs=2)
    assert [(trial.status, trial.failure) for trial in Journal(tmp_path / "t.jsonl").finished()] == [
        ("complete", "")
    ]


def test_the_best_is_among_those_that_came_to_their_end(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "t.jsonl")
    ends = {}
    for name, score, rung, failure in (
        ("whole", 0.6, 5, ""),
        ("stopped", 0.9, 1, ""),
        ("failed", 0.0, 5, "the loss is nan"),
    ):
        number = journal.start({"name": name})
        journal.report_score(number, {"name": name}, score, rung, failure)
        ends[name] = journal.end(number, rungs=5).status
    lost = journal.start({"name": "lost"})
    ends["lost"] = journal.fail(lost, "its process died").status
    assert ends == {"whole": "complete", "stopped": "stopped", "failed": "failed", "lost": "failed"}
    best = journal.best()
    assert best is not None
    assert best.values == {"name": "whole"}
