"""Requests and answers of the open inference protocol, version 2."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json

from react_ray.answer import Answer
from react_ray.config.service import ServeConfig
from react_ray.inference.inputs import Row, input_columns, input_groups, kind_of
from react_ray.serve.limits.refusal import RefusalError, clipped
from react_ray.serve.limits.structure import check_structure, most_values
from react_ray.serve.protocols.examples import sample_input
from react_ray.serve.protocols.messages import parse, rows_of, where_is
from react_ray.tasks.task import Task
from react_ray.version import __version__

if TYPE_CHECKING:
    from react_ray.serve.service import Service

__all__ = [
    "ANSWER",
    "MODEL",
    "MODEL_VERSION",
    "SERVER",
    "InferAnswer",
    "InferRequest",
    "InputTensor",
    "OutputTensor",
    "RequestedOutput",
    "check_model",
    "infer",
    "inputs_of",
    "metadata",
    "outputs_of",
    "parse_infer",
    "request_example",
]

MODEL = "classifier"
MODEL_VERSION = "1"  # a service has one model
SERVER: dict[str, Any] = {
    "name": "react-ray",
    "version": __version__,
    "extensions": ["binary_tensor_data"],
}
INPUT = "text"
OUTPUTS = ("label", "score", "probabilities")
"""Outputs of a task that chooses one label."""
ANSWER = "answer"
"""The only output of other tasks: what POST /predict answers for a row, as JSON."""
ABSTAINED = ""
"""The label of a text that the service gives none: the protocol has no null."""

Parameters = dict[str, str | bool | int | float]
"""Clients put what concerns other servers there too: a priority, the number of a sequence."""


class InputTensor(BaseModel):
    """A column of the inputs."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(description="A column of an input, such as `text`")
    datatype: str = Field(description="`BYTES`")
    shape: Annotated[list[int], Field(fail_fast=True)] = Field(description="[n] or [n, 1]")
    data: list[Any] | None = Field(
        None, description="n strings, or n lists of one string; lists (of tokens) are JSON in a string"
    )
    parameters: Parameters | None = None


class RequestedOutput(BaseModel):
    """A requested output."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(description=f"One of {', '.join(OUTPUTS)}; or {ANSWER}")
    parameters: Parameters | None = None


class InferRequest(BaseModel):
    """Inputs as tensors, one per column."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str | None = Field(None, description="Comes back in the answer")
    model_name: str | None = Field(None, description="As in the path")
    model_version: str | None = Field(None, description="As in the path")
    inputs: Annotated[list[InputTensor], Field(fail_fast=True)]
    outputs: Annotated[list[RequestedOutput], Field(fail_fast=True)] | None = Field(
        None, description="All of them if left out"
    )
    parameters: Parameters | None = None


class OutputTensor(BaseModel):
    """A tensor in row-major order, or ``binary_data_size`` bytes after the JSON."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None
    parameters: Parameters | None = None


class InferAnswer(BaseModel):
    """The requested tensors."""

    model_name: str = MODEL
    model_version: str = MODEL_VERSION
    id: str | None = None
    outputs: list[OutputTensor]


def request_example(task: Task) -> dict[str, Any]:
    """Return an example request with one input of the task."""
    sample = sample_input(task)
    cells = sample if isinstance(sample, dict) else {INPUT: sample}
    inputs = [
        {
            "name": name,
            "datatype": "BYTES",
            "shape": [1],
            "data": [cell if isinstance(cell, str) else json.dumps(cell)],
        }
        for name, cell in cells.items()
    ]
    return {"id": "7", "inputs": inputs, "outputs": [{"name": name} for name in outputs_of(task)[:2]]}


def outputs_of(task: Task) -> tuple[str, ...]:
    """Return the names of the outputs."""
    return OUTPUTS if task.answers == "label" else (ANSWER,)


def metadata(task: Task, labels: Sequence[str]) -> dict[str, Any]:
    """Describe inputs and outputs of the model; ``labels`` are the columns of the probabilities."""
    kinds = {"label": ("BYTES", [-1]), "score": ("FP32", [-1]), "probabilities": ("FP32", [-1, len(labels)])}
    outputs = {name: kinds.get(name, ("BYTES", [-1])) for name in outputs_of(task)}
    return {
        "name": MODEL,
        "versions": [MODEL_VERSION],
        "platform": "react_ray",
        "inputs": [
            {"name": column.name, "datatype": "BYTES", "shape": [-1]} for column in input_columns(task)
        ],
        "outputs": [
            {"name": name, "datatype": datatype, "shape": shape}
            for name, (datatype, shape) in outputs.items()
        ],
        "parameters": {"labels": list(labels)},
    }


def check_model(name: str, version: str = "") -> None:
    """Raise RefusalError 404 unless it is the served model."""
    if name != MODEL:
        raise RefusalError(404, f"model {clipped(name)!r} is not here; the model is {MODEL!r}")
    if version not in ("", MODEL_VERSION):
        raise RefusalError(404, f"version {clipped(version)!r} is not here; the version is {MODEL_VERSION!r}")


def parse_infer(body: bytes | bytearray, config: ServeConfig) -> InferRequest:
    """Parse the request in ``body``; RefusalError 404 for another model, else as ``parse``."""
    request = parse(body, InferRequest, config, _explain)
    check_model(request.model_name or MODEL, request.model_version or "")
    return request


def inputs_of(request: InferRequest, task: Task, config: ServeConfig) -> list[Row]:
    """Return the rows of ``request``; RefusalError 422 for unknown tensors, 413 above the limits."""
    names = outputs_of(task)
    for output in request.outputs or []:
        if output.name not in names:
            raise RefusalError(
                422, f"output {clipped(output.name)!r} is not known; known are: {', '.join(names)}"
            )
        if (output.parameters or {}).get("classification"):
            raise RefusalError(422, f"classification is not taken; {names[-1]!r} has what there is")
    _check_names([tensor.name for tensor in request.inputs], task)
    kinds = {column.name: column.kind for column in input_columns(task)}
    columns = {tensor.name: _flat(tensor) for tensor in request.inputs}
    counts = {len(items) for items in columns.values()}
    if len(counts) > 1:
        raise RefusalError(422, f"the input tensors have {' and '.join(map(str, sorted(counts)))} items")
    field = next(iter(columns))
    if list(columns) == [INPUT]:
        return rows_of(field, columns[INPUT], task, config)
    if counts.pop() > config.max_texts:  # before their JSON is read
        return rows_of(field, columns[field], task, config)
    _check_lists(columns, kinds, config)
    read = {name: [_cell(name, item, kinds[name]) for item in items] for name, items in columns.items()}
    inputs = [dict(zip(read, cells, strict=True)) for cells in zip(*read.values(), strict=True)]
    return rows_of("inputs", inputs, task, config)


def _check_names(names: list[str], task: Task) -> None:
    """Raise RefusalError 422 unless the tensors are distinct columns of an input."""
    columns = [column.name for column in input_columns(task)]
    fits = any(set(group) <= set(names) for group in input_groups(task))
    if fits and len(set(names)) == len(names) and set(names) <= set(columns):
        return
    shown = ", ".join(repr(clipped(name)) for name in names[:50]) or "none"
    if columns == [INPUT]:
        raise RefusalError(422, f"the input tensors are {shown}; expected one, {INPUT!r}")
    groups = " or ".join(" and ".join(map(repr, group)) for group in input_groups(task))
    raise RefusalError(
        422, f"the input tensors are {shown}; expected {groups}; known are {', '.join(columns)}"
    )


def _check_lists(columns: Mapping[str, Sequence[str]], kinds: Mapping[str, str], config: ServeConfig) -> None:
    """Raise RefusalError 413 if JSON lists have more values than a request may have."""
    for name, items in columns.items():
        if kinds[name] == "text":
            continue
        try:
            check_structure("".join(items).encode(), most_values(config, lists=True))
        except RefusalError as error:
            raise RefusalError(error.status, f"{name}: {error.message}") from None


def _cell(name: str, item: str, kind: str) -> Any:
    """Convert an item to the value of a column; columns other than text are JSON."""
    if kind == "text":
        return item
    try:
        return from_json(item)  # which takes no half of a surrogate pair
    except ValueError:
        raise RefusalError(422, f"{name}: an item is not JSON; expected a list as JSON") from None


async def infer(request: InferRequest, service: Service) -> InferAnswer:
    """Infer the requested tensors; TextError if the model fails on a text.

    The label is ABSTAINED for a text whose best label scores below the threshold of the service.
    """
    size = sum(len(item) for tensor in request.inputs for item in tensor.data or [] if isinstance(item, str))
    rows = await service.apart(size, partial(inputs_of, request, service.task, service.config))
    answers = await service.all_answers(rows)
    make = _labels if service.task.answers == "label" else _answers
    tensors = await service.apart(size, partial(make, service, answers, rows))
    names = dict.fromkeys(output.name for output in request.outputs or []) or tensors  # once, if asked often
    outputs = []
    for name in names:
        datatype, shape, data = tensors[name]
        outputs.append(OutputTensor(name=name, datatype=datatype, shape=shape, data=data))
    return InferAnswer(id=request.id, outputs=outputs)


Tensors = dict[str, tuple[str, list[int], list[Any]]]


def _labels(service: Service, answers: Sequence[Answer], rows: Sequence[Row]) -> Tensors:
    names = [
        answer.value if service.format_answer(answer, row, 1) else ABSTAINED
        for answer, row in zip(answers, rows, strict=True)
    ]
    shares = [share for answer in answers for share in map(dict(answer.ranking).get, service.labels)]
    return {
        "label": ("BYTES", [len(rows)], names),
        "score": ("FP32", [len(rows)], [answer.score for answer in answers]),
        "probabilities": ("FP32", [len(rows), len(service.labels)], shares),
    }


def _answers(service: Service, answers: Sequence[Answer], rows: Sequence[Row]) -> Tensors:
    entries = service.format_answers(answers, rows)
    return {ANSWER: ("BYTES", [len(rows)], [json.dumps(entry, ensure_ascii=False) for entry in entries])}


def _flat(tensor: InputTensor) -> list[str]:
    name = tensor.name
    if tensor.datatype != "BYTES":
        raise RefusalError(422, f"{name} has datatype {clipped(tensor.datatype)!r}; expected 'BYTES'")
    count = tensor.shape[0] if tensor.shape else 0
    if count < 1 or tensor.shape[1:] not in ([], [1]):
        shape = clipped(str(tensor.shape[:50]))
        raise RefusalError(422, f"{name} has shape {shape}; expected [n] or [n, 1], n > 0")
    data = tensor.data or []
    if len(tensor.shape) == 2 and all(isinstance(item, list) and len(item) == 1 for item in data):
        data = [item[0] for item in data]
    for index, item in enumerate(data):
        if not isinstance(item, str):
            raise RefusalError(422, f"{name}: item {index} is {kind_of(item)}; expected a string")
    if len(data) != count:
        raise RefusalError(422, f"{name} has shape {tensor.shape} and {len(data)} items; expected {count}")
    return data


def _explain(problem: Any) -> str:
    where = where_is(problem)
    match problem["type"]:
        case "missing":
            return f"{where} is missing"
        case "extra_forbidden":
            return f"{where} is not known"
    return f"{where or 'the body'} is {kind_of(problem['input'])}: {problem['msg'].lower()}"
