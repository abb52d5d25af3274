"""Submit a command as a Ray job, print its output and return its exit code."""

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
from react_ray.cluster.session import connection_error
from react_ray.cluster.token import check_token, token_in_use
from react_ray.cluster.upload import check_arguments, collect, pack
from react_ray.config.masking import mask_address
from react_ray.console.reporter import Reporter
from react_ray.errors import ClusterError, InputError

__all__ = ["entry_command", "exit_code", "job_server", "submit"]

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
RETRY_S = 60.0
"""Seconds after which a cluster that accepts no job, or does not answer, is given up."""
STOP_S = 30.0
"""Seconds to wait for a job to stop; Ray kills it after 3."""
INTERRUPTED, STOPPED = 130, 143
"""Exit codes of a command that was ended by Ctrl-C or SIGTERM."""


def submit(
    words: Sequence[str],
    *,
    address: str | None = None,
    working_dir: Path = Path(),
    quiet: bool = False,
) -> int:
    """Run ``react-ray WORDS`` (or ``python SCRIPT ...``) as a job, and return its exit code.

    The output is printed as it arrives. Ctrl-C asks whether to stop the job. Raises InputError if the
    upload or the command is invalid, and ClusterError if nothing answers, the token is missing or
    wrong, or the job cannot be started.
    """
    print_line, server, command = Reporter(quiet).say, job_server(address, os.environ), entry_command(words)
    upload = collect(working_dir)
    size = upload.check_size()
    check_arguments(upload, words[1:])
    client = _connect(server)
    print_line(f"sending {working_dir.absolute()}: {size}" if upload.files else "no files to send")
    for note in upload.notes():
        print_line(f"  {note}")
    job_id = f"react-ray-{Path(words[0]).name}-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory() as scratch:
        archive = pack(upload, Path(scratch) / "upload.zip") if upload.files else None
        folder = {"working_dir": str(archive)} if archive else {}
        _send(client, server, {"entrypoint": command, "submission_id": job_id, "runtime_env": folder})
    print_line(f"job {job_id} on {mask_address(server)}")
    try:
        info = _follow_output(client, job_id, server)
    except KeyboardInterrupt:
        return _on_interrupt(client, job_id, server)
    code = exit_code(str(info.status), info.driver_exit_code, info.message)
    print_line(f"job {job_id}: {str(info.status).lower()}" + (f", exit code {code}" if code else ""))
    return code


def job_server(configured: str | None, environ: Mapping[str, str]) -> str:
    """Return the URL of the job server: as configured, else from Ray's variables, else on this machine.

    Raises ClusterError for other kinds of address.
    """
    from_environment = environ.get("RAY_API_SERVER_ADDRESS") or environ.get("RAY_ADDRESS", "")
    address = configured or (from_environment if from_environment.startswith("http") else DEFAULT_ADDRESS)
    address = (address if "://" in address else f"http://{address}").rstrip("/")
    parts = urlsplit(address)
    try:
        is_valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or address == "http://auto":
        raise ClusterError(
            f"--address {address}: expected the URL of the cluster's dashboard, which accepts "
            f"jobs, such as {DEFAULT_ADDRESS}"
        )
    return address


def entry_command(words: Sequence[str]) -> str:
    """Return the command line of the job.

    Raises InputError if an address contains a secret, because all users of the cluster see the command.
    """
    for word in words:
        if mask_address(word) != word:
            raise InputError(
                f"{mask_address(word)}: this address contains a password or token, and all users of "
                "the cluster can see the command of a job; give the nodes access instead"
            )
    prefix = ["python", "-m", "react_ray.cli"] if words[0] != "python" else []
    return shlex.join([*prefix, *words])


def exit_code(status: str, code: int | None, message: str | None) -> int:
    """Return the exit code of a job's command.

    ``status`` and ``message`` are those of Ray; ``code`` is None if unknown. Raises ClusterError if the
    command never ran.
    """
    if status == "SUCCEEDED":
        return 0
    if status == "STOPPED":
        return STOPPED
    failed = re.search(r"failed with exit code (-?\d+)", message or "")
    if code is None and failed:
        code = int(failed.group(1))
    if code is None:
        raise ClusterError(f"the job did not run: {message or 'Ray gave no reason'}")
    if re.search(r"No module named '?react_ray\b", message or ""):
        raise ClusterError(
            "react-ray is not installed where the job ran: install it on every node, in the "
            "environment of ray start; or submit from the top of this project, so that it is uploaded"
        )
    return 128 - code if code < 0 else code


def _connect(server: str) -> Any:
    """Return the job client. Raises ClusterError if nothing answers or access is denied."""
    parts = urlsplit(server)
    host, port = str(parts.hostname), parts.port or {"http": 80, "https": 443}[parts.scheme]
    direct = parts.scheme not in getproxies() or proxy_bypass(host)
    reason = connection_error(host, port) if direct else None
    if reason:
        raise ClusterError(
            f"nothing answers at {server}: {reason}\nCheck that the cluster runs, and that its "
            "dashboard can be reached, for example by ssh -L, ray dashboard or kubectl port-forward"
        )
    if token_in_use():
        check_token()
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    quiet_job_client()
    os.environ["RAY_API_SERVER_ADDRESS"] = server  # overrides the argument in Ray
    try:
        return JobSubmissionClient(server)
    except AuthenticationError as error:
        raise ClusterError(_token_message(server, str(error), os.environ)) from None
    except (RuntimeError, ValueError, OSError, KeyError) as error:
        raise ClusterError(f"{server} is not a Ray dashboard that accepts jobs: {error}") from None


def _send(client: Any, server: str, job: dict[str, Any]) -> None:
    """Submit the job, with retries: a cluster that has just started accepts none for a while."""
    started = time.monotonic()
    while True:
        try:
            client.submit_job(**job)
            return
        except (RuntimeError, ValueError, OSError) as error:
            starting = "No available agent" in str(error) and time.monotonic() - started < RETRY_S
            if not starting:
                raise ClusterError(f"{server} does not accept the job: {error}") from None
        time.sleep(1)


def _token_message(server: str, message: str, environ: Mapping[str, str]) -> str:
    mode = environ.get("RAY_AUTH_MODE")
    if mode != "token":
        reason = "but none was sent: RAY_AUTH_MODE is " + (repr(mode) if mode else "not set")
    elif "Forbidden" in message:
        reason = "but the token that was sent does not match"
    else:
        reason = "but none was found on this machine"
    return (
        f"{server} requires a token, {reason}.\nSet RAY_AUTH_MODE=token, and put the token of the "
        "cluster into ~/.ray/auth_token, a file named by RAY_AUTH_TOKEN_PATH, or RAY_AUTH_TOKEN."
    )


def _follow_output(client: Any, job: str, server: str) -> Any:
    """Print the output of the job until it ends, and return its status.

    A broken connection is resumed where it was, for at most RETRY_S seconds from the first of consecutive
    failures: a job may be silent for much longer than that.
    """
    printed = 0
    broken_since: float | None = None

    async def tail() -> None:
        nonlocal printed, broken_since
        passed = 0
        async for text in client.tail_job_logs(job):
            new = text[max(printed - passed, 0) :]
            passed += len(text)
            printed, broken_since = max(printed, passed), None
            print(new, end="", flush=True)

    while True:
        try:
            asyncio.run(tail())
            info = client.get_job_info(job)
            if info.status.is_terminal():
                return info
            broken_since = None
        except Exception as error:  # Ray, requests and aiohttp raise different types
            broken_since = broken_since or time.monotonic()
            if time.monotonic() - broken_since > RETRY_S:
                raise ClusterError(
                    f"lost the connection to {server} ({error}); the job goes on while the "
                    f"cluster runs:\n{_manual_commands(job, server)}"
                ) from None
        time.sleep(1)


def _on_interrupt(client: Any, job: str, server: str) -> int:
    """After Ctrl-C, stop the job if the user wants that, else print how to follow it again."""
    if _wants_stop(job):
        client.stop_job(job)
        deadline = time.monotonic() + STOP_S
        while not client.get_job_status(job).is_terminal() and time.monotonic() < deadline:
            time.sleep(0.5)
        print(f"job {job}: {str(client.get_job_status(job)).lower()}", file=sys.stderr)
    else:
        print(f"job {job} goes on:\n{_manual_commands(job, server)}", file=sys.stderr)
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


def _manual_commands(job: str, server: str) -> str:
    arguments = shlex.join(["--address", mask_address(server), job])
    return f"  ray job logs --follow {arguments}\n  ray job stop {arguments}"
