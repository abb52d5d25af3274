"""An application that does nothing: behind Serve as the project sets it up, and alone on uvicorn."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.serving.service import free_port

SERVE = """
import signal, sys, tempfile, threading
from pathlib import Path
from react_ray.cluster.session import environment
from react_ray.config.service import ServeConfig
from react_ray.serve.ingress import settings as ingress
port = int(sys.argv[1])
own = tempfile.TemporaryDirectory(prefix="react-ray-")
with environment({**ingress.variables(ServeConfig()), **ingress.private(Path(own.name))}):
    import ray
    from fastapi import FastAPI, Request
    from ray import serve

    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config={"enable_access_log": False})
    app = FastAPI()

    @serve.deployment(max_ongoing_requests=256)
    @serve.ingress(app)
    class NoOp:
        @app.post("/predict")
        async def predict(self, request: Request):
            return await request.json()

    serve.run(NoOp.bind(), logging_config={"enable_access_log": False})
    signal.sigwait([signal.SIGTERM])
    serve.shutdown()
    ray.shutdown()
"""
BARE = """
import sys, uvicorn
from fastapi import FastAPI, Request
app = FastAPI()

@app.post("/predict")
async def predict(request: Request):
    return await request.json()

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
"""


def noop_serve() -> object:
    return _started(SERVE)


def bare_fastapi() -> object:
    return _started(BARE)


@contextmanager
def _started(code: str) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}/predict"
    command = [sys.executable, "-c", code, str(port)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 120
        while not _answers(url):
            if time.monotonic() > deadline or process.poll() is not None:
                raise SystemExit("the application that does nothing did not start")
            time.sleep(0.3)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _answers(url: str) -> bool:
    request = urllib.request.Request(url, b"{}", {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=5):
            return True
    except OSError:
        return False
