"""What is used of Ray beyond its public interface is as this package takes it: to run first on a new Ray."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
from pathlib import Path
from unittest.mock import Mock

import grpc
import pytest
import ray
from ray.serve.handle import DeploymentBroadcastResponse

from react_ray.cluster import ray_private
from react_ray.serve.protocols.v2.methods import LIST


def test_rules_of_an_ignore_file_are_those_of_git() -> None:
    rules = ray_private.ignore_rules(["*.csv", "!keep.csv", "/data/"])
    names = ("a.csv", "deep/a.csv", "keep.csv", "data/x", "deep/data/x")
    assert [rules.match_file(name) for name in names] == [True, True, False, True, False]
    with pytest.raises((ValueError, IndexError)):
        ray_private.ignore_rules(["!"])


def test_a_broadcast_tells_which_replicas_it_went_to() -> None:
    async def replicas() -> list[str]:
        return ["one", "another"]

    async def asked() -> list[str]:
        response = DeploymentBroadcastResponse(replicas(), None)  # type: ignore[arg-type]
        return [*await ray_private.broadcast_results(response)]

    assert asyncio.run(asked()) == ["one", "another"]


def test_the_answer_of_a_replica_can_be_waited_for_and_given_up() -> None:
    from ray.serve._private.replica_result import ReplicaResult

    assert inspect.iscoroutinefunction(ReplicaResult.get_async)
    assert callable(ReplicaResult.cancel)


def test_a_method_of_rays_own_grpc_service_is_there_until_it_is_forgotten() -> None:
    from ray.serve._private.grpc_util import gRPCGenericServer
    from ray.serve.generated.serve_pb2_grpc import add_RayServeAPIServiceServicer_to_server

    async def status(*methods: str) -> str:
        server = gRPCGenericServer(lambda **_: answer)
        add_RayServeAPIServiceServicer_to_server(Mock(), server)
        for method in methods:
            ray_private.forget_grpc_method(server, method)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                await channel.unary_unary(LIST)(b"", timeout=20)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        finally:
            await server.stop(None)
        return "OK"

    async def answer(*_: object) -> bytes:
        return b""

    assert asyncio.run(status()) == "OK"
    assert asyncio.run(status(LIST)) == "UNIMPLEMENTED"


def test_a_placement_group_is_known_by_its_id() -> None:
    from ray._raylet import PlacementGroupID
    from ray.util.placement_group import PlacementGroup

    name = "0123456789abcdef" * 2 + "0100"
    assert PlacementGroup(PlacementGroupID.from_hex(name)).id.hex() == name


def test_ray_takes_a_folder_for_its_files() -> None:
    assert 'kwargs.pop("_temp_dir"' in inspect.getsource(inspect.unwrap(ray.init))


@pytest.mark.parametrize("name", ray_private.JOB_LOGGERS)
def test_the_client_for_jobs_logs_under_the_names_that_are_silenced(name: str) -> None:
    module = importlib.import_module(name)
    loggers = [value for value in vars(module).values() if isinstance(value, logging.Logger)]
    assert logging.getLogger(name) in loggers


@pytest.mark.parametrize(
    ("name", "module"),
    [
        (ray_private.JOB_CONFIG, "ray._private.runtime_env.constants"),
        (ray_private.COLLECTIVE_TIMEOUT, "ray.train.v2._internal.constants"),
        (ray_private.GROUP_START_TIMEOUT, "ray.train.v2._internal.constants"),
    ],
)
def test_ray_reads_the_variable(name: str, module: str) -> None:
    found = importlib.import_module(module)
    assert f'"{name}"' in Path(str(found.__file__)).read_text(encoding="utf-8")
