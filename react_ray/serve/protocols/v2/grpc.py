"""Open inference protocol over gRPC: methods of a replica, called by Serve's gRPC proxy."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import grpc
from google.protobuf.message import DecodeError
from ray.serve.grpc_util import RayServegRPCContext

from react_ray.serve.limits.refusal import RefusalError
from react_ray.serve.protocols.v2 import inference_pb2 as wire
from react_ray.serve.protocols.v2.binary import decoded, joined, split
from react_ray.serve.protocols.v2.fields import check_fields
from react_ray.serve.protocols.v2.tensors import (
    MODEL_VERSION,
    SERVER,
    InferAnswer,
    InferRequest,
    InputTensor,
    RequestedOutput,
    check_model,
    infer,
    metadata,
)
from react_ray.serve.watch.access import CALLER_LEFT, log_request
from react_ray.serve.watch.caller import begin, current

if TYPE_CHECKING:
    from react_ray.config.service import ServeConfig
    from react_ray.serve.service import Service

__all__ = ["ADD_SERVICER", "InferenceMethods"]

ADD_SERVICER = "react_ray.serve.protocols.v2.methods.add_GRPCInferenceServiceServicer_to_server"
"""Function that registers the methods with Serve's gRPC proxy."""
ROUTE = "/inference.GRPCInferenceService/"
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
}
"""Statuses of HTTP, as which the metrics count, and what they are here."""
AS_HTTP = {code: status for status, code in CODES.items()}

logger = logging.getLogger("ray.serve")


def _watched(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Decorator of every call: request id, metrics, access log, and the status of errors."""
    route, empty = ROUTE + method.__name__, getattr(wire, f"{method.__name__}Response")

    @wraps(method)
    async def watched(self: InferenceMethods, request: Any, grpc_context: RayServegRPCContext) -> Any:
        service, started = self._service, time.perf_counter()
        caller = begin(dict(grpc_context.trailing_metadata()).get("request_id"))
        answer, status = empty(), CALLER_LEFT
        service.metrics.begun()
        try:
            with _errors_as_status(grpc_context, caller.id):
                answer = await method(self, request, grpc_context)
            status = AS_HTTP.get(grpc_context.code(), 200)
            return answer
        finally:
            seconds = time.perf_counter() - started
            service.metrics.answered(route, status, seconds)
            log_request(service.config, caller, "gRPC", route, status, seconds, answer.ByteSize())

    return watched


class InferenceMethods:
    """Methods of the protocol, for a class with a ``_service``; their names are those of the protocol.

    Serve sets ``request_id`` in the trailing metadata of a call: that of the caller's metadata
    or a new one.
    """

    _service: Service

    @_watched
    async def ServerLive(  # noqa: N802
        self, request: wire.ServerLiveRequest, grpc_context: RayServegRPCContext
    ) -> wire.ServerLiveResponse:
        """Return whether the process is alive."""
        return wire.ServerLiveResponse(live=True)

    @_watched
    async def ServerReady(  # noqa: N802
        self, request: wire.ServerReadyRequest, grpc_context: RayServegRPCContext
    ) -> wire.ServerReadyResponse:
        """Return whether the model answers."""
        return wire.ServerReadyResponse(ready=await self._service.ready())

    @_watched
    async def ModelReady(  # noqa: N802
        self, request: wire.ModelReadyRequest, grpc_context: RayServegRPCContext
    ) -> wire.ModelReadyResponse:
        """Return whether the model answers."""
        self._enter(grpc_context)
        check_model(request.name, request.version)
        return wire.ModelReadyResponse(ready=await self._service.ready())

    @_watched
    async def ServerMetadata(  # noqa: N802
        self, request: wire.ServerMetadataRequest, grpc_context: RayServegRPCContext
    ) -> wire.ServerMetadataResponse:
        """Describe the server."""
        self._enter(grpc_context)
        return wire.ServerMetadataResponse(**SERVER)

    @_watched
    async def ModelMetadata(  # noqa: N802
        self, request: wire.ModelMetadataRequest, grpc_context: RayServegRPCContext
    ) -> wire.ModelMetadataResponse:
        """Describe inputs and outputs of the model; the protocol's message has no field for labels."""
        self._enter(grpc_context)
        check_model(request.name, request.version)
        description = metadata(self._service.task, self._service.labels)
        del description["parameters"]
        return wire.ModelMetadataResponse(**description)

    @_watched
    async def ModelInfer(  # noqa: N802
        self, request: bytes, grpc_context: RayServegRPCContext
    ) -> wire.ModelInferResponse:
        """Infer the requested tensors for ``request``, a serialized ModelInferRequest."""
        service = self._service
        self._enter(grpc_context)
        message = _parsed(request, service.config)
        check_model(message.model_name, message.model_version)
        answer = await infer(_read(message, service.config.max_texts), service)
        return _written(answer, raw=len(message.raw_input_contents) > 0)

    def _enter(self, context: RayServegRPCContext) -> None:
        """Check the key in the metadata ``authorization``, as over HTTP."""
        gate = self._service.gate
        if gate.open:
            return
        call_metadata = dict(context.invocation_metadata())
        current().name = gate.enter(
            call_metadata.get("authorization", ""),
            _host(context.peer()),
            call_metadata.get("x-forwarded-for", ""),
        )


@contextmanager
def _errors_as_status(context: RayServegRPCContext, number: str) -> Iterator[None]:
    """Convert errors to the status of the call; raised, they would be tracebacks in the proxy's log."""
    try:
        yield
    except RefusalError as error:
        context.set_code(CODES.get(error.status, grpc.StatusCode.INVALID_ARGUMENT))
        context.set_details(error.message)
    except Exception:
        logger.exception("request %s failed", number)
        context.set_code(grpc.StatusCode.INTERNAL)
        context.set_details(f"internal error, request_id {number}")


def _host(peer: str) -> str:
    """Return the address in gRPC's notation, ``ipv4:10.0.0.7:50051`` or ``ipv6:%5B::1%5D:50051``."""
    return unquote(peer.partition(":")[2].rpartition(":")[0]).strip("[]")


def _parsed(request: bytes, config: ServeConfig) -> wire.ModelInferRequest:
    if len(request) > config.max_body_bytes:
        raise RefusalError(413, f"the message is over {config.max_body_bytes} bytes")
    check_fields(request, wire.ModelInferRequest, config.max_values)
    try:
        return wire.ModelInferRequest.FromString(request)
    except DecodeError as error:
        raise RefusalError(400, f"the message is no ModelInferRequest: {error}") from None


def _read(request: wire.ModelInferRequest, most: int) -> InferRequest:
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise RefusalError(422, f"{len(request.inputs)} inputs and {len(raw)} raw contents; expected as many")
    inputs = []
    for index, tensor in enumerate(request.inputs):
        data = decoded(split(raw[index], most) if raw else tensor.contents.bytes_contents)
        inputs.append(
            InputTensor(name=tensor.name, datatype=tensor.datatype, shape=list(tensor.shape), data=data)
        )
    outputs = [RequestedOutput(name=output.name) for output in request.outputs]
    return InferRequest(id=request.id or None, inputs=inputs, outputs=outputs or None)


def _written(answer: InferAnswer, raw: bool) -> wire.ModelInferResponse:
    """Build the answer, with data in the same form as those of the request."""
    message = wire.ModelInferResponse(
        model_name=answer.model_name, model_version=MODEL_VERSION, id=answer.id or ""
    )
    for tensor in answer.outputs:
        written = message.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if raw:
            message.raw_output_contents.append(joined(tensor))
        elif tensor.datatype == "BYTES":
            written.contents.bytes_contents.extend(text.encode() for text in tensor.data or [])
        else:
            written.contents.fp32_contents.extend(tensor.data or [])
    return message
