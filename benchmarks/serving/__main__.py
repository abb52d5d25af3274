"""How fast the service is: beside the machine's limit, its own engine, and other servers of the same model.

    python -m benchmarks.serving --light-python A/bin/python --bento-python B/bin/python \\
        --infinity-python C/bin/python

Servers are started in turn, round after round, on 127.0.0.1, one at a time, and asked by wrk over 32
connections (and one) with texts of equal length (32 tokens) and of mixed lengths. All serve the same MiniLM
classifier. Peers whose environment is not given are left out, and named. Figures are medians over the rounds;
all are kept in benchmarks/results/serving.json, from which --table-only makes the table and the picture
of docs/serving.md again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.serving.limits import engine_figures
from benchmarks.serving.noop import bare_fastapi, noop_serve
from benchmarks.serving.picture import draw_bars
from benchmarks.serving.service import WORDS, free_port, make_model, served
from benchmarks.serving.table import print_table

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "serving.json"
PICTURE = HERE.parents[1] / "docs" / "pictures" / "serving.svg"
OUT = Path("out/benchmarks/serving")
EQUAL, TEXTS = 30, 512
"""Words of a text of equal length: with the two tokens around them, 32."""

FORMS = {"infinity-emb": "infinity", "BentoML": "list"}
"""How a request is put, where not as {"inputs": "a text"}."""
WAIT = ("--timeout", "30000")  # milliseconds; mosec's own 3,000 refuse what it cannot do in time
Server = Callable[[], AbstractContextManager[str]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8, help="of each measurement")
    parser.add_argument("--light-python", type=Path, help="environment with litserve and mosec")
    parser.add_argument("--bento-python", type=Path, help="environment with bentoml")
    parser.add_argument("--infinity-python", type=Path, help="environment with infinity-emb[server,torch]")
    parser.add_argument("--result", type=Path, default=RESULTS)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--table-only", action="store_true")
    options = parser.parse_args()
    if not options.table_only:
        measure(options)
    kept = json.loads(options.result.read_text())
    print_table(kept)
    options.picture.write_text(draw_bars(kept))


def measure(options: argparse.Namespace) -> None:
    """All servers, round after round; what is measured is kept after each round."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: apt install wrk")
    model = make_model(OUT / "model")
    lengths = write_texts(OUT)
    kept: dict[str, Any] = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "machine": platform.platform(terse=True),
        "tokens": {name: statistics.mean(counts) for name, counts in lengths.items()},
        "rounds": [],
    }
    servers = contestants(options, model.resolve())
    for number in range(options.rounds):
        figures: dict[str, Any] = {"engine": engine_figures(model, lengths, OUT)}
        for name, server in servers.items():
            figures[name] = asked(server, name, options.seconds)
            print(f"round {number + 1}: {name}: {figures[name]}", flush=True)
        kept["rounds"].append(figures)
        options.result.write_text(json.dumps(kept, indent=1) + "\n")


def asked(server: Server, name: str, seconds: int) -> dict[str, Any]:
    """What wrk measures of a server: a kind of text, and connections."""
    figures: dict[str, Any] = {}
    with server() as url:
        kinds = ["noop"] if name in ("no-op Serve", "uvicorn + FastAPI") else ["equal", "mixed"]
        for kind in kinds:
            bodies = OUT / f"{kind}-{FORMS.get(name, 'plain')}.jsonl"
            wrk(url, bodies, 32, 2)
            figures[f"{kind} c=32"] = wrk(url, bodies, 32, seconds)
            figures[f"{kind} c=1"] = wrk(url, bodies, 1, seconds)
    return figures


def wrk(url: str, bodies: Path, connections: int, seconds: int) -> dict[str, float]:
    """Requests a second, and the median and 99th percentile of their time."""
    base, path = url.rsplit("/", 1)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
    command += ["-s", str(HERE / "wrk.lua"), base, "--", f"/{path}", str(bodies)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    figures = json.loads(said.strip().splitlines()[-1])
    return {
        "rps": figures["requests"] / figures["seconds"],
        **{key: figures[key] for key in ("p50_ms", "p99_ms", "failed")},
    }


def write_texts(folder: Path) -> dict[str, list[int]]:
    """The bodies that are sent, a line each; tokens of each text of a kind."""
    chance = random.Random(0)

    def text(words: int) -> str:
        return " ".join(chance.choices(WORDS, k=words))

    drawn = [int(chance.lognormvariate(3.2, 0.9)) for _ in range(TEXTS)]
    words = {"equal": [EQUAL] * TEXTS, "mixed": [min(254, max(3, count)) for count in drawn]}
    for kind, counts in words.items():
        texts = [text(count) for count in counts]
        forms = {
            "plain": [{"inputs": one} for one in texts],
            "infinity": [{"model": "classifier", "input": [one]} for one in texts],
            "list": [{"inputs": [one]} for one in texts],
        }
        for form, bodies in forms.items():
            lines = "".join(json.dumps(body) + "\n" for body in bodies)
            (folder / f"{kind}-{form}.jsonl").write_text(lines)
        (folder / f"{kind}.txt").write_text("\n".join(texts))
    (folder / "noop-plain.jsonl").write_text('{"inputs": "a"}\n')
    return {kind: [count + 2 for count in counts] for kind, counts in words.items()}


def contestants(options: argparse.Namespace, model: Path) -> dict[str, Server]:
    """Name -> how it is started; a context that gives the address to post to."""

    def ours(*settings: str) -> Server:
        @contextmanager
        def run() -> Iterator[str]:
            with served(model, *settings) as running:
                yield f"{running.url}/predict"

        return run

    found: dict[str, Server] = {
        "react-ray": ours(),
        "react-ray int8": ours("precision=int8"),
        "no-op Serve": noop_serve,
        "uvicorn + FastAPI": bare_fastapi,
    }
    light, bento, infinity = options.light_python, options.bento_python, options.infinity_python
    peers = HERE / "peers"
    if light:
        found["LitServe"] = peer([light, peers / "litserve_server.py", "{port}"], model, "predict")
        found["mosec"] = peer(
            [light, peers / "mosec_server.py", "--port", "{port}", *WAIT], model, "inference"
        )
    if bento:
        command = [bento.parent / "bentoml", "serve", "bento_server:Classify", "--port", "{port}"]
        found["BentoML"] = peer([*command, "--host", "127.0.0.1"], model, "predict")
    if infinity:
        command = [infinity.parent / "infinity_emb", "v2", "--model-id", model, "--port", "{port}"]
        command += ["--served-model-name", "classifier", "--host", "127.0.0.1", "--device", "cpu"]
        command += ["--engine", "torch", "--no-bettertransformer", "--log-level", "warning"]
        found["infinity-emb"] = peer(command, model, "classify")
    for name, given in {"LitServe, mosec": light, "BentoML": bento, "infinity-emb": infinity}.items():
        if not given:
            print(f"left out: {name} (its environment was not given)")
    return found


def peer(command: Sequence[Any], model: Path, path: str) -> Server:
    """Another server in its own environment, with as many threads as there are cores."""

    @contextmanager
    def run() -> Iterator[str]:
        port = free_port()
        words = [str(word).format(port=port) for word in command]
        environment = {**os.environ, "MODEL": str(model), "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}
        environment.pop("OMP_NUM_THREADS", None)
        log = (OUT / "peer.log").open("w")
        process = subprocess.Popen(
            words, env=environment, cwd=HERE / "peers", stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_for(port, process)
            yield f"http://127.0.0.1:{port}/{path}"
        finally:
            stop_group(process)

    return run


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until the server listens and a little longer: some load their model after that."""
    import socket

    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.3)
        else:
            time.sleep(8)
            return
    raise SystemExit(f"{process.args} did not start: see {OUT / 'peer.log'}")


def stop_group(process: subprocess.Popen[bytes]) -> None:
    """End the server and the processes that it started."""
    import signal

    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    main()
