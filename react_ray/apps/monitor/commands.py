"""Commands of opinion monitoring."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from react_ray.console.arguments import Command
from react_ray.console.options import ColumnNames, HostOptions, Seed, renamed_columns, with_host_options
from react_ray.console.terminal import show

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Monitor the sentiment of a stream of texts: trends, surges, alerts.",
    rich_markup_mode=None,
)
Verbose = Annotated[bool, typer.Option("--verbose", help="Show the logs of all libraries")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print the result only")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[key=value ...]", help="Settings by key (bucket=hour, surge.history=28)"),
]
StoreFolder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the store")]
EXAMPLE = (
    "curl -H 'Content-Type: application/json' "
    """-d '{"items": [{"id": "1", "text": "too slow"}]}' {url}/ingest"""
)
Negative = Annotated[str | None, typer.Option(help="Label that surges are counted of")]


@app.command("run", cls=Command)
def run(
    sentiment: Annotated[str, typer.Option(metavar="MODEL", help="Folder of the classifier of sentiment")],
    input: Annotated[
        str,
        typer.Option(help="jsonl that is followed, csv, parquet, a folder, or kafka://HOST:PORT/TOPIC"),
    ],
    store: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the store")],
    arguments: Overrides = None,
    topic: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Folder of the classifier of topics")
    ] = None,
    until_end: Annotated[bool, typer.Option("--until-end", help="Stop at the end of the input")] = False,
    negative: Negative = None,
    kafka_config: Annotated[
        Path | None, typer.Option(help="Settings of librdkafka, name=value a line, such as passwords")
    ] = None,
    column: ColumnNames = None,
    seed: Seed = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Follow a file, a folder or a topic of Kafka: each text once, with its labels, into the store."""
    from react_ray.apps.monitor.run import load_config
    from react_ray.apps.monitor.run import run as follow

    columns = renamed_columns(column or ()) or None
    flags = {"sentiment": sentiment, "topic": topic, "negative": negative, "columns": columns, "seed": seed}
    config = load_config(arguments or (), flags)
    options = {"until_end": until_end, "verbose": verbose, "quiet": quiet}
    show(follow(config, input, store, kafka_config=kafka_config, **options).summary())


@app.command("evaluate", cls=Command)
def evaluate(
    input: Annotated[str, typer.Option(help="csv, jsonl or parquet with label and time")],
    output: Annotated[Path, typer.Option(help="Folder of metrics.json")],
    arguments: Overrides = None,
    negative: Negative = None,
    column: ColumnNames = None,
    seed: Seed = None,
    quiet: Quiet = False,
) -> None:
    """Measure the delay of alerts on injected surges, beside plain rules at equal false alarms."""
    from react_ray.apps.monitor.evaluate import evaluate as measure
    from react_ray.apps.monitor.evaluate import load_config

    columns = renamed_columns(column or ()) or None
    config = load_config(arguments or (), {"negative": negative, "columns": columns, "seed": seed})
    show(measure(config, input, output, quiet=quiet).summary())


@app.command("serve", cls=Command)
@with_host_options
def serve(options: HostOptions, folder: StoreFolder) -> None:
    """Serve a store over HTTP: POST /ingest, trends, alerts, a page; label what comes in."""
    from react_ray.apps.monitor.settings import MonitorServeConfig
    from react_ray.apps.serving import serve_folder

    serve_folder(
        "react_ray.apps.monitor.hosted:load",
        folder,
        MonitorServeConfig,
        options,
        owner="react_ray.apps.monitor.hosted:open_service",
        name="monitor",
        example=EXAMPLE,
    )


@app.command("forget", cls=Command)
def forget(
    folder: StoreFolder,
    source: Annotated[str | None, typer.Option(help="Delete all items of this source")] = None,
    id: Annotated[str | None, typer.Option(help="Delete the item with this id")] = None,
) -> None:
    """Delete items from a store, also while it is served; ids that were deleted do not come back."""
    from react_ray.apps.monitor.days import forget as forget_items

    show(f"deleted items: {forget_items(folder, identity=id, source=source):,}")
