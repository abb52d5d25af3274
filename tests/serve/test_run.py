"""``serve`` as a user starts it: a process that says when it is ready, and stops when told."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from ports import free_port
from service_client import LABELS, Client

from react_ray.cluster.guard import marked
from react_ray.cluster.session import Session
from react_ray.config.file import load_serve_config
from react_ray.config.service import ServeConfig
from react_ray.errors import ClusterError, InputError
from react_ray.serve.deploy import write_config
from react_ray.serve.engine.memory import free_memory
from react_ray.serve.protocols.v2 import inference_pb2 as wire
from react_ray.serve.readiness import wait_until_ready
from react_ray.serve.run import serve

START = """
import json, sys
from react_ray.config.service import ServeConfig
from react_ray.serve.engine.memory import free_memory
from react_ray.serve.run import serve
serve(sys.argv[1], ServeConfig(**json.loads(sys.argv[2])))
"""


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these starts its own Ray, whatever the developer's shell says."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_missing_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no model found there"):
        serve(tmp_path / "nowhere")
    with pytest.raises(InputError, match="the run is not finished"):
        serve(tmp_path)


def test_port_in_use(classifier_folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"port {port} on 127.0.0.1 is in use.*--port"):
            serve(classifier_folder, ServeConfig(port=port))
        with pytest.raises(InputError, match=rf"port {port} on 0.0.0.0 is in use.*grpc_port="):
            serve(classifier_folder, ServeConfig(host="0.0.0.0", port=free_port(), grpc_port=port))


def test_too_little_memory(classifier_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("react_ray.serve.engine.memory.free_memory", lambda: 2_000_000_000)
    said = r"3 replica\(s\) of .* need about 2\.\d GB of memory, and 2\.0 GB are free.*--replicas"
    with pytest.raises(ClusterError, match=said):
        serve(classifier_folder, ServeConfig(replicas=3))


def test_free_memory_is_what_the_machine_has() -> None:
    free = free_memory()
    assert free is not None
    assert 100 << 20 < free < 100 << 40


def test_host_that_is_not_here(classifier_folder: Path) -> None:
    with pytest.raises(InputError, match=r"cannot listen on 203.0.113.9 port 8000"):
        serve(classifier_folder, ServeConfig(host="203.0.113.9"))


@pytest.mark.parametrize("host", ["::", "::1", "[2001:db8::7]"])
def test_ipv6_on_a_cluster_is_an_error_at_once(classifier_folder: Path, tmp_path: Path, host: str) -> None:
    with pytest.raises(InputError, match=r"on a cluster Ray Serve listens on IPv4; give --host 0\.0\.0\.0"):
        serve(classifier_folder, ServeConfig(host=host), address="127.0.0.1:1")
    with pytest.raises(InputError, match="on a cluster Ray Serve listens on IPv4"):
        write_config(str(classifier_folder), ServeConfig(host=host), tmp_path / "serve.yaml")


@pytest.mark.parametrize("host", ["::", "::1"])
def test_a_port_in_use_on_either_kind_of_address(classifier_folder: Path, host: str) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"port {port} on {host} is in use"):
            serve(classifier_folder, ServeConfig(host=host, port=port))


def test_a_service_that_does_not_get_ready_says_how_to_give_it_longer() -> None:
    said: list[str] = []
    with pytest.raises(ClusterError, match=r"still waiting for a replica(?s:.*)\(start_timeout_s=0.2\)"):
        wait_until_ready(lambda: "a replica", 0.1, said.append)
    assert said == [], "only every ten seconds"
    wait_until_ready(lambda: None, 0.1, said.append)
    assert load_serve_config(["start_timeout_s=0.2"]).start_timeout_s == 0.2


@pytest.fixture
def ray_with_a_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A Ray without cores on which a service runs; what is deleted of it."""
    deleted: list[str] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def status() -> SimpleNamespace:
        time.sleep(0.5)  # the end of a service waits for this
        return SimpleNamespace(applications={"react-ray": None} if not deleted else {})

    monkeypatch.setattr(Session, "start", lambda _: None)  # as where the caller has started Ray
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 2})
    monkeypatch.setattr("ray.serve.start", lambda **_: None)
    monkeypatch.setattr("ray.serve.status", status)
    monkeypatch.setattr("ray.serve.delete", deleted.append)
    monkeypatch.setattr("ray.serve.shutdown", lambda: deleted.append("Ray Serve"))
    yield deleted
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_service_that_is_not_deployed_leaves_the_one_that_runs(
    ray_with_a_service: list[str], classifier_folder: Path
) -> None:
    with pytest.raises(ClusterError, match="3 replicas of 1 cores each need more than the 2 cores"):
        serve(classifier_folder, ServeConfig(replicas=3), address="127.0.0.1:1")
    assert ray_with_a_service == []


@pytest.mark.parametrize("address", [None, "127.0.0.1:1"])
def test_what_was_deployed_is_deleted_on_a_ray_that_was_there_before(
    ray_with_a_service: list[str],
    classifier_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: str | None,
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ray.serve.run_many", interrupted)
    serve(classifier_folder, ServeConfig(port=free_port()), address=address)
    assert ray_with_a_service == ["react-ray", *(["Ray Serve"] if address else [])]


def listeners(port: int) -> set[str]:
    """Addresses (hexadecimal, as the kernel writes them) that listen on ``port``."""
    rows = [
        line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()
    ]
    return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")}


def open_to_others(name: str) -> set[str]:
    """Addresses beyond this machine on which programs of this name listen."""
    sockets = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "comm").read_text().strip() == name:
                sockets |= {link.readlink().name for link in (process / "fd").iterdir()}
    found = set()
    for family in ("tcp", "tcp6"):
        for line in Path("/proc/net", family).read_text().splitlines()[1:]:
            row = line.split()
            if row[3] == "0A" and f"socket:[{row[9]}]" in sockets and not row[1].startswith("0100007F:"):
                found.add(row[1])
    return found


@pytest.mark.ray
def test_serves_until_it_is_told_to_stop(classifier_folder: Path, tmp_path: Path) -> None:
    port = free_port()
    settings = {
        "port": port,
        "max_ongoing": 2,
        "max_queued": 1,
        "cpus_per_replica": 1,
        "body_timeout_s": 2,
    }
    run_folder = str(classifier_folder.parent)
    command = [sys.executable, "-c", START, run_folder, json.dumps(settings)]
    with (
        (tmp_path / "err.txt").open("w+") as err,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True) as process,
        contextlib.ExitStack() as in_the_end,
    ):
        in_the_end.callback(process.send_signal, signal.SIGTERM)  # does nothing where it has ended
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"Ready: http://127.0.0.1:{port}")
        example = shlex.split(process.stdout.readline())
        client = Client(port)
        client_answers_the_example(client, example)
        assert listeners(port) == {"0100007F"}
        assert open_to_others("haproxy") == set()
        overload_is_refused_politely(client)
        headers_that_never_end_are_cut_off(port)
        a_caller_cannot_change_the_time_limit(client)
        folder = folder_of(tmp_path / "err.txt")
        a_death_is_one_line(folder, tmp_path / "err.txt", client)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(client.predict, ["a long text " * 20] * 256)
            time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            assert len(running.result().json) == 256
        assert "Ctrl-C stops it." in process.stdout.read()
        assert process.wait(60) == 0
    said = (tmp_path / "err.txt").read_text()
    assert "Stopping" in said
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if ": waiting for " not in line]  # on a busy machine
    assert len(lines) == 3, said
    assert nothing_is_left(folder, port)


def folder_of(said: Path) -> Path:
    """Where the service has its files, as it said."""
    found = re.search(r"\(logs: (.*)/ray/session_latest/logs\)", said.read_text())
    assert found is not None
    return Path(found[1])


def a_death_is_one_line(folder: Path, said: Path, client: Client) -> None:
    (replica,) = (
        process for process in marked(str(folder)) if title(process).startswith("ray::ServeReplica")
    )
    os.kill(replica, signal.SIGKILL)
    line = (
        f"Died: a replica of react-ray (process {replica}). Ray starts another one; more in {folder}/ray.log"
    )
    wait_until(lambda: line in said.read_text().splitlines())
    wait_until(lambda: client.get("/readyz").status == 200)
    assert str(replica) in (folder / "ray.log").read_text()


def title(process: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_text().partition("\0")[0]
    return ""


def nothing_is_left(folder: Path, port: int) -> bool:
    return not (marked(str(folder)) or folder.exists() or listeners(port))


def wait_until(true: Callable[[], object], within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.ray
def test_nothing_is_left_of_a_service_that_was_killed(classifier_folder: Path, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-c", START, str(classifier_folder), json.dumps({"host": "::", "port": port})]
    with (
        (tmp_path / "err.txt").open("w+") as err,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(f"Ready: http://[::1]:{port}")
            folder = folder_of(tmp_path / "err.txt")
            assert folder.stat().st_mode & 0o777 == 0o700
            assert {title(one).rpartition("/")[2] for one in marked(str(folder))} >= {"raylet", "haproxy"}
            for where in ("127.0.0.1", "[::1]"):
                with urllib.request.urlopen(f"http://{where}:{port}/readyz", timeout=20) as answer:
                    assert answer.status == 200
        finally:
            process.kill()
    wait_until(lambda: nothing_is_left(folder, port), 30)


@pytest.mark.ray
def test_several_models_answer_each_under_its_name(classifier_folder: Path, tmp_path: Path) -> None:
    port = free_port()
    other = tmp_path / "other"
    shutil.copytree(classifier_folder, other / "model")
    config = json.loads((other / "model" / "config.json").read_text())
    config["id2label"] = {number: f"other {label}" for number, label in config["id2label"].items()}
    (other / "model" / "config.json").write_text(json.dumps(config))
    (tmp_path / "models.yaml").write_text(f"first: {classifier_folder.parent}\nsecond-1: other\n")
    command = [sys.executable, "-c", START, str(tmp_path / "models.yaml"), json.dumps({"port": port})]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(f"Ready: http://127.0.0.1:{port}/first")
            assert process.stdout.readline().strip() == f"http://127.0.0.1:{port}/second-1"
            two_models_answer(Client(port))
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def two_models_answer(client: Client) -> None:
    body, kind = b'{"inputs": "ball"}', {"Content-Type": "application/json"}
    first, second = (
        client.send("POST", f"/{name}/predict", body, kind).json for name in ("first", "second-1")
    )
    assert {row["label"] for row in first} == set(LABELS)
    assert {row["label"] for row in second} == {f"other {label}" for label in LABELS}
    assert client.get("/second-1/readyz").status == 200
    assert client.get("/first/").status == 200
    bare = client.get("/first")  # what the page asks for lies beside it: the slash is needed
    assert bare.status == 307
    assert bare.headers["location"] == "first/", "relative: a proxy before it may have another address"
    assert client.send("POST", "/predict", body, kind).status == 404


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("Upper: {folder}", "the name 'Upper' cannot stand in an address"),
        ("a/b: {folder}", "the name 'a/b' cannot stand in an address"),
        ("first: nowhere", "first: .*nowhere: no model found there"),
        ("first: [1]", r"first: expected the folder of a run or model, found \[1\]"),
        ("- {folder}", "expected a line `name: folder`"),
        ("a: b: c", "not YAML"),
        ("", "expected a line"),
    ],
)
def test_a_list_of_models_that_is_none(
    content: str, said: str, classifier_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "models.yaml").write_text(content.format(folder=classifier_folder))
    with pytest.raises(InputError, match=rf"models\.yaml.* {said}"):
        serve(tmp_path / "models.yaml")


@pytest.mark.ray
def test_an_address_has_one_rate_over_http_and_grpc_and_cannot_be_made_up(
    classifier_folder: Path, tmp_path: Path
) -> None:
    port, grpc_port = free_port(), free_port()
    settings = {"host": "0.0.0.0", "port": port, "grpc_port": grpc_port, "rate_limit": 0.01}
    command = [sys.executable, "-c", START, str(classifier_folder), json.dumps(settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("Ready: ")
            assert infer_from(f"127.0.0.1:{grpc_port}", "198.51.100.1") == "OK"
            assert infer_from(f"127.0.0.1:{grpc_port}", "198.51.100.2") == "RESOURCE_EXHAUSTED"
            places = enumerate((1, 2, 3, 2))
            statuses = [predict_from(port, f"127.0.0.{it}", f"198.51.100.{n}") for n, it in places]
            assert statuses == [429, 200, 200, 429]
            assert listeners(port) == {"00000000"}, "on all interfaces, as asked for"
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def infer_from(where: str, forwarded: str) -> str:
    """The status of a gRPC call that claims to come from elsewhere."""
    message = wire.ModelInferRequest(model_name="classifier")
    message.inputs.add(name="text", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"ball")
    with grpc.insecure_channel(where) as channel:
        grpc.channel_ready_future(channel).result(timeout=20)
        ask = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=wire.ModelInferRequest.SerializeToString,
            response_deserializer=wire.ModelInferResponse.FromString,
        )
        try:
            _, call = ask.with_call(message, metadata=[("x-forwarded-for", forwarded)], timeout=30)
        except grpc.RpcError as error:
            return error.code().name
        return call.code().name


def predict_from(port: int, address: str, forwarded: str) -> int:
    """The status of a request over HTTP from this address of the machine's own, which claims another."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30, source_address=(address, 0))
    headers = {"Content-Type": "application/json", "X-Forwarded-For": forwarded}
    with contextlib.closing(connection):
        connection.request("POST", "/predict", b'{"inputs": "ball"}', headers)
        return connection.getresponse().status


def client_answers_the_example(client: Client, example: list[str]) -> None:
    assert example[0] == "curl"
    assert example[-1] == f"http://127.0.0.1:{client.port}/predict"
    answer = client.post(example[example.index("-d") + 1].encode())
    assert [len(ranking) for ranking in answer.json] == [len(LABELS)]


def overload_is_refused_politely(client: Client) -> None:
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: client.predict(["a long text " * 20] * 64), range(24)))
    refused = [answer for answer in answers if answer.status != 200]
    assert refused
    assert len(refused) < len(answers)
    assert {(answer.status, answer.headers["retry-after"]) for answer in refused} == {(429, "1")}


def headers_that_never_end_are_cut_off(port: int) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert slow.recv(4096).startswith(b"HTTP/1.1 408")
    assert time.monotonic() - began < 15


def a_caller_cannot_change_the_time_limit(client: Client) -> None:
    headers = {"Content-Type": "application/json", "X-Request-Timeout-Seconds": "0.0001"}
    assert client.send("POST", "/predict", b'{"inputs": "ball"}', headers).status == 200
