"""What the command says of replicas that cannot be replaced."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ray.exceptions import RayActorError
from ray.serve.exceptions import RayServeException

from react_ray.serve.replicas import Replacements


@pytest.mark.parametrize("error", [RayActorError(), RayServeException("There is no Serve instance")])
def test_a_controller_that_does_not_answer_is_said_once(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    replacements = Replacements(["react-ray"], said.append)

    def fails() -> None:
        raise error

    for status in (fails, fails, lambda: SimpleNamespace(applications={})):
        monkeypatch.setattr("ray.serve.status", status)
        replacements.check()
    name = type(error).__name__
    assert said == [
        f"warning: Ray Serve does not tell how the replicas are ({name}); asked again",
        "all replicas run again",
    ]
