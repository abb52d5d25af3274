"""Submission of a command as a job: its output is followed, its exit code returned."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from react_ray.cluster.ray_private import quiet_job_client
from react_ray.cluster.session import refuses
from react_ray.cluster.token import check_token, token_in_use
from react_ray.cluster.upload import check_words, collect, pack
from react_ray.config.masking import mask_address
from react_ray.console.reporter import Reporter
from react_ray.errors import ClusterError, InputError

__all__ = ["entrypoint", "exit_code", "job_server", "submit"]

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
RETRY_S = 60.0
"""A cluster that takes no job for so long, or does not answer while one is followed, is given up."""
STOP_S = 30.0
"""Ray gives a job that is stopped 3 seconds, then kills it."""
INTERRUPTED, STOPPED = 130, 143
"""Exit codes of a command that Ctrl-C and SIGTERM ended."""


def submit(
    words: Sequence[str],
    *,
    address: str | None = None,
    working_dir: Path = Path(),
    quiet: bool = False,
) -> int:
    """Run ``react-ray WORDS`` (or ``python SCRIPT ...``) as a job; return the exit code of the command.

    Its output is printed as it comes. Ctrl-C asks whether to stop the job. Raises
    InputError (what would be sent cannot be) and ClusterError (nothing answers, the
    token is missing or wrong, the job could not be started).
    """
    say, server, command = Reporter(quiet).say, job_server(address, os.environ), entrypoint(words)
    upload = collect(working_dir)
    size = upload.check_size()
    check_words(upload, words[1:])
    client = _connect(server)
    say(f"sending {working_dir.absolute()}: {size}" if upload.files else "nothing to send along")
    for note in upload.notes():
        say(f"  {note}")
    job = f"react-ray-{Path(words[0]).name}-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory() as scratch:
        archive = pack(upload, Path(scratch) / "upload.zip") if upload.files else None
        folder = {"working_dir": str(archive)} if archive else {}
        _send(client, server, {"entrypoint": command, "submission_id": job, "runtime_env": folder})
    say(f"job {job} on {mask_address(server)}")
    try:
        info = _follow(client, job, server)
    except KeyboardInterrupt:
        return _interrupted(client, job, server)
    code = exit_code(str(info.status), info.driver_exit_code, info.message)
    say(f"job {job}: {str(info.status).lower()}" + (f", exit code {code}" if code else ""))
    return code


def job_server(given: str | None, environ: Mapping[str, str]) -> str:
    """The URL of the job server: as given, else of Ray's own variables, else on this machine.

    Raises ClusterError for an address of another kind.
    """
    known = environ.get("RAY_API_SERVER_ADDRESS") or environ.get("RAY_ADDRESS", "")
    address = given or (known if known.startswith("http") else DEFAULT_ADDRESS)
    address = (address if "://" in address else f"http://{address}").rstrip("/")
    parts = urlsplit(address)
    try:
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        whole = False
    if not whole or address == "http://auto":
        raise ClusterError(
            f"--address {address}: expected the URL of the cluster's dashboard, which takes the "
            f"jobs, like {DEFAULT_ADDRESS}"
        )
    return address


def entrypoint(words: Sequence[str]) -> str:
    """The command line of the job.

    Everybody who may look at the cluster sees it, so InputError where an address holds a secret.
    """
    for word in words:
        if mask_address(word) != word:
            raise InputError(
                f"{mask_address(word)}: this address holds a password or token, and the command of a "
                "job is shown to all who see the cluster; let the nodes have the access instead"
            )
    own = ["python", "-m", "react_ray.cli"] if words[0] != "python" else []
    return shlex.join([*own, *words])


def exit_code(status: str, code: int | None, message: str | None) -> int:
    """Return the exit code of the command of a job.

    ``status`` and ``message`` are Ray's; ``code`` is known where the command ran.
    ClusterError where it never did.
    """
    if status == "SUCCEEDED":
        return 0
    if status == "STOPPED":
        return STOPPED
    failed = re.search(r"failed with exit code (-?\d+)", message or "")
    if code is None and failed:
        code = int(failed.group(1))
    if code is None:
        raise ClusterError(f"the job did not run: {message or 'Ray gives no reason'}")
    if re.search(r"No module named '?react_ray\b", message or ""):
        raise ClusterError(
            "react-ray is not installed where the job ran: install it on every node, in the "
            "environment that ray start runs in; or submit from the top of this project, which travels then"
        )
    return 128 - code if code < 0 else code


def _connect(server: str) -> Any:
    """Return the job client; ClusterError where nothing answers, or access is denied."""
    parts = urlsplit(server)
    host, port = str(parts.hostname), parts.port or {"http": 80, "https": 443}[parts.scheme]
    direct = parts.scheme not in getproxies() or proxy_bypass(host)
    reason = refuses(host, port) if direct else None
    if reason:
        raise ClusterError(
            f"nothing answers at {server}: {reason}\nCheck that the cluster runs, and that its "
            "dashboard can be reached: ssh -L, ray dashboard or kubectl port-forward bring it to this machine"
        )
    if token_in_use():
        check_token()
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    quiet_job_client()
    os.environ["RAY_API_SERVER_ADDRESS"] = server  # Ray lets its variables win over what is given
    try:
        return JobSubmissionClient(server)
    except AuthenticationError as error:
        raise ClusterError(_about_token(server, str(error), os.environ)) from None
    except (RuntimeError, ValueError, OSError, KeyError) as error:
        raise ClusterError(f"{server} is no Ray dashboard that takes jobs: {error}") from None


def _send(client: Any, server: str, job: dict[str, Any]) -> None:
    """Submit the job; a cluster that has just started accepts none for a while."""
    started = time.monotonic()
    while True:
        try:
            client.submit_job(**job)
            return
        except (RuntimeError, ValueError, OSError) as error:
            early = "No available agent" in str(error) and time.monotonic() - started < RETRY_S
            if not early:
                raise ClusterError(f"{server} does not take the job: {error}") from None
        time.sleep(1)


def _about_token(server: str, message: str, environ: Mapping[str, str]) -> str:
    mode = environ.get("RAY_AUTH_MODE")
    if mode != "token":
        reason = "and none was sent, for RAY_AUTH_MODE is " + (repr(mode) if mode else "not set")
    elif "Forbidden" in message:
        reason = "and that which was sent is another"
    else:
        reason = "and none was found here"
    return (
        f"{server} asks for a token, {reason}.\nSet RAY_AUTH_MODE=token, and have the token of the "
        "cluster in ~/.ray/auth_token, or in a file that RAY_AUTH_TOKEN_PATH names, or in RAY_AUTH_TOKEN."
    )


def _follow(client: Any, job: str, server: str) -> Any:
    """Print the output of the job until it ends; return its status.

    A connection that breaks is taken up again where it was, for RETRY_S seconds: a job may be silent
    for much longer, so these count from the first failure in a row.
    """
    shown = 0
    broken: float | None = None

    async def tail() -> None:
        nonlocal shown, broken
        passed = 0
        async for text in client.tail_job_logs(job):
            new = text[max(shown - passed, 0) :]
            passed += len(text)
            shown, broken = max(shown, passed), None
            print(new, end="", flush=True)

    while True:
        try:
            asyncio.run(tail())
            info = client.get_job_info(job)
            if info.status.is_terminal():
                return info
            broken = None
        except Exception as error:  # Ray, requests and aiohttp have their own kinds
            broken = broken or time.monotonic()
            if time.monotonic() - broken > RETRY_S:
                raise ClusterError(
                    f"lost the connection to {server} ({error}); the job goes on as long as the "
                    f"cluster does:\n{_by_hand(job, server)}"
                ) from None
        time.sleep(1)


def _interrupted(client: Any, job: str, server: str) -> int:
    """After Ctrl-C: stop the job if wanted, else print how to follow it again."""
    if _wants_stop(job):
        client.stop_job(job)
        deadline = time.monotonic() + STOP_S
        while not client.get_job_status(job).is_terminal() and time.monotonic() < deadline:
            time.sleep(0.5)
        print(f"job {job}: {str(client.get_job_status(job)).lower()}", file=sys.stderr)
    else:
        print(f"job {job} goes on:\n{_by_hand(job, server)}", file=sys.stderr)
    return INTERRUPTED


def _wants_stop(job: str) -> bool:
    if not sys.stdin.isatty():
        return False
    try:
        print(f"\nStop job {job} (y), or leave it running (Enter)? ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return False


def _by_hand(job: str, server: str) -> str:
    where = shlex.join(["--address", mask_address(server), job])
    return f"  ray job logs --follow {where}\n  ray job stop {where}"
