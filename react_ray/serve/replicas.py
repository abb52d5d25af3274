"""Reasons why a replica does not start, as messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

__all__ = ["Replacements", "problem_of", "reason_of"]


class Replacements:
    """Reporter of replicas that do not start: warns once, and once more when all run again."""

    def __init__(self, applications: Sequence[str], say: Callable[[str], None]):
        self._applications, self._say = applications, say
        self._warnings: dict[str, str | None] = {}

    def check(self) -> None:
        """Check the replicas of Ray Serve."""
        for application in self._applications:
            warning = _warning_of(application)
            if warning != self._warnings.get(application):
                self._warnings[application] = warning
                self._say(warning or "all replicas run again")


def _warning_of(application: str) -> str | None:
    """Return a warning about the application's replicas; None if there is no problem."""
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    try:
        problem = problem_of(application)
    except (RayError, RayServeException) as error:  # its controller is being started again, for one
        return f"warning: Ray Serve does not tell how the replicas are ({type(error).__name__}); asked again"
    return f"warning: a replica cannot be replaced: {problem}" if problem else None


def problem_of(application: str) -> str | None:
    """Return why a replica of the application does not start; None if none fails."""
    from ray import serve as ray_serve

    status = ray_serve.status().applications.get(application)
    if status is None:
        return None
    messages = [d.message for d in status.deployments.values() if "Error" in d.message]
    return reason_of(messages[0]) if messages else None


def reason_of(message: str) -> str:
    """Return the error at the end of a traceback, or the whole message without one."""
    errors = [line for line in message.splitlines() if "Error: " in line or "Exception: " in line]
    return errors[-1].rpartition("InputError: ")[2].strip() if errors else message
