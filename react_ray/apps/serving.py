"""The command ``serve`` that applications have in common."""

from __future__ import annotations

from pathlib import Path

from react_ray.config.hosting import HostConfig
from react_ray.console.options import HostOptions
from react_ray.console.terminal import show

__all__ = ["serve_folder"]


def serve_folder(
    load: str,
    folder: Path,
    settings: type[HostConfig],
    options: HostOptions,
    *,
    name: str,
    example: str,
    owner: str | None = None,
) -> None:
    """Serve ``folder`` by :func:`react_ray.serve_app` with the settings of a command line.

    Raises ConfigError if a setting is wrong, and what ``serve_app`` raises.
    """
    from react_ray import serve_app
    from react_ray.config.file import load_settings

    written = serve_app(
        load,
        folder,
        load_settings(settings, options.arguments or (), options.flags()),
        owner=owner,
        name=name,
        example=example,
        address=options.address,
        verbose=options.verbose,
        write_config=options.write_config,
    )
    if written:
        show(written)
