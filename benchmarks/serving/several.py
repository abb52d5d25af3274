"""Two models in one service: an application for each, or replicas that hold both.

    python -m benchmarks.serving.several

Both ways have two replicas of a core each behind HAProxy, and the same engine and handler; nothing of the
project's own application is in the way. ``multiplexed`` is Serve's: a header names the model. Load of 16
callers a model, then of 32 callers for one of them. Kept in benchmarks/results/serving_several.json.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.serving.service import free_port, make_model
from benchmarks.serving.tiny import texts
from benchmarks.serving.victims import Victims

RESULT = Path(__file__).parents[1] / "results" / "serving_several.json"
WAYS = ("applications", "multiplexed")
MODELS = ("a", "b")
SECONDS, CALLERS, START_S = 15.0, 16, 180
SERVICE = """
import asyncio, signal, sys, tempfile
from pathlib import Path
from react_ray.cluster.session import environment
from react_ray.config.service import ServeConfig
from react_ray.inference.onnx_classifier import OnnxClassifier
from react_ray.inference.onnx_record import FOLDER, OnnxRecord
from react_ray.serve.ingress import settings as ingress
way, folder, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
own = tempfile.TemporaryDirectory(prefix="react-ray-")
with environment({**ingress.variables(ServeConfig()), **ingress.private(Path(own.name))}):
    import ray
    from ray import serve
    from starlette.requests import Request
    from starlette.responses import JSONResponse

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config={"enable_access_log": False})

    def load(name):
        model = folder / name
        return OnnxClassifier(model, model / FOLDER, OnnxRecord.load(model / FOLDER), "fp32")

    async def answer(model, request):
        text = (await request.json())["inputs"]
        found = await asyncio.to_thread(lambda: model.predict_proba([text]))
        return JSONResponse(found.tolist())

    @serve.deployment(num_replicas=1, ray_actor_options={"num_cpus": 1}, max_ongoing_requests=256)
    class One:
        def __init__(self, name):
            self.model = load(name)

        async def __call__(self, request: Request):
            return await answer(self.model, request)

    @serve.deployment(num_replicas=2, ray_actor_options={"num_cpus": 1}, max_ongoing_requests=256)
    class Many:
        @serve.multiplexed(max_num_models_per_replica=2)
        async def get(self, name):
            return await asyncio.to_thread(load, name)

        async def __call__(self, request: Request):
            return await answer(await self.get(request.headers["serve_multiplexed_model_id"]), request)

    quiet = {"logging_config": {"enable_access_log": False}}
    if way == "applications":
        for name in "ab":
            serve.run(One.bind(name), name=name, route_prefix=f"/{name}", **quiet)
    else:
        serve.run(Many.bind(), **quiet)
    signal.sigwait([signal.SIGTERM])
    serve.shutdown()
    ray.shutdown()
"""


def main() -> None:
    """Both ways in turn, twice; keep and print what was found."""
    rounds: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed, model in enumerate(MODELS):
            make_model(folder / model, seed)
        for _ in range(2):
            rounds += [{"way": way, **measure(way, folder)} for way in WAYS]
    RESULT.write_text(json.dumps({"cpus": os.cpu_count(), "rounds": rounds}, indent=1) + "\n")
    print("| | requests/s, both models | p99 ms | requests/s, one of them | p99 ms | MiB of the replicas |")
    print("|---|---|---|---|---|---|")
    for way in WAYS:
        own = [found for found in rounds if found["way"] == way]
        keys = ("both", "both_p99", "one", "one_p99", "mib")
        cells = [f"{sum(found[key] for found in own) / len(own):,.0f}" for key in keys]
        print(f"| {way} | " + " | ".join(cells) + " |")


def measure(way: str, folder: Path) -> dict[str, float]:
    """Requests/s and p99 in ms under both loads, and what the replicas weigh then."""
    with started(way, folder) as (url, victims):
        asyncio.run(load(way, url, [*MODELS], 2.0))  # warm, and both models in memory
        both, one = (asyncio.run(load(way, url, models, SECONDS)) for models in ([*MODELS], [MODELS[0]]))
        mib = victims.mib()["replica"]
    figures = {"both": both[0], "both_p99": both[1], "one": one[0], "one_p99": one[1], "mib": mib}
    print(way, figures, flush=True)
    return figures


async def load(way: str, url: str, models: Sequence[str], seconds: float) -> tuple[float, float]:
    """Requests/s and the p99 in ms of callers that share the models evenly."""
    words, chance = texts(100), random.Random(0)
    end, taken = time.monotonic() + seconds, list[float]()

    async def caller(session: aiohttp.ClientSession, model: str) -> None:
        target = f"{url}/{model}" if way == "applications" else url
        headers = {} if way == "applications" else {"serve_multiplexed_model_id": model}
        while time.monotonic() < end:
            began = time.monotonic()
            async with session.post(target, json={"inputs": chance.choice(words)}, headers=headers) as answer:
                answer.raise_for_status()
                await answer.read()
            taken.append(1000 * (time.monotonic() - began))

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        callers = CALLERS * len(MODELS)
        await asyncio.gather(*(caller(session, models[number % len(models)]) for number in range(callers)))
    taken.sort()
    return len(taken) / seconds, taken[int(0.99 * len(taken))]


@contextmanager
def started(way: str, folder: Path) -> Iterator[tuple[str, Victims]]:
    """The service, in a process of its own."""
    port, victims = free_port(), Victims()
    process = subprocess.Popen(
        [sys.executable, "-c", SERVICE, way, str(folder), str(port)],
        env={**os.environ, **victims.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + START_S
    try:
        while not asyncio.run(answers(way, url)):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{way}: the service did not start")
            time.sleep(0.5)
        yield url, victims
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        victims.sweep()


async def answers(way: str, url: str) -> bool:
    """Whether both models do."""
    try:
        for model in MODELS:
            await load(way, url, [model], 0.05)
    except (aiohttp.ClientError, OSError):
        return False
    return True


if __name__ == "__main__":
    main()
