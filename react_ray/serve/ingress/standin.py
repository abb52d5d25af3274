"""Takes the place of a HAProxy that was killed, until Ray has started another one.

    python standin.py BINARY CONFIG PID RAYLET

Ray needs seconds to see that HAProxy, or the actor that started it, is gone. Meanwhile this starts
HAProxy with the last configuration on the same port, which both have while its file
``haproxy.standin`` is there. It has no admin socket, so that Ray goes on
missing its own. Uses the standard library only, and no other module of this package: it starts in an instant.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

AT_MOST_S = 60.0
SETTLE_S = 1.0
"""From its process to its socket."""
ELSEWHERE = re.compile(r"^ *(stats socket|server-state|load-server-state).*\n", re.MULTILINE)
PORTS = re.compile(
    r"^ *bind 127\.0\.0\.1:\d+\n(?= *(mode http\n *http-request use-service|stats enable))", re.MULTILINE
)
"""What the next HAProxy needs for itself: the socket and the ports that Ray asks it on."""


def main(binary: str, config: Path, haproxy: int, raylet: int) -> None:
    """Wait for the end of HAProxy; where nobody wanted it, stand in."""
    try:
        watched = os.pidfd_open(haproxy)
        if raylet not in _wait(haproxy, watched, raylet) and not of(config):
            stand_in(binary, config, raylet)
    except ProcessLookupError:  # one of them is gone already
        pass


def _wait(haproxy: int, watched: int, raylet: int) -> set[int]:
    """Which of the two ended first."""
    names = {watched: haproxy, os.pidfd_open(raylet): raylet}
    ready, _, _ = select.select([*names], [], [])
    return {names[one] for one in ready}


def stand_in(binary: str, config: Path, raylet: int) -> None:
    """Serve until another HAProxy does, and leave it the new connections."""
    text = config.read_text()
    if not serves(text):  # Ray ends it like this too, when there is nothing left to serve
        return
    own = config.with_suffix(".standin")
    own.write_text(PORTS.sub("", ELSEWHERE.sub("", text)))
    command = [binary, "-db", "-f", str(own)]
    process = subprocess.Popen(command)
    idle: set[str] = set()
    deadline = time.monotonic() + AT_MOST_S
    try:
        while time.monotonic() < deadline and Path(f"/proc/{raylet}").exists():
            if process.poll() is not None:
                process = subprocess.Popen(command)
            if serves(config.read_text()) and of(config) - idle:
                time.sleep(SETTLE_S)
                break
            idle |= set() if serves(config.read_text()) else of(config)
            time.sleep(0.2)
    finally:  # also where the folder of the configuration is gone
        process.send_signal(signal.SIGUSR1 if Path(f"/proc/{raylet}").exists() else signal.SIGKILL)
        own.unlink(missing_ok=True)
        process.wait()


def serves(text: str) -> bool:
    """Whether a configuration has something to send requests to."""
    return re.search(r"^ *use_backend", text, re.MULTILINE) is not None


def of(config: Path) -> set[str]:
    """Processes of HAProxy with this configuration."""
    found = set()
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = command.read_bytes().split(b"\0")
        except OSError:  # it ended meanwhile
            continue
        if words[0].endswith(b"haproxy") and str(config).encode() in words:
            found.add(command.parent.name)
    return found


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
