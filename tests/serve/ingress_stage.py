"""HAProxy behind Ray's own class for it, without Ray: a raylet, an actor and replicas that are played.

    python ingress_stage.py raylet|manager FOLDER PORT GRPC_PORT

A manager reads commands from its standard input: ``routes PORT ...`` are the ports of the replicas.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ports import free_port

from react_ray.serve.ingress.processes import is_alive


class Replica(ThreadingHTTPServer):
    """Answers with the headers it got; ``/slow`` after a second."""

    request_queue_size = 512

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/slow":
            time.sleep(1)
        body = json.dumps([[name.lower(), value] for name, value in self.headers.items()]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


class Stage:
    """A raylet with a manager, as processes; replicas in this one."""

    def __init__(self, folder: Path, **environment: str):
        self.folder, self.port, self.grpc_port = folder / "node", free_port(), free_port()
        self.replica = Replica()
        self._environment = {**os.environ, **environment}
        self.raylet = self._start("raylet")

    def _start(self, role: str) -> subprocess.Popen[str]:
        words = [role, str(self.folder), str(self.port), str(self.grpc_port)]
        return subprocess.Popen(
            [sys.executable, __file__, *words],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, command: str) -> str:
        """Have the manager do this; what it says then."""
        assert self.raylet.stdin is not None
        assert self.raylet.stdout is not None
        self.raylet.stdin.write(command + "\n")
        self.raylet.stdin.flush()
        return self.raylet.stdout.readline().strip()

    def serve(self) -> None:
        """Route to the replica, and return when it is reached."""
        said = self.tell(f"routes {self.replica.server_port}")
        assert said == "done", said
        self.until(lambda: self.status() == 200)

    def send(self, path: str = "/", body: bytes | None = None, **headers: str) -> tuple[int, Any, bytes]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def status(self, path: str = "/") -> int:
        """Of a request; 0 where there is no answer."""
        try:
            return self.send(path)[0]
        except (OSError, http.client.HTTPException):
            return 0

    def until(self, true: Callable[[], object], within_s: float = 20) -> None:
        deadline = time.monotonic() + within_s
        while not true():
            assert time.monotonic() < deadline, (self.folder / "ingress.log").read_text()
            time.sleep(0.02)

    def process(self, kind: str) -> int:
        """The number of the process of this kind, alive and of this stage; 0 where there is none."""
        return max(self.processes(kind), default=0)

    def signal(self, kind: str, number: int) -> None:
        """Send it to the process of this kind, once it is there."""
        found: list[int] = []
        self.until(lambda: found.append(self.process(kind)) or found[-1])
        os.kill(found[-1], number)  # never 0: that is everybody

    def processes(self, kind: str) -> list[int]:
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                words = (place / "cmdline").read_bytes().decode()
            except OSError:
                continue
            if kind in words and str(self.folder) in words and is_alive(int(place.name)):
                found.append(int(place.name))
        return found

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def end(self) -> None:
        for kind in ("raylet", "manager", "keeper", "haproxy"):
            for process in self.processes(kind):
                with suppress(ProcessLookupError):  # it has ended meanwhile
                    os.kill(process, signal.SIGKILL)
        self.raylet.wait()
        self.replica.shutdown()
        self.replica.server_close()


def main(role: str, *words: str) -> None:
    if role == "raylet":
        subprocess.run([sys.executable, __file__, "manager", *words], check=False)
        time.sleep(60)
    elif role == "manager":
        asyncio.run(manage(Path(words[0]), int(words[1]), int(words[2])))


async def manage(folder: Path, port: int, grpc_port: int) -> None:
    """What Ray's HAProxyManager does, with the same class."""
    from ray.serve._private.common import RequestProtocol
    from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
    from ray.serve.config import HTTPOptions, gRPCOptions

    options = gRPCOptions(port=grpc_port, grpc_servicer_functions=["pickle.dumps"])
    api = HAProxyApi(
        HAProxyConfig(
            socket_path=str(folder / "admin.sock"),
            http_options=HTTPOptions(host="127.0.0.1", port=port),
            grpc_options=options,
            enable_hap_optimization=False,
            is_head=True,
        ),
        config_file_path=str(folder / "haproxy.cfg"),
    )
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command, *ports = line.split()
        backends = {}
        for protocol in (RequestProtocol.HTTP, RequestProtocol.GRPC) if ports else ():
            kind = protocol.value.lower()
            servers = [ServerConfig(f"replica-{number}", "127.0.0.1", int(number)) for number in ports]
            backends[kind] = BackendConfig(
                f"{kind}-app", "/", app_name="app", servers=servers, protocol=protocol,
                http_health_check_path="/-/healthz",
            )  # fmt: skip
        api.set_backend_configs(backends)
        try:
            await (api.stop() if command == "stop" else api.reload() if api._proc else api.start())
            print("done", flush=True)
        except RuntimeError as error:
            print(str(error).replace("\n", " "), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
