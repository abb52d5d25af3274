"""Command line interface: parse arguments, call the package, print results."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from react_ray.apps.assist.commands import app as assistance
from react_ray.apps.monitor.commands import app as monitoring
from react_ray.apps.recommend.commands import app as recommendation
from react_ray.console.arguments import Command
from react_ray.console.options import (
    Address,
    ColumnNames,
    HostOptions,
    RunOptions,
    Seed,
    config_of,
    file_and_overrides,
    renamed_columns,
    with_host_options,
    with_run_options,
)
from react_ray.console.terminal import show, with_exit_code
from react_ray.version import __version__

__all__ = ["app", "main"]

app = typer.Typer(
    name="react-ray",
    help="Train and serve text models from a few labels and much unlabelled text.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
command = partial(app.command, cls=Command)
app.add_typer(assistance, name="assist")
app.add_typer(monitoring, name="monitor")
app.add_typer(recommendation, name="recommend")

Verbose = Annotated[bool, typer.Option("--verbose", help="Show the logs of all libraries")]
Relations = Annotated[str | None, typer.Option(help="Relation model for an entity MODEL: adds triples")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print the result only")]
GuardFormulas = Annotated[bool, typer.Option("--guard-formulas", help="csv: no cell can run as a formula")]
RunFolder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run")]
Served = Annotated[str, typer.Argument(metavar="MODEL", help="Folder of a run, or a YAML file of several")]
ModelFolder = Annotated[str, typer.Argument(metavar="MODEL", help="Folder of a run, or the model/ inside it")]


@command()
@with_run_options
def run(
    options: RunOptions,
    until: Annotated[str | None, typer.Option(help="Stop after this stage")] = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Train a model: read, label the unlabelled pool, fine-tune, measure, report."""
    config = config_of(options)
    from react_ray.pipeline.run import run as run_pipeline

    result = run_pipeline(config, until=until, verbose=verbose, quiet=quiet)
    show(result.summary())


@command()
def demo(
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[key=value ...]")] = None,
    labels_per_class: Annotated[int, typer.Option(min=1, help="Labels kept in each class")] = 5,
    output: Annotated[str, typer.Option(help="Folder of the run")] = "out/demo",
    address: Address = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Run on BBC News with most labels hidden, and show how good the result is."""
    from react_ray.pipeline.demo import demo_config
    from react_ray.pipeline.run import run as run_pipeline

    overrides = list(arguments or []) + ([f"cluster.address={address}"] if address else [])
    config = demo_config(output, labels_per_class, seed, tuple(overrides))
    show(run_pipeline(config, verbose=verbose, quiet=quiet).summary())


@command()
@with_run_options
def check(
    options: RunOptions,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Show what a run would read and reject, and what it would cost; train nothing."""
    config = config_of(options)
    from react_ray.pipeline.preflight import check as check_inputs

    show(check_inputs(config, verbose=verbose, quiet=quiet).summary())


@command()
@with_run_options
def tune(
    options: RunOptions,
    trials: Annotated[int | None, typer.Option(help="Maximum number of trials (default: 20)")] = None,
    minutes: Annotated[float | None, typer.Option(help="Time limit of the search")] = None,
    search_only: Annotated[bool, typer.Option("--search-only", help="Only write best.yaml")] = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Search for the settings with the best validation score, then run with them."""
    config = config_of(options, {"tune.trials": trials, "tune.minutes": minutes})
    from react_ray.pipeline.run import run as run_pipeline
    from react_ray.tune.search import tune as search

    result = search(config, verbose=verbose, quiet=quiet)
    show(result.summary())
    if not search_only:
        show(run_pipeline(result.config, verbose=verbose, quiet=quiet).summary())


@command()
def pretrain(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CONFIG.yaml] [key=value ...]",
            help="Saved settings, and settings by key (minutes=30, layers=6, cluster.workers=2)",
        ),
    ] = None,
    input: Annotated[str | None, typer.Option(help="Texts: csv, jsonl, parquet, or txt by lines")] = None,
    model: Annotated[
        str | None, typer.Option(help="Encoder to adapt (default: none, train one from scratch)")
    ] = None,
    output: Annotated[str | None, typer.Option(help="Folder of the result, for run --model")] = None,
    text_column: Annotated[str | None, typer.Option(help="Name of the column with the text")] = None,
    seed: Seed = None,
    address: Address = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Train an encoder on texts without labels, by masked language modelling."""
    from react_ray.config.file import load_pretrain_config
    from react_ray.pipeline.pretrain import pretrain as pretrain_encoder

    names = {"input": input, "model": model, "output": output, "text_column": text_column}
    path, overrides = file_and_overrides(arguments or [])
    settings = load_pretrain_config(path, overrides, {**names, "seed": seed, "cluster.address": address})
    show(pretrain_encoder(settings, verbose=verbose, quiet=quiet).summary())


@command()
def predict(
    model: ModelFolder,
    input: Annotated[str, typer.Option(help="File, folder or glob to label")],
    output: Annotated[
        str, typer.Option(help="csv, jsonl or parquet: all rows and columns, with label and score")
    ],
    column: ColumnNames = None,
    text_column: Annotated[str | None, typer.Option(help="Name of the column with the text")] = None,
    relations: Relations = None,
    max_chars: Annotated[
        int, typer.Option(min=1, help="Longer texts are rejected: data.max_chars")
    ] = 100_000,
    guard_formulas: GuardFormulas = False,
    address: Address = None,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Label a file of any size, in parallel."""
    from react_ray.pipeline.predict import PredictOptions, predict_file

    columns = renamed_columns(column or ()) | ({"text": text_column} if text_column else {})
    options = PredictOptions(columns, max_chars, guard_formulas)
    how = {"relations": relations, "address": address}
    show(predict_file(model, input, output, options, **how, verbose=verbose, quiet=quiet))


@command()
@with_host_options
def serve(options: HostOptions, model: Served, relations: Relations = None) -> None:
    """Serve a model over HTTP: POST /predict, a page to try it, health and metrics."""
    from react_ray.config.file import load_serve_config
    from react_ray.serve.deploy import write_config as write
    from react_ray.serve.run import serve as serve_model

    settings = load_serve_config(options.arguments or (), options.flags() | {"relations": relations})
    if options.write_config:
        show(write(model, settings, options.write_config))
    else:
        serve_model(model, settings, address=options.address, verbose=options.verbose)


@command()
def key(
    name: Annotated[str, typer.Argument(help="Owner of the key, shown in the access log")],
    file: Annotated[Path, typer.Option(help="File to add its hash to, for serve api_keys=FILE")],
) -> None:
    """Create an API key and print it once: only its hash is stored."""
    from react_ray.serve.limits.keys import add_key

    print(add_key(name, file))


@command(context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True})
def submit(
    words: Annotated[
        list[str], typer.Argument(metavar="COMMAND ...", help="Command without react-ray: run ...")
    ],
    address: Annotated[
        str | None, typer.Option(help="URL of the dashboard (default: http://127.0.0.1:8265)")
    ] = None,
    working_dir: Annotated[Path, typer.Option(help="Folder to upload with the job, without data")] = Path(),
    quiet: Quiet = False,
) -> None:
    """Run a command as a job on a Ray cluster, and show its output."""
    _check_command(words)
    from react_ray.cluster.submit import submit as submit_job

    raise typer.Exit(submit_job(words, address=address, working_dir=working_dir, quiet=quiet))


@command()
def suggest(
    folder: RunFolder,
    count: Annotated[int, typer.Option(min=1, help="Rows to label")] = 20,
    output: Annotated[str, typer.Option(help="csv, jsonl or parquet to fill in")] = "suggested.csv",
    guard_formulas: GuardFormulas = False,
    quiet: Quiet = False,
) -> None:
    """Write the rows whose labels would help a run most."""
    from react_ray.pipeline.suggest import suggest as suggest_rows

    show(suggest_rows(folder, count, output, guard_formulas=guard_formulas, quiet=quiet))


@command()
def export(
    model: ModelFolder,
    input: Annotated[str | None, typer.Option(help="Texts to check it on; int8 needs them")] = None,
    column: ColumnNames = None,
    text_column: Annotated[str | None, typer.Option(help="Name of the column with the text")] = None,
) -> None:
    """Export a model for ONNX Runtime or CTranslate2, as a run does at its end: faster on CPUs."""
    from react_ray.inference.export import export_saved

    columns = renamed_columns(column or ()) | ({"text": text_column} if text_column else {})
    show(export_saved(model, input, columns))


@command()
def settings(
    section: Annotated[
        str, typer.Argument(metavar="[SECTION]", help="As data, data.columns or serve (default: all)")
    ] = "",
    as_yaml: Annotated[bool, typer.Option("--yaml", help="As YAML with descriptions as comments")] = False,
) -> None:
    """List the settings of a run and of the service: type, default and description."""
    from react_ray.config import describe

    show(describe.as_yaml(section) if as_yaml else describe.as_text(section))


@command()
def clean(folder: RunFolder) -> None:
    """Delete the cached stages of a run, and the converted multilingual model; results stay."""
    from react_ray.models.multilingual import cache_folder, clear_converted
    from react_ray.pipeline.run import cache_of

    store = cache_of(folder)
    freed = {store.root: store.clear(), cache_folder(): clear_converted()}
    for place, size in freed.items():
        show(f"{place}: {size / 1e6:.1f} MB freed")


@app.callback(invoke_without_command=True)
def version(
    show_version: Annotated[bool, typer.Option("--version", help="Print the version")] = False,
) -> None:
    """Train and serve text models from a few labels and much unlabelled text."""
    if show_version:
        show(__version__)
        raise typer.Exit


def _check_command(words: list[str]) -> None:
    """Raise an error for an invalid command before it is submitted to a cluster."""
    from react_ray.errors import InputError

    if words[0] == "python":
        return
    command: Any = typer.main.get_command(app)
    path = ["react-ray"]
    while hasattr(command, "commands"):  # recommend, for one, has commands of its own
        names = [name for name in command.commands if name != "submit"]
        word = words[len(path) - 1] if len(path) <= len(words) else "nothing"
        if word not in names:
            said = " ".join([*path[1:], word])
            raise InputError(
                f"{said} cannot be submitted: expected one of {', '.join(names)}"
                + (", or python SCRIPT" if len(path) == 1 else "")
            )
        command = command.commands[word]
        path.append(word)
    context = command.make_context(" ".join(path), list(words[len(path) - 1 :]))
    if context.params.get("address"):
        raise InputError(
            f"--address {context.params['address']}: a job uses its own cluster; put the address to submit "
            "to before the command"
        )
    if len(path) > 2:
        _check_job_folder(context.params)


def _check_job_folder(params: dict[str, Any]) -> None:
    """Raise an error if the folder of an application would be deleted with the job."""
    from react_ray.errors import InputError

    name = "output" if "output" in params else "folder"
    if name in params and not Path(params[name] or "").expanduser().is_absolute():
        given = f"--output {params[name] or '(none)'}" if name == "output" else str(params[name])
        raise InputError(
            f"{given}: a relative path is deleted with the job; give an absolute path that every node of the "
            "cluster sees"
        )


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit code: 0, or that of the error (see ``errors``)."""
    return with_exit_code(lambda: app(args=argv))


if __name__ == "__main__":
    sys.exit(main())
