"""How many labels each method needs: macro-F1 over labels per class, and what each part gives.

    python -m benchmarks.label_efficiency                                   methods on stored features
    python -m benchmarks.label_efficiency --methods ours ablations          parts left out
    python -m benchmarks.label_efficiency --pool 1500 --test 1000 --labels-per-class 1 5 --draws 3 \\
        --methods ours probe finetuned --setfit-python PATH                 methods that fine-tune
    python -m benchmarks.label_efficiency --encoder embedded multilingual auto --draws 3 \\
        --labels-per-class 5 --pool 1500 --test 1000 --methods probe teacher ours   encoders beside each other
    python -m benchmarks.label_efficiency --address auto                    a Ray task a cell
    python -m benchmarks.label_efficiency --table-only                      tables and pictures again

Every method gets the same draws; test labels are for judging only. Results are kept as they
come, a JSON line a cell, and a cell that is kept is not run again (delete its line to repeat
it). TABLE.md and its pictures are made from those lines alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.datasets import DATA, NAMES, DatasetMissingError, LabelsPerClass
from benchmarks.label_efficiency.cells import Cell, Results, grid
from benchmarks.label_efficiency.draws import labeled_rows
from benchmarks.label_efficiency.execution import Outcome, in_processes, on_ray
from benchmarks.label_efficiency.features import CACHE, FeatureStore
from benchmarks.label_efficiency.joint import JointStore, store_of
from benchmarks.label_efficiency.methods import GROUPS, METHODS, expand
from benchmarks.label_efficiency.progress import Progress
from benchmarks.label_efficiency.tables import write_tables
from react_ray.config.settings import AUTO, EMBEDDED
from react_ray.console.reporter import quiet_libraries
from react_ray.errors import ReactRayError

RESULTS = Path(__file__).parents[1] / "results" / "label_efficiency"
ONE_MODEL = ("labels_only", "setfit")
SIZES: tuple[LabelsPerClass, ...] = (0, 1, 2, 5, 10, 20, 50, "all")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, then write the tables; the exit code, 1 when a cell failed."""
    options = _parse(arguments)
    quiet_libraries(verbose=False)
    results = Results(options.results)
    try:
        encoders = [] if options.table_only else options.encoder
        failed = [outcome for encoder in encoders for outcome in _run(options, encoder, results)]
    except ReactRayError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    written = write_tables(results.records(), options.results)
    print(f"tables: {written}" if written else "there are no results yet")
    return 1 if failed else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.label_efficiency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = ", ".join([*GROUPS, *METHODS])
    add = parser.add_argument
    add("--datasets", nargs="+", default=list(NAMES), help="folders of --data; default: %(default)s")
    add("--labels-per-class", nargs="+", type=_size, default=list(SIZES), help="numbers, or all")
    add("--draws", type=int, default=5, help="seeds 0, 1, ... (default: %(default)s)")
    add("--methods", nargs="+", default=["features"], help=f"of: {known} (default: features)")
    add("--pool", type=int, default=4000, help="most unlabelled rows (default: %(default)s)")
    add("--test", type=int, help="most test rows (default: all)")
    add(
        "--encoder", nargs="+", default=[EMBEDDED], help="of the features, and what is fine-tuned; or several"
    )
    add("--jobs", type=int, default=1, help="processes on this machine, one thread each")
    add("--address", help="of a Ray cluster: a task a cell")
    add("--gpus-per-cell", type=float, default=0, help="on Ray, where an encoder is fine-tuned")
    add("--setfit-python", type=Path, help="the interpreter of an environment with setfit")
    add("--data", type=Path, default=DATA, help="one folder a set: train.parquet, test.parquet")
    add("--features", type=Path, default=CACHE, help="where features are kept (default: %(default)s)")
    add("--results", type=Path, default=RESULTS, help="where results are kept")
    add("--table-only", action="store_true", help="run nothing")
    options = parser.parse_args(arguments)
    try:
        options.methods = expand(options.methods)
    except ValueError as error:
        parser.error(str(error))
    return options


def _size(word: str) -> LabelsPerClass:
    return "all" if word == "all" else int(word)


def _run(options: argparse.Namespace, encoder: str, results: Results) -> list[Outcome]:
    """Compute the missing cells of an encoder; the failed ones."""
    if "setfit" in options.methods and options.setfit_python is None:
        print("skipped: setfit (give the interpreter of its environment with --setfit-python)")
        options.methods.remove("setfit")
    methods = [name for name in options.methods if encoder != AUTO or name not in ONE_MODEL]
    if methods != options.methods:
        print(f"skipped with {AUTO}: {', '.join(ONE_MODEL)}, which fine-tune one named model")
    cells = grid(
        options.datasets,
        options.labels_per_class,
        options.draws,
        methods,
        encoder=encoder,
        pool=options.pool,
        test=options.test,
    )
    missing = results.missing(cells)
    print(f"{len(cells)} cells, {len(cells) - len(missing)} of them kept from before")
    store = store_of(options.data.absolute(), encoder, options.features.absolute())
    missing = _encoded(missing, store)
    progress = Progress(missing)
    failed = []
    for outcome in _outcomes(options, missing, store):
        if outcome.record is not None:
            results.add(outcome.record)
        else:
            failed.append(outcome)
        print(progress.line(outcome), flush=True)
    _tell(failed)
    return failed


def _outcomes(
    options: argparse.Namespace, cells: list[Cell], store: FeatureStore | JointStore
) -> Iterator[Outcome]:
    if not cells:
        return iter(())
    if options.address:
        return on_ray(cells, store, options.address, options.gpus_per_cell, options.setfit_python)
    return in_processes(cells, store, options.jobs, options.setfit_python)


def _encoded(cells: list[Cell], store: FeatureStore | JointStore) -> list[Cell]:
    """The cells whose data set is there, with its features and the copies that they need kept."""
    there = []
    for dataset in dict.fromkeys(cell.dataset for cell in cells):
        own = [cell for cell in cells if cell.dataset == dataset]
        started = time.perf_counter()
        try:
            stored = store.load(dataset)
        except DatasetMissingError as missing:
            print(f"skipped: {missing}")
            continue
        draws = {(c.labels_per_class, c.seed) for c in own if METHODS[c.method].copies}
        store.with_copies(stored, {row for draw in draws for row in labeled_rows(stored, *draw)})
        print(f"{dataset}: features ready after {time.perf_counter() - started:.0f} s", flush=True)
        there += own
    return there


def _tell(failed: list[Outcome]) -> None:
    """Each kind of failure once, with its cells."""
    for failure in dict.fromkeys(outcome.failure for outcome in failed):
        cells = [str(outcome.cell) for outcome in failed if outcome.failure == failure]
        print(f"\n{len(cells)} failed: {'; '.join(cells)}\n{failure}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
