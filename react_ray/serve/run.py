"""The command ``serve``: deploys a model and supervises it until a signal ends it."""

from __future__ import annotations

import errno
import json
import logging
import shlex
import signal
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from react_ray.cluster.local import RAY
from react_ray.cluster.session import Session, environment
from react_ray.config.service import ServeConfig
from react_ray.config.settings import ClusterConfig
from react_ray.errors import ClusterError, InputError
from react_ray.folders import model_version
from react_ray.inference.folder import check_saved
from react_ray.serve.deploy import check_cluster_host, grpc_options, http_options
from react_ray.serve.engine.memory import check_memory
from react_ray.serve.ingress import settings as ingress
from react_ray.serve.ingress.instead import finish
from react_ray.serve.ingress.listening import listen
from react_ray.serve.limits.edge import VARIABLES
from react_ray.serve.limits.keys import ApiKeys
from react_ray.serve.models import application_of, models_of, note_of, route_of, with_relations
from react_ray.serve.protocols.examples import sample_input
from react_ray.serve.replicas import Replacements, reason_of
from react_ray.serve.supervise import Console, ray_apart, ray_is_whole, supervise

__all__ = ["serve", "wait_until_ready"]

OBJECT_STORE = 100 << 20
"""Bytes: a service keeps no objects in Ray."""
DELETE_S = 10.0
"""For Ray Serve to take an application away, beside the time for running requests."""
SAY_EVERY_S = 10.0
"""Seconds between two lines that say what is waited for."""


def serve(
    model: str | Path,
    config: ServeConfig | None = None,
    *,
    address: str | None = None,
    verbose: bool = False,
) -> None:
    """Serve the model until Ctrl-C or SIGTERM, then finish running requests and return.

    ``model`` is a run's folder or the ``model/`` inside it, or a list of several: see
    :mod:`react_ray.serve.models`. Raises InputError if there is none or the port is taken,
    ClusterError if Ray lacks cores or does not start in time.
    """
    config = config or ServeConfig()
    if config.api_keys:
        ApiKeys(config.api_keys)  # what is wrong with the file is said before Ray's seconds are spent
    models = models_of(model)
    config = with_relations(models, config)
    folders = [*models.values(), *([Path(config.relations)] if config.relations else [])]
    versions = {name: model_version(folder) for name, folder in models.items()}
    session = Session(ClusterConfig(address=address), verbose, object_store=OBJECT_STORE)
    local = session.address is None
    if local:
        check_memory(folders, config)
        ingress.check_shared_memory()
        _check_port(config.host, config.port, "--port")
        if config.grpc_port:
            _check_port(config.host, config.grpc_port, "grpc_port=")
    else:
        check_cluster_host(config.host)
    with _until_signal(), session, _variables(config, session), _console(session) as (console, said):
        logs = f" (logs: {session.folder / RAY / 'session_latest/logs'})" if local else ""
        console.say(f"Starting Ray and {config.replicas} replica(s) of {_list(folders)} ...{logs}")
        for note in filter(None, (note_of(folder, config) for folder in folders)):
            console.say(note)
        session.start()
        _heed_signals()  # again: Ray took SIGTERM for itself
        deployed: list[str] = []
        try:
            _deploy(models, versions, config, session, deployed)
            wait_until_ready(
                lambda: _first_missing(models, config, local), config.start_timeout_s, console.say
            )
            print(_welcome(models, config, local), file=console.out, flush=True)
            replacements = Replacements([application_of(name) for name in models], console.say)
            supervise(console, said, session.folder if local else None, replacements)
        except KeyboardInterrupt:
            console.say("Stopping: running requests are finished first ...")
            raise
        finally:
            _shut_down(deployed, config, session)


def _list(folders: Iterable[Path]) -> str:
    return ", ".join(map(str, folders))


def _variables(config: ServeConfig, session: Session) -> AbstractContextManager[None]:
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


def _check_port(host: str, port: int, setting: str) -> None:
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


def _deploy(
    models: Mapping[str, Path],
    versions: Mapping[str, str],
    config: ServeConfig,
    session: Session,
    deployed: list[str],
) -> None:
    """Deploy the applications on Ray Serve; their names are added to ``deployed``."""
    import ray
    from ray import serve as ray_serve
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    from react_ray.serve.app import build_application

    if not session.verbose:
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
    cores = ray.cluster_resources().get("CPU", 0)
    copies = len(models) * (config.max_replicas or config.replicas)
    cpus = config.cpus_per_replica or (1 if session.address else _share(cores, copies))
    least = len(models) * config.replicas
    if cpus * least > cores:
        raise ClusterError(
            f"{least} replicas of {cpus:g} cores each need more than the {cores:g} cores "
            "of the cluster: ask for fewer with --replicas"
        )
    try:
        ray_serve.start(
            proxy_location="EveryNode",
            http_options={**http_options(config), **({"host": "127.0.0.1"} if _behind_ours(session) else {})},
            grpc_options=grpc_options(config),
            logging_config={"enable_access_log": False},
        )
    except RayError as error:
        raise ClusterError(f"Ray Serve does not start: {reason_of(str(error))}") from None
    targets = [
        ray_serve.RunTarget(
            build_application(str(folder), config, cpus, versions[name]),
            name=application_of(name),
            route_prefix=route_of(name),
            logging_config={"enable_access_log": False},
        )
        for name, folder in models.items()
    ]
    deployed += map(application_of, models)
    try:
        ray_serve.run_many(
            targets, wait_for_ingress_deployment_creation=False, wait_for_applications_running=False
        )
    except RayServeException as error:  # another application has the route, for one
        raise ClusterError(f"Ray Serve does not take the model: {reason_of(str(error))}") from None


def _behind_ours(session: Session) -> bool:
    """Return whether HAProxy accepts the connections of callers."""
    return session.address is None and ingress.available()


def _share(cores: float, replicas: int) -> float:
    """Return the cores of each replica: whole ones, or a fraction if there are too few."""
    return float(cores // replicas) or cores / replicas


def wait_until_ready(missing: Callable[[], str | None], within_s: float, say: Callable[[str], None]) -> None:
    """Wait until ``missing`` returns None; ClusterError after ``within_s`` seconds."""
    started = said = time.monotonic()
    while waiting_for := missing():
        now = time.monotonic()
        if now - started > within_s:
            raise ClusterError(
                f"not ready after {within_s:g} s: still waiting for {waiting_for}\n"
                f"On a loaded machine give it longer (start_timeout_s={2 * within_s:g}); "
                "--verbose shows Ray's logs."
            )
        if now - said > SAY_EVERY_S:
            said = now
            say(f"  {now - started:.0f} s: waiting for {waiting_for}")
        time.sleep(0.1)


def _first_missing(models: Mapping[str, Path], config: ServeConfig, local: bool) -> str | None:
    """Return what the first model that is not ready waits for."""
    return next(filter(None, (_missing(name, config, local) for name in models)), None)


def _missing(name: str, config: ServeConfig, local: bool) -> str | None:
    """Return what a model waits for; None when it answers. InputError if it cannot start."""
    from ray import serve as ray_serve

    from react_ray.serve.app import DEPLOYMENT

    application = ray_serve.status().applications.get(application_of(name))
    if application is None:
        return "Ray Serve to take the application"
    deployment = application.deployments.get(DEPLOYMENT)
    state = deployment.message if deployment else ""
    if application.status in ("DEPLOY_FAILED", "UNHEALTHY"):
        raise InputError(f"the model cannot be served: {reason_of(state or application.message)}")
    if application.status != "RUNNING":
        return f"{config.replicas} replica(s) to load the model. {state.partition(chr(10))[0]}".strip()
    ready = f"{_url(config, name)}/readyz"
    return f"an answer from {ready}" if local and not _answers(ready) else None


def _answers(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever HTTP_PROXY says
    try:
        with direct.open(url, timeout=10):
            return True
    except OSError:  # an answer that is an error is one too
        return False


def _url(config: ServeConfig, name: str) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.host, config.host)
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{config.port}{route_of(name).rstrip('/')}"


def _welcome(models: Mapping[str, Path], config: ServeConfig, local: bool) -> str:
    urls = [_url(config, name) for name in models]
    url, others = urls[0], "".join(f"       {other}\n" for other in urls[1:])
    where = "" if local else " on every node of the cluster that has a replica"
    route = "triples" if config.relations else "predict"
    sample = sample_input(check_saved(next(iter(models.values()))))
    body = json.dumps({"inputs": [sample]}, ensure_ascii=False)
    return (
        f"Ready: {url}{where} (web page; API documentation: {url}/docs)\n{others}"
        f"  curl -H 'Content-Type: application/json' -d {shlex.quote(body)} {url}/{route}\n"
        "Ctrl-C stops it."
    )


def _shut_down(deployed: Sequence[str], config: ServeConfig, session: Session) -> None:
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

    there, own = set(ray_serve.status().applications), set(deployed)
    for application in sorted(there & own):
        ray_serve.delete(application)
    if session.address and not there - own:
        ray_serve.shutdown()
