"""A cluster on this machine that serves: a head, and nodes that can be lost.

    python -m benchmarks.serving.cluster ADDRESS MODEL PORT REPLICAS

deploys a model there as ``serve deploy`` does; the class below runs this.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from benchmarks.serving.service import free_port
from benchmarks.serving.victims import Victims
from react_ray.cluster.session import connection_error
from react_ray.config.service import ServeConfig
from react_ray.serve.deploy import serve_config
from react_ray.serve.ingress import settings as ingress

READY_S = 120


class Cluster:
    """Started and ended with the block. The head has room for replicas only where there are no nodes."""

    def __init__(self, folder: Path, nodes: int):
        self._folder, self._count = folder, nodes
        self._gcs, self._port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.victims = Victims()
        self._environment = {
            **os.environ,
            **ingress.variables(ServeConfig()),
            **self.victims.environment,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "OMP_NUM_THREADS": "1",
        }

    def __enter__(self) -> Cluster:
        cpus = 0 if self._count else 8
        self._head = self._start(
            "--head", f"--port={self._gcs}", f"--num-cpus={cpus}", "--include-dashboard=false"
        )
        self._nodes: list[subprocess.Popen[bytes]] = []
        deadline = time.monotonic() + READY_S
        while connection_error("127.0.0.1", self._gcs) and time.monotonic() < deadline:
            time.sleep(0.5)
        for _ in range(self._count):
            self._nodes.append(self._node())
            time.sleep(5)  # at once they would take the same ports
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for group in (*self._nodes, self._head):
            self._end(group)
        self.victims.sweep(0)

    def deploy(self, model: Path, replicas: int) -> None:
        """The model is put online, or takes the place of another; returns when all its replicas run."""
        words = [f"127.0.0.1:{self._gcs}", str(model), str(self._port), str(replicas)]
        command = [sys.executable, "-m", "benchmarks.serving.cluster", *words]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"the model was not deployed:\n{done.stderr[-3000:]}")

    def restart(self, number: int) -> None:
        """A node is gone with all its processes, and another one comes."""
        self._end(self._nodes[number])
        self._nodes[number] = self._node()

    def _node(self) -> subprocess.Popen[bytes]:
        return self._start(f"--address=127.0.0.1:{self._gcs}", "--num-cpus=2")

    def _start(self, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
        command += ["--node-ip-address=127.0.0.1", f"--dashboard-agent-listen-port={free_port()}", *options]
        own = {
            **ingress.private(Path(tempfile.mkdtemp(dir=self._folder))),
            "RAY_SERVE_WORKER_PROXY_HTTP_PORT": str(free_port()),
        }
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(
            [*command, f"--temp-dir={self._folder}"],
            env={**self._environment, **own},
            start_new_session=True,
            **quiet,  # type: ignore[call-overload]
        )

    def _end(self, group: subprocess.Popen[bytes]) -> None:
        os.killpg(group.pid, signal.SIGKILL)
        group.wait()


def deploy(address: str, model: str, port: int, replicas: int) -> None:
    """From a driver: what the dashboard does for ``serve deploy``, and wait."""
    import ray
    from ray import serve
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    config = ServeConfig(port=port, replicas=replicas, access_log=False)
    deadline = time.monotonic() + READY_S
    while True:
        try:
            ray.init(address, log_to_driver=False)
            break
        except ConnectionError:  # the head is about to start
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    serve.start(proxy_location="EveryNode", http_options={"host": "127.0.0.1", "port": port})
    schema = ServeDeploySchema.model_validate(serve_config({"": Path(model)}, config))
    client = _get_global_client()
    assert client is not None
    client.deploy_apps(schema, _blocking=True)
    while any(
        state != "RUNNING" or count != replicas
        for application in serve.status().applications.values()
        for deployment in application.deployments.values()
        for state, count in deployment.replica_states.items()
    ):
        if time.monotonic() > deadline:
            raise SystemExit(f"not ready after {READY_S} s: {serve.status()}")
        time.sleep(0.2)
    ray.shutdown()


if __name__ == "__main__":
    deploy(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
