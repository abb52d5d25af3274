"""Jobs: addresses, words, exit codes, and what is said before anything is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.job_submission import JobStatus

from react_ray.cli import main
from react_ray.cluster import submit
from react_ray.cluster.submit import entry_command, exit_code, job_server
from react_ray.errors import ClusterError, InputError


@pytest.mark.parametrize(
    ("given", "environ", "server"),
    [
        (None, {}, "http://127.0.0.1:8265"),
        ("https://ray.example/", {}, "https://ray.example"),
        ("head:8265", {}, "http://head:8265"),
        ("http://a:1", {"RAY_API_SERVER_ADDRESS": "http://b:2"}, "http://a:1"),
        (None, {"RAY_API_SERVER_ADDRESS": "http://b:2", "RAY_ADDRESS": "http://c:3"}, "http://b:2"),
        (None, {"RAY_ADDRESS": "http://c:3"}, "http://c:3"),
        (None, {"RAY_ADDRESS": "c:6379"}, "http://127.0.0.1:8265"),
    ],
)
def test_where_jobs_are_sent(given: str | None, environ: dict[str, str], server: str) -> None:
    assert job_server(given, environ) == server


@pytest.mark.parametrize("given", ["auto", "ray://head:10001", "http://", "http://a:port"])
def test_an_address_that_takes_no_jobs_is_an_error(given: str) -> None:
    with pytest.raises(ClusterError, match="URL of the cluster's dashboard"):
        job_server(given, {})


def test_an_error_shows_no_password_of_the_address() -> None:
    with pytest.raises(ClusterError) as caught:
        job_server("ray://me:secret@head:10001", {})
    assert "secret" not in str(caught.value)


def test_the_words_reach_the_command_as_they_are() -> None:
    assert entry_command(["run", "a b.yaml", "x={}"]) == "python -m react_ray.cli run 'a b.yaml' 'x={}'"
    words = ["python", "jobs/run_pipeline.py", "--seed", "1"]
    assert entry_command(words) == "python jobs/run_pipeline.py --seed 1"
    with pytest.raises(InputError, match="password") as caught:
        entry_command(["run", "--labeled", "s3://key:secret@bucket/labels.csv"])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "code", "message", "expected"),
    [
        ("SUCCEEDED", 0, None, 0),
        ("FAILED", 2, "Job entrypoint command failed with exit code 2, last available logs", 2),
        ("FAILED", None, "Job entrypoint command failed with exit code 3. No logs available.", 3),
        ("FAILED", -9, "Job entrypoint command failed with exit code -9. No logs available.", 137),
        ("STOPPED", None, None, 143),
    ],
)
def test_exit_codes_are_those_of_the_command(
    status: str, code: int | None, message: str | None, expected: int
) -> None:
    assert exit_code(status, code, message) == expected


def test_a_job_that_never_ran_is_an_error_of_the_cluster() -> None:
    with pytest.raises(ClusterError, match="runtime_env setup failed"):
        exit_code("FAILED", None, "runtime_env setup failed: no space left on device")
    lost = "failed with exit code 1, last available logs\npython: No module named react_ray"
    with pytest.raises(ClusterError, match="install it on every node"):
        exit_code("FAILED", 1, lost)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (
            ["--address", "http://127.0.0.1:1", "check", "--labeled", "/a.csv"],
            4,
            ["nothing answers", "127.0.0.1:1"],
        ),
        (["run", "--labelled", "/a.csv"], 2, ["--labelled"]),
        (["frobnicate"], 2, ["frobnicate", "expected one of run, demo"]),
        (["submit", "run"], 2, ["cannot be submitted"]),
        (["run", "--labeled", "/a.csv", "--address", "auto"], 2, ["before the command"]),
        (["--", "run", "--labeled", "mine.csv"], 2, ["mine.csv", "is not sent with the job"]),
        (["--working-dir", "nowhere", "run"], 2, ["nowhere", "no such folder"]),
        (["run", "--help"], 0, ["--labeled"]),
        ([], 2, ["COMMAND"]),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(
    arguments: list[str],
    code: int,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "mine.csv").write_text("text,label\n")
    monkeypatch.chdir(tmp_path)
    assert main(["submit", *arguments]) == code
    printed = capsys.readouterr()
    assert all(word in printed.out + printed.err for word in words)


class Breaking:
    """A job server whose connection breaks ``times`` times, after ``silence_s`` without a word of the job."""

    def __init__(self, times: int, silence_s: float):
        self.left, self.silence_s = times, silence_s

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        yield "one\n"
        await asyncio.sleep(self.silence_s)
        if self.left:
            self.left -= 1
            raise RuntimeError("the connection was closed")
        yield "two\n"

    def get_job_info(self, job: str) -> SimpleNamespace:
        return SimpleNamespace(status=JobStatus.SUCCEEDED)


def test_a_connection_that_breaks_after_long_silence_is_taken_up_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(submit, "RETRY_S", 0.5)
    submit._follow_output(Breaking(times=1, silence_s=0.8), "job", "http://127.0.0.1:8265")
    assert capsys.readouterr().out == "one\ntwo\n"


def test_a_server_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Away(Breaking):
        async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
            raise ConnectionError("refused")
            yield ""

    monkeypatch.setattr(submit, "RETRY_S", 0.5)
    with pytest.raises(ClusterError, match=r"(?s)refused.*the job goes on"):
        submit._follow_output(Away(times=0, silence_s=0), "job", "http://127.0.0.1:8265")
