"""Command line options shared by all commands that take the configuration of a run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from react_ray.console.arguments import is_data_name
from react_ray.errors import ConfigError

if TYPE_CHECKING:
    from react_ray.config.settings import Config

__all__ = [
    "Address",
    "ColumnNames",
    "HostOptions",
    "RunOptions",
    "Seed",
    "config_of",
    "file_and_overrides",
    "renamed_columns",
    "with_host_options",
    "with_run_options",
]

FLAGS = {
    "labeled": "data.labeled",
    "unlabeled": "data.unlabeled",
    "validation": "data.validation",
    "test": "data.test",
    "labels": "data.labels",
    "text_column": "data.columns.text",
    "label_column": "data.columns.label",
    "truth_column": "data.columns.truth",
    "separator": "data.separator",
    "task": "task",
    "output": "output",
    "address": "cluster.address",
    "model": "model",
    "encoder": "encoder",
    "seed": "seed",
}
"""Name of an option -> dotted key of its setting."""

Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CONFIG.yaml] [key=value ...]",
        help="A saved configuration, and settings by dotted key (seed=1, finetune.lr=1e-4)",
    ),
]
Labeled = Annotated[str | None, typer.Option(help="File with labels; rows with a blank label are unlabelled")]
Unlabeled = Annotated[
    str | None, typer.Option(help="File, folder or glob: csv, jsonl or parquet, local or s3://")
]
Validation = Annotated[str | None, typer.Option(help="Labelled rows that choose the checkpoint")]
Test = Annotated[str | None, typer.Option(help="Labelled rows for the final metrics only")]
Labels = Annotated[str | None, typer.Option(help="YAML: class name -> description")]
TaskName = Annotated[str | None, typer.Option(metavar="NAME", help="Default: text-classification")]
Output = Annotated[str | None, typer.Option(help="Folder of the run (default: out)")]
Address = Annotated[str | None, typer.Option(help="Ray cluster, for example auto or ray://host:10001")]
Model = Annotated[str | None, typer.Option(help="embedded, multilingual, auto, a hub name or a folder")]
Encoder = Annotated[str | None, typer.Option(help="Frozen encoder of the features (several: encoder=[A,B])")]
ColumnNames = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="NAME=OTHER", help="The column NAME is called OTHER in the files"),
]
TextColumn = Annotated[str | None, typer.Option(help="Name of the column with the text")]
LabelColumn = Annotated[str | None, typer.Option(help="Name of the column with the label")]
TruthColumn = Annotated[
    str | None, typer.Option(help="Column with true labels of unlabelled rows, only to score")
]
Separator = Annotated[str | None, typer.Option(help="Text between the labels in one cell, such as ; or |")]
LabelColumns = Annotated[
    str | None, typer.Option(metavar="A,B,C", help="Columns with 1 or 0, one for each label")
]
Seed = Annotated[int | None, typer.Option(help="Seed of every random choice (default: 0)")]
Preset = Annotated[
    str | None,
    typer.Option(
        help="article: the method of the article with adversarial training, and the settings of its code"
    ),
]

ServiceSettings = Annotated[
    list[str] | None, typer.Argument(metavar="[key=value ...]", help="Settings of the service (port=8001)")
]
ServiceHost = Annotated[str | None, typer.Option(help="Address to listen on (default: 127.0.0.1)")]
ServicePort = Annotated[int | None, typer.Option(min=1, max=65535, help="Its port (default: 8000)")]
Replicas = Annotated[int | None, typer.Option(min=1, help="Processes that answer (default: 1)")]
ApiKeys = Annotated[str | None, typer.Option(help="File of keys, made by react-ray key")]
ClusterFile = Annotated[Path | None, typer.Option(help="Only write this file, for serve deploy")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show the logs of all libraries")]


@dataclass(frozen=True)
class RunOptions:
    """Options of every command that takes the configuration of a run; None: not set."""

    arguments: Arguments = None
    labeled: Labeled = None
    unlabeled: Unlabeled = None
    validation: Validation = None
    test: Test = None
    labels: Labels = None
    task: TaskName = None
    output: Output = None
    address: Address = None
    model: Model = None
    encoder: Encoder = None
    column: ColumnNames = None
    text_column: TextColumn = None
    label_column: LabelColumn = None
    truth_column: TruthColumn = None
    separator: Separator = None
    label_columns: LabelColumns = None
    seed: Seed = None
    preset: Preset = None


@dataclass(frozen=True)
class HostOptions:
    """Options of every command that serves something over HTTP; None: not set."""

    arguments: ServiceSettings = None
    host: ServiceHost = None
    port: ServicePort = None
    replicas: Replicas = None
    api_keys: ApiKeys = None
    write_config: ClusterFile = None
    address: Address = None
    verbose: Verbose = False

    def flags(self) -> dict[str, Any]:
        """Return the settings among them, by key."""
        names = ("host", "port", "replicas", "api_keys")
        return {name: getattr(self, name) for name in names}


def with_run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate ``command(options, ...)``: its first parameter becomes the fields of :class:`RunOptions`."""
    return _with_options(command, RunOptions, first=True)


def with_host_options(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate ``command(options, ...)``: its first parameter becomes the fields of :class:`HostOptions`.

    They stand behind the other parameters, because an argument of these comes first.

    Example
    -------
    >>> @with_host_options
    ... def serve(options, folder: str) -> None:
    ...     print(folder, options.flags())
    >>> list(inspect.signature(serve).parameters)[:4]
    ['folder', 'arguments', 'host', 'port']
    """
    return _with_options(command, HostOptions, first=False)


def _with_options(command: Callable[..., None], kind: type[Any], first: bool) -> Callable[..., None]:
    """Replace the first parameter of ``command`` by the fields of ``kind``, before or behind the others.

    Typer reads options from the signature of a function, so the fields have to be parameters of their own.
    """
    _, *remaining = inspect.signature(command, eval_str=True).parameters.values()
    of_kind = list(inspect.signature(kind, eval_str=True).parameters.values())
    parameters = [*of_kind, *remaining] if first else [*remaining, *of_kind]
    parameters.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)
    names = [field.name for field in fields(kind)]

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> None:
        command(kind(**{name: arguments.pop(name) for name in names}), **arguments)

    del wrapper.__wrapped__
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapper


def config_of(options: RunOptions, extra: Mapping[str, Any] | None = None) -> Config:
    """Load the configuration from options and ``extra`` settings by dotted key. Raises ConfigError."""
    from react_ray.config.file import load_config

    file, overrides = file_and_overrides(options.arguments or [])
    values = asdict(options)
    flags: dict[str, Any] = {
        f"data.columns.{name}": column for name, column in renamed_columns(options.column or ()).items()
    }
    flags |= {key: values[name] for name, key in FLAGS.items() if values[name] is not None}
    if options.label_columns is not None:
        names = [name.strip() for name in options.label_columns.split(",")]
        flags["data.label_columns"] = [name for name in names if name]
    return load_config(file, overrides, flags | dict(extra or {}), options.preset)


def file_and_overrides(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """Divide arguments into a configuration file and settings ``key=value``. Raises ConfigError."""
    files = [argument for argument in arguments if "=" not in argument]
    for file in files:
        if is_data_name(file):
            raise ConfigError(
                f"{file}: pass data with --labeled, --unlabeled, --validation or --test (pretrain: --input)"
            )
    if len(files) > 1:
        raise ConfigError(f"expected one configuration file, got {', '.join(files)}")
    return next(iter(files), None), [argument for argument in arguments if "=" in argument]


def renamed_columns(words: Iterable[str]) -> dict[str, str]:
    """Parse NAME=OTHER into {column of the task: column in the files}. Raises ConfigError."""
    renamed = {}
    for word in words:
        name, _, other = (part.strip() for part in word.partition("="))
        if not (name and other):
            raise ConfigError(
                f"--column {word}: expected NAME=OTHER, with the column's name in the task and in the files"
            )
        renamed[name] = other
    return renamed
