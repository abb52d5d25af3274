"""Registration of the open inference protocol's gRPC service, for Serve's gRPC proxy."""

from __future__ import annotations

from typing import Any

import grpc

from react_ray.cluster.ray_private import forget_grpc_method
from react_ray.serve.protocols.v2 import inference_pb2 as wire

__all__ = ["SERVICE", "add_GRPCInferenceServiceServicer_to_server"]

SERVICE = "inference.GRPCInferenceService"
LIST = "/ray.serve.RayServeAPIService/ListApplications"
"""Method of Ray that lists the applications without a key."""
METHODS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
RAW = ("ModelInfer",)
"""Methods whose requests come to the replica as bytes, which it looks at before it parses them."""


def add_GRPCInferenceServiceServicer_to_server(servicer: Any, server: Any) -> None:  # noqa: N802
    """Register the methods; protoc would generate this function from inference.proto."""
    forget_grpc_method(server, LIST)
    handlers = {
        method: grpc.unary_unary_rpc_method_handler(
            getattr(servicer, method),
            request_deserializer=None if method in RAW else getattr(wire, f"{method}Request").FromString,
            response_serializer=getattr(wire, f"{method}Response").SerializeToString,
        )
        for method in METHODS
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
