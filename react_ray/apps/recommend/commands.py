"""Commands of recommendation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from react_ray.console.arguments import Command
from react_ray.console.options import (
    Address,
    ColumnNames,
    HostOptions,
    Seed,
    renamed_columns,
    with_host_options,
)
from react_ray.console.terminal import show

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Recommend items to users, from texts and interactions.",
    rich_markup_mode=None,
)
EXAMPLE = """curl -H 'Content-Type: application/json' -d '{"user": "ID"}' {url}/recommend"""
Verbose = Annotated[bool, typer.Option("--verbose", help="Show the logs of all libraries")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print the result only")]


@app.command("build", cls=Command)
def build(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[key=value ...]", help="Settings by key (min_rating=4, ranker.trees=200)"),
    ] = None,
    items: Annotated[str | None, typer.Option(help="csv, jsonl or parquet with item and text")] = None,
    interactions: Annotated[
        str | None, typer.Option(help="The same with user, item, and rating, event or time where known")
    ] = None,
    output: Annotated[str | None, typer.Option(help="Folder of the result")] = None,
    column: ColumnNames = None,
    seed: Seed = None,
    address: Address = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Build a recommender: read, encode the items, train the ranker."""
    from react_ray.apps.recommend.build import build as build_recommender
    from react_ray.apps.recommend.build import load_config

    files = {"items": items, "interactions": interactions, "output": output}
    columns = renamed_columns(column or ()) or None
    flags = {**files, "columns": columns, "seed": seed, "cluster.address": address}
    show(build_recommender(load_config(arguments or (), flags), verbose=verbose, quiet=quiet).summary())


@app.command("evaluate", cls=Command)
def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of recommend build")],
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Measure a recommender against simple ones, for known and new users and items."""
    from react_ray.apps.recommend.evaluate import evaluate as evaluate_recommender

    show(evaluate_recommender(folder, verbose=verbose, quiet=quiet).summary())


@app.command("serve", cls=Command)
@with_host_options
def serve(
    options: HostOptions,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of recommend build")],
) -> None:
    """Serve a recommender over HTTP: POST /recommend and /similar, a page to try it, health and metrics."""
    from react_ray.apps.recommend.folder import file_states
    from react_ray.apps.recommend.settings import RecommendServeConfig
    from react_ray.apps.serving import serve_folder

    file_states(folder)
    serve_folder(
        "react_ray.apps.recommend.service:load_service",
        folder,
        RecommendServeConfig,
        options,
        name="recommend",
        example=EXAMPLE,
    )


@app.command("forget", cls=Command)
def forget(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of recommend build")],
    user: Annotated[str, typer.Argument(metavar="USER", help="Id of the user")],
) -> None:
    """Delete what is known of a user; running services know it before their next answer."""
    from react_ray.apps.recommend.folder import forget as forget_user

    show(f"{folder}: deleted {forget_user(folder, user):,} interactions")
