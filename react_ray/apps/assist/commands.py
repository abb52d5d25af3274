"""Commands of the customer-service assistant."""

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
    help="Answer customers from questions and answers, documents and templates.",
    rich_markup_mode=None,
)
EXAMPLE = 'curl -H \'Content-Type: application/json\' -d \'{"session": "s1", "message": "hello"}\' {url}/chat'
Verbose = Annotated[bool, typer.Option("--verbose", help="Show the logs of all libraries")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print the result only")]
AssistFolder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of assist build")]


@app.command("build", cls=Command)
def build(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[key=value ...]", help="Settings by key (precision=0.8, classifier=run)"),
    ] = None,
    history: Annotated[
        str | None, typer.Option(help="csv, jsonl or parquet with question, and answer or intent where known")
    ] = None,
    documents: Annotated[str | None, typer.Option(help="Folder of .txt, .md and .html files")] = None,
    templates: Annotated[str | None, typer.Option(help="YAML: intent -> template answer")] = None,
    reader: Annotated[str | None, typer.Option(help="Folder of a question answering model")] = None,
    output: Annotated[str | None, typer.Option(help="Folder of the result")] = None,
    column: ColumnNames = None,
    seed: Seed = None,
    address: Address = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Build an assistant: read, encode, index, fit on held-out questions."""
    from react_ray.apps.assist.build import build as build_assistant
    from react_ray.apps.assist.build import load_config

    files = {"history": history, "documents": documents, "templates": templates, "reader": reader}
    columns = renamed_columns(column or ()) or None
    flags = {**files, "output": output, "columns": columns, "seed": seed, "cluster.address": address}
    show(build_assistant(load_config(arguments or (), flags), verbose=verbose, quiet=quiet).summary())


@app.command("evaluate", cls=Command)
def evaluate(
    folder: AssistFolder,
    input: Annotated[str, typer.Option(help="Questions that the history lacks, with answer or intent")],
    column: ColumnNames = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Measure an assistant on questions of a test file, against simple ones."""
    from react_ray.apps.assist.evaluate import evaluate as evaluate_assistant

    columns = renamed_columns(column or ()) or None
    show(evaluate_assistant(folder, input, columns, verbose=verbose, quiet=quiet).summary())


@app.command("serve", cls=Command)
@with_host_options
def serve(options: HostOptions, folder: AssistFolder) -> None:
    """Serve an assistant over HTTP: POST /chat, a page of a chat at /, a page for agents at /agent."""
    from react_ray.apps.assist.settings import ChatConfig
    from react_ray.apps.serving import serve_folder

    serve_folder(
        "react_ray.apps.assist.hosted:load",
        folder,
        ChatConfig,
        options,
        owner="react_ray.apps.assist.hosted:open_store",
        name="assist",
        example=EXAMPLE,
    )


@app.command("learn", cls=Command)
def learn(
    folder: AssistFolder,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Build an assistant again with what customers and agents said: helpful replies, answers, labels."""
    from react_ray.apps.assist.learn import learn as learn_labels

    show(learn_labels(folder, verbose=verbose, quiet=quiet).summary())


@app.command("forget", cls=Command)
def forget(
    folder: AssistFolder,
    session: Annotated[str, typer.Argument(metavar="SESSION", help="Id of the conversation")],
) -> None:
    """Delete a conversation, and all that was learnt from it."""
    from react_ray.apps.assist.learn import forget as forget_session

    show(forget_session(folder, session))
