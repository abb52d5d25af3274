"""Hosting of a custom application with all features of ``react-ray serve``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from react_ray.config.hosting import HostConfig
from react_ray.errors import InputError
from react_ray.serve.application import imported
from react_ray.serve.cluster_file import LISTENING, check_cluster_host, cluster_options, write_cluster_file
from react_ray.serve.host import Hosting, check_keys, check_listening, host, service_session
from react_ray.serve.readiness import Hosted

if TYPE_CHECKING:
    from ray.serve import Application

__all__ = ["serve_app"]

CHANGES = "A changed setting replaces the replicas one after the other."


def serve_app(
    load: str,
    folder: str | Path,
    config: HostConfig | None = None,
    *,
    owner: str | None = None,
    name: str = "react-ray",
    example: str = "curl {url}/readyz",
    address: str | None = None,
    verbose: bool = False,
    write_config: str | Path | None = None,
) -> str | None:
    """Serve an application on Ray Serve until Ctrl-C or SIGTERM, then finish running requests and return.

    It has what ``react-ray serve`` has: replicas behind HAProxy, keys, limits of rate, size and time, request
    ids, an access log, /metrics, /healthz, /readyz and /docs; by default on this machine only.

    Parameters
    ----------
    load
        Dotted path ``package.module:function``. Each replica calls it with the folder and a
        :class:`react_ray.Host`; it returns a :class:`react_ray.HostedApp`.
    folder
        Files of the application, which every replica can read: on a cluster, shared storage.
    config
        Settings, a :class:`react_ray.HostConfig` or a subclass.
    owner
        Dotted path of a function that one process calls with the folder and the settings. It returns the
        object that owns what replicas share, such as a database with one writer. Replicas call its methods
        by ``await host.owner.call("method", ...)``. Plain methods run one at a time, coroutines interleave.
        Arguments and results are copied between processes. A lock on the folder keeps other services away.
    name
        Name of the application in Ray Serve.
    example
        Command to try, printed when all is ready; ``{url}`` is the address.
    address, verbose
        Ray cluster (None: this machine), and whether all logs are shown.
    write_config
        Only write a file for ``serve deploy``, and return instructions.

    Raises
    ------
    InputError
        The application cannot be loaded, or the port is taken.
    ClusterError
        Ray lacks cores, or does not start in time.

    Example
    -------
    >>> import react_ray
    >>> react_ray.serve_app("my_package.greeting:load", "folder", owner="my_package.store:open_store")
    ... # doctest: +SKIP
    """
    config = config or HostConfig()
    check_keys(config)
    path = Path(folder).expanduser().absolute()
    if not path.is_dir():
        raise InputError(f"{folder}: no such folder")
    for function in filter(None, (load, owner)):
        imported(function)
    if write_config is not None:
        return _write(Path(write_config), load, path, config, owner, name)
    session = service_session(address, verbose)
    check_listening(session, config)
    hosted = Hosted(name, "/", "application", partial(_build, load, str(path), config, owner))
    host(Hosting([hosted], config, start=str(folder), welcome=example), session)
    return None


def _build(load: str, folder: str, config: HostConfig, owner: str | None, cpus: float) -> Application:
    from react_ray.serve.application_deployment import build_hosted

    return build_hosted(load, folder, config, cpus, owner)


def _write(path: Path, load: str, folder: Path, config: HostConfig, owner: str | None, name: str) -> str:
    check_cluster_host(config.host)
    kind = type(config)
    arguments = {
        "load": load,
        "folder": str(folder),
        "config": f"{kind.__module__}:{kind.__qualname__}",
        "settings": config.model_dump(mode="json", exclude_defaults=True, exclude=LISTENING),
        **({"owner": owner} if owner else {}),
    }
    import_path = "react_ray.serve.application_deployment:build"
    application = {"name": name, "route_prefix": "/", "import_path": import_path, "args": arguments}
    content = {**cluster_options(config, {}), "applications": [application]}
    return write_cluster_file(path, content, CHANGES, [str(folder)], config.host)
