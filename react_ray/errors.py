"""Errors a user can act on, each with the exit code the command line gives."""

from __future__ import annotations

from react_ray.config.masking import mask

__all__ = [
    "ClusterError",
    "ConfigError",
    "DiskFullError",
    "InputError",
    "ReactRayError",
    "ServiceError",
    "TrainingError",
]


class ReactRayError(Exception):
    """Base of every error raised on purpose; its text is written for the user, without secrets."""

    exit_code = 1

    def __init__(self, *told: object):
        super().__init__(*(mask(part) if isinstance(part, str) else part for part in told))


class InputError(ReactRayError):
    """The data given cannot be used as it is."""

    exit_code = 2


class ConfigError(InputError):
    """A setting is unknown, or has a value that is not allowed."""


class DiskFullError(ReactRayError):
    """What was done could not be written."""


class TrainingError(ReactRayError):
    """A worker failed; the text holds its first traceback."""

    exit_code = 3


class ClusterError(ReactRayError):
    """The cluster is not reachable or lacks what was asked for."""

    exit_code = 4


class ServiceError(ReactRayError):
    """A service did not give an answer.

    Attributes
    ----------
    status
        Of HTTP; None where no answer came.
    message
        What the service said, or what happened on the way.
    retry_after
        Seconds after which the service wants to be asked again, where it said so.
    """

    def __init__(self, message: str, status: int | None = None, retry_after: float | None = None):
        super().__init__(message if status is None else f"{message} (HTTP {status})")
        self.message = mask(message)
        self.status = status
        self.retry_after = retry_after
