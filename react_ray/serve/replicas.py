"""What the command says of its replicas while they serve."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

__all__ = ["problem_of", "reason_of", "watch"]

LOOK_EVERY_S = 2.0


def watch(applications: Sequence[str], say: Callable[[str], None]) -> None:
    """Look after the replicas until the process is stopped, and say once what keeps one from starting."""
    said: dict[str, str | None] = {}
    while True:
        for application in applications:
            problem = problem_of(application)
            if problem != said.get(application):
                said[application] = problem
                say(
                    f"warning: a replica cannot be replaced: {problem}"
                    if problem
                    else "all replicas run again"
                )
        time.sleep(LOOK_EVERY_S)


def problem_of(application: str) -> str | None:
    """Why a replica of the application does not start, in words; None where none fails."""
    from ray import serve as ray_serve

    status = ray_serve.status().applications.get(application)
    if status is None:
        return None
    told = [deployment.message for deployment in status.deployments.values() if "Error" in deployment.message]
    return reason_of(told[0]) if told else None


def reason_of(message: str) -> str:
    """The error at the end of a traceback, or the message where there is none."""
    errors = [line for line in message.splitlines() if "Error: " in line or "Exception: " in line]
    return errors[-1].rpartition("InputError: ")[2].strip() if errors else message
