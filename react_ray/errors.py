"""Exceptions of the package, each with its exit code on the command line."""

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
    """Base class of all exceptions of the package; secrets in the message are masked.

    Example
    -------
    >>> str(ReactRayError("cannot read s3://KEY:SECRET@bucket/a.csv"))
    'cannot read s3://***@bucket/a.csv'
    """

    exit_code = 1

    def __init__(self, *message: object):
        super().__init__(*(mask(part) if isinstance(part, str) else part for part in message))


class InputError(ReactRayError):
    """Input data or arguments cannot be used; the message says which and how to correct them.

    Example
    -------
    >>> import react_ray
    >>> try:
    ...     react_ray.load("nowhere")
    ... except react_ray.InputError as error:  # doctest: +SKIP
    ...     print(error)
    """

    exit_code = 2


class ConfigError(InputError):
    """A setting is unknown or has an invalid value; the message has a line for each.

    Example
    -------
    >>> import react_ray
    >>> try:
    ...     react_ray.load_config(overrides=["sead=1"], flags={"data.labeled": "labels.csv"})
    ... except react_ray.ConfigError as error:
    ...     print(error)
    unknown setting 'sead'; did you mean 'seed'?
    """


class DiskFullError(ReactRayError):
    """The disk is full: results could not be written."""


class TrainingError(ReactRayError):
    """Training failed; the message holds the first traceback of the worker.

    Example
    -------
    >>> import react_ray
    >>> config = react_ray.load_config(flags={"data.labeled": "labels.csv"})
    >>> try:  # doctest: +SKIP
    ...     react_ray.run(config)
    ... except react_ray.TrainingError as error:
    ...     print(error)
    """

    exit_code = 3


class ClusterError(ReactRayError):
    """The cluster is not reachable or lacks the requested resources.

    Example
    -------
    >>> import react_ray
    >>> flags = {"data.labeled": "/mnt/labels.csv", "cluster.address": "auto"}
    >>> try:  # doctest: +SKIP
    ...     react_ray.run(react_ray.load_config(flags=flags))
    ... except react_ray.ClusterError as error:
    ...     print(error)
    """

    exit_code = 4


class ServiceError(ReactRayError):
    """A request to a service failed.

    Attributes
    ----------
    status
        HTTP status; None without a response.
    message
        Error message of the service or of the transport.
    retry_after
        Seconds after which to repeat the request, if the service sent them.

    Example
    -------
    >>> error = ServiceError("rate limit exceeded", status=429, retry_after=2)
    >>> str(error), error.retry_after
    ('rate limit exceeded (HTTP 429)', 2)
    """

    def __init__(self, message: str, status: int | None = None, retry_after: float | None = None):
        super().__init__(message if status is None else f"{message} (HTTP {status})")
        self.message = mask(message)
        self.status = status
        self.retry_after = retry_after
