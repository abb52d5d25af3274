"""What a run does about room that a cluster lacks."""

from __future__ import annotations

import os

import pytest

from react_ray.cluster import session as module
from react_ray.cluster.resources import Node
from react_ray.cluster.session import Session
from react_ray.config.settings import ClusterConfig
from react_ray.errors import ClusterError, InputError

ONE, BOTH = [Node("a", "1", 2, 0)], [Node("a", "1", 2, 0), Node("b", "2", 2, 0)]


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[list[Node]]:
    """The nodes that are there at each count; the last stay."""
    found = [ONE, ONE, BOTH]
    monkeypatch.setattr(Session, "nodes", lambda _: found.pop(0) if len(found) > 1 else found[0])
    monkeypatch.setattr(module, "POLL_S", 0.01)
    return found


def session(address: str | None = "somewhere:6379") -> Session:
    return Session(ClusterConfig(address=address, workers=2, cpus_per_worker=2, use_gpu=False))


def test_a_lost_node_may_come_back(counts: list[list[Node]]) -> None:
    session().check_resources(wait_s=10)
    assert counts == [BOTH]


def test_the_wait_ends_with_what_is_missing(counts: list[list[Node]]) -> None:
    counts[:] = [ONE]
    with pytest.raises(ClusterError, match="asks for 4 CPU"):
        session().check_resources(wait_s=0.1)


def test_on_this_machine_nothing_comes_back(
    counts: list[list[Node]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ClusterError, match="asks for 4 CPU"):
        session(None).check_resources(wait_s=10)
    assert len(counts) == 2


def test_no_folder_for_ray_is_the_users_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/" + 70 * "x")
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with session(None) as run, pytest.raises(InputError, match="set RAY_TMPDIR to one that you can write to"):
        run.start()


def test_our_own_variables_are_set_whatever_the_shell_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REACT_RAY_FORWARDS", "of the shell")
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "of the shell")
    monkeypatch.delenv("REACT_RAY_HOST", raising=False)
    with module.environment(
        {"REACT_RAY_FORWARDS": "1", "RAY_SERVE_ENABLE_HA_PROXY": "1", "REACT_RAY_HOST": "::"}
    ):
        assert os.environ["REACT_RAY_FORWARDS"] == "1"
        assert os.environ["RAY_SERVE_ENABLE_HA_PROXY"] == "of the shell", "Ray's are the user's to set"
        assert os.environ["REACT_RAY_HOST"] == "::"
    assert os.environ["REACT_RAY_FORWARDS"] == "of the shell"
    assert "REACT_RAY_HOST" not in os.environ
