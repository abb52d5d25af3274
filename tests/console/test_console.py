"""Progress where there is no terminal: lines with the time that is left."""

from __future__ import annotations

import re

import pytest

from react_ray.console.reporter import Reporter


def test_the_time_left_is_that_of_the_phase_at_hand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr("react_ray.console.reporter.time.monotonic", lambda: now)
    with Reporter().step("prepare") as progress:
        for files in range(1, 5):  # 100 s a file
            now += 100
            progress(files, 4, "parts, 10 rows,")
        for rows in range(0, 60_000, 10_000):  # then 10,000 rows in 20 s
            now += 20
            progress(rows, 60_000, "rows compared,")
    told = re.findall(r"prepare: (\S+) .*about (\d+) s left", capsys.readouterr().err)
    assert told[:4] == [("1/4", "300"), ("2/4", "200"), ("3/4", "100"), ("4/4", "0")]
    assert told[4:] == [
        (f"{rows}/60000", str((60_000 - rows) // 500)) for rows in range(10_000, 60_000, 10_000)
    ]
