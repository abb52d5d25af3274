"""Hosting of applications on Ray Serve: deploys them, waits until they answer, ends with a signal."""

from __future__ import annotations

import errno
import logging
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from react_ray.cluster.local import RAY
from react_ray.cluster.session import Session, environment
from react_ray.config.hosting import HostConfig
from react_ray.config.settings import ClusterConfig
from react_ray.errors import ClusterError, InputError
from react_ray.serve.cluster_file import check_cluster_host, http_options
from react_ray.serve.ingress import settings as ingress
from react_ray.serve.ingress.instead import finish
from react_ray.serve.ingress.listening import listen
from react_ray.serve.limits.edge import VARIABLES
from react_ray.serve.limits.keys import ApiKeys
from react_ray.serve.readiness import Hosted, first_missing, url_of, wait_until_ready
from react_ray.serve.replicas import Replacements, reason_of
from react_ray.serve.supervise import Console, ray_apart, ray_is_whole, supervise

__all__ = ["Hosting", "check_keys", "check_listening", "check_port", "host", "service_session"]

OBJECT_STORE = 100 << 20
"""Bytes: a service keeps no objects in Ray."""
DELETE_S = 10.0
"""Seconds for Ray Serve to delete an application, beside the time for running requests."""


@dataclass(frozen=True)
class Hosting:
    """Hosted applications, and texts that are printed about them.

    Attributes
    ----------
    start
        What is started, for the first line of progress.
    welcome
        Command to try, printed when all is ready; ``{url}`` stands for the address of the first application.
    notes
        Further lines of progress.
    grpc
        Serve's options of gRPC, if there is any.
    """

    applications: Sequence[Hosted]
    config: HostConfig
    start: str
    welcome: str
    notes: Sequence[str] = ()
    grpc: Mapping[str, Any] = field(default_factory=dict)


def check_keys(config: HostConfig) -> None:
    """Raise InputError if the file of keys is invalid, before Ray's seconds are spent."""
    if config.api_keys:
        ApiKeys(config.api_keys)


def service_session(address: str | None, verbose: bool) -> Session:
    """Return the session of a service, which is not started."""
    return Session(ClusterConfig(address=address), verbose, object_store=OBJECT_STORE)


def check_listening(session: Session, config: HostConfig) -> None:
    """Raise InputError if the service cannot listen at its address."""
    if session.address is None:
        ingress.check_shared_memory()
        check_port(config.host, config.port, "--port")
    else:
        check_cluster_host(config.host)


def host(hosting: Hosting, session: Session) -> None:
    """Host the applications until Ctrl-C or SIGTERM, then finish running requests and return.

    Raises ClusterError if Ray lacks cores or does not start in time.
    """
    config, applications = hosting.config, hosting.applications
    local = session.address is None
    with _until_signal(), session, _variables(config, session), _console(session) as (console, ray_output):
        logs = f" (logs: {session.folder / RAY / 'session_latest/logs'})" if local else ""
        console.say(f"Starting Ray and {config.replicas} replica(s) of {hosting.start} ...{logs}")
        for note in hosting.notes:
            console.say(note)
        session.start()
        _heed_signals()  # again: Ray took SIGTERM for itself
        deployed: list[str] = []
        try:
            _deploy(hosting, session, deployed)
            wait_until_ready(
                lambda: first_missing(applications, config, local), config.start_timeout_s, console.say
            )
            print(_ready(hosting, local), file=console.out, flush=True)
            replacements = Replacements([application.name for application in applications], console.say)
            supervise(console, ray_output, session.folder if local else None, replacements)
        except KeyboardInterrupt:
            console.say("Stopping: running requests are finished first ...")
            raise
        finally:
            _shut_down(deployed, config, session)


def _ready(hosting: Hosting, local: bool) -> str:
    urls = [url_of(hosting.config, application.route) for application in hosting.applications]
    url, further = urls[0], "".join(f"       {address}\n" for address in urls[1:])
    where = "" if local else " on every node of the cluster that has a replica"
    return (
        f"Ready: {url}{where} (web page; API documentation: {url}/docs)\n{further}"
        f"  {hosting.welcome.replace('{url}', url)}\nCtrl-C stops it."
    )


def _variables(config: HostConfig, session: Session) -> AbstractContextManager[None]:
    """Return the environment variables for HAProxy, unless Ray runs on a cluster."""
    if session.address:
        return environment({})
    if not ingress.available():
        print("HAProxy has no wheel for this system: Ray's own proxy serves, more slowly", file=sys.stderr)
        return environment(VARIABLES)
    return environment({**ingress.variables(config), **ingress.private(session.folder, config.host)})


@contextmanager
def _console(session: Session) -> Iterator[tuple[Console, Path]]:
    """Set up the console of the command, and the file for Ray's output."""
    with ExitStack() as stack:
        folder = session.folder if session.address is None else None
        said = (folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))) / "ray.log"
        said.touch()
        if session.verbose:
            yield Console(sys.stdout, sys.stderr), said
        else:
            yield stack.enter_context(ray_apart(said)), said


@contextmanager
def _until_signal() -> Iterator[None]:
    """Context manager in which Ctrl-C and SIGTERM end the service without an error."""
    _heed_signals()
    try:
        yield
    except KeyboardInterrupt:
        pass
    except SystemExit as end:
        if end.code != signal.SIGTERM:  # what Ray makes of the signal while it starts
            raise


def _heed_signals() -> None:
    """Treat SIGTERM like Ctrl-C, and enable Ctrl-C in background processes of scripts."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def check_port(host: str, port: int, setting: str) -> None:
    """Raise InputError if the port cannot be opened, before Ray is started."""
    try:
        for probe in listen(host, port):
            probe.close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(
                f"port {port} on {host} is in use by another program: give a free one with {setting}"
            ) from None
        raise InputError(f"cannot listen on {host} port {port}: {error.strerror or error}") from None


def _deploy(hosting: Hosting, session: Session, deployed: list[str]) -> None:
    """Deploy the applications on Ray Serve; their names are added to ``deployed``."""
    from ray import serve as ray_serve
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    config, applications = hosting.config, hosting.applications
    if not session.verbose:
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
    cpus = _cpus_per_replica(hosting, session)
    try:
        ray_serve.start(
            proxy_location="EveryNode",
            http_options={
                **http_options(config),
                **({"host": "127.0.0.1"} if _behind_haproxy(session) else {}),
            },
            grpc_options=dict(hosting.grpc),
            logging_config={"enable_access_log": False},
        )
    except RayError as error:
        raise ClusterError(f"Ray Serve does not start: {reason_of(str(error))}") from None
    targets = [
        ray_serve.RunTarget(
            application.build(cpus),
            name=application.name,
            route_prefix=application.route,
            logging_config={"enable_access_log": False},
        )
        for application in applications
    ]
    deployed += [application.name for application in applications]
    try:
        ray_serve.run_many(
            targets, wait_for_ingress_deployment_creation=False, wait_for_applications_running=False
        )
    except RayServeException as error:  # another application has the route, for one
        raise ClusterError(
            f"Ray Serve does not take the {applications[0].what}: {reason_of(str(error))}"
        ) from None


def _cpus_per_replica(hosting: Hosting, session: Session) -> float:
    """Return the cores of each replica. Raises ClusterError if the cluster has too few."""
    import ray

    config, applications = hosting.config, len(hosting.applications)
    cores = ray.cluster_resources().get("CPU", 0)
    copies = applications * (config.max_replicas or config.replicas)
    cpus = config.cpus_per_replica or (1 if session.address else _share(cores, copies))
    least = applications * config.replicas
    if cpus * least > cores:
        raise ClusterError(
            f"{least} replicas of {cpus:g} cores each need more than the {cores:g} cores "
            "of the cluster: ask for fewer with --replicas"
        )
    return cpus


def _behind_haproxy(session: Session) -> bool:
    """Return whether HAProxy accepts the connections of callers."""
    return session.address is None and ingress.available()


def _share(cores: float, replicas: int) -> float:
    """Return the cores of each replica: whole ones, or a fraction if there are too few."""
    return float(cores // replicas) or cores / replicas


def _shut_down(deployed: Sequence[str], config: HostConfig, session: Session) -> None:
    """Finish running requests, then delete the deployed applications.

    On this machine HAProxy stops accepting connections and ends after its last request. On a cluster the
    replicas finish their requests, and Serve ends too unless it has other applications.
    """
    import ray

    if session.address is None:
        finish(session.folder, config.drain_timeout_s)
    if not ray.is_initialized():
        return
    thread = threading.Thread(target=_delete, args=(deployed, session), daemon=True)
    thread.start()
    deadline = time.monotonic() + config.drain_timeout_s + DELETE_S
    # Where Ray dies meanwhile, calls of it wait for a minute and more.
    while thread.is_alive() and time.monotonic() < deadline and _ray_lives(session):
        thread.join(0.2)


def _ray_lives(session: Session) -> bool:
    return not session.guarded or ray_is_whole(session.folder)


def _delete(deployed: Sequence[str], session: Session) -> None:
    from ray import serve as ray_serve

    running, ours = set(ray_serve.status().applications), set(deployed)
    for application in sorted(running & ours):
        ray_serve.delete(application)
    if session.address and not running - ours:
        ray_serve.shutdown()
