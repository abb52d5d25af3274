"""The methods of the open inference protocol's gRPC service, as Serve's gRPC proxy asks for them."""

from __future__ import annotations

from typing import Any

import grpc

from react_ray.serve.protocols.v2 import inference_pb2 as wire

__all__ = ["SERVICE", "add_GRPCInferenceServiceServicer_to_server"]

SERVICE = "inference.GRPCInferenceService"
METHODS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")


def add_GRPCInferenceServiceServicer_to_server(servicer: Any, server: Any) -> None:  # noqa: N802
    """What protoc would make of inference.proto, under the name that it would have."""
    handlers = {
        method: grpc.unary_unary_rpc_method_handler(
            getattr(servicer, method),
            request_deserializer=getattr(wire, f"{method}Request").FromString,
            response_serializer=getattr(wire, f"{method}Response").SerializeToString,
        )
        for method in METHODS
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
