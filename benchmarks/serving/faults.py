"""Break parts of a service under load and count what its callers see.

    python -m benchmarks.serving.faults --only replica haproxy
    python -m benchmarks.serving.faults --only soak --soak-minutes 30

Each fault has a service of its own on 127.0.0.1 with two replicas, most with a tiny model, so that
nothing but the service itself is slow. Callers send texts whose labels were asked for before, from the
same version of the model; they never send one again, but for the project's own clients where the name
says so. ``failed`` is whatever is not 200, 429 or 503: other statuses, connection errors, wrong labels.
Kept in benchmarks/results/serving_faults.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.serving.kinds import FAULTS, Bench, Row

RESULT = Path(__file__).parents[1] / "results" / "serving_faults.json"


def main() -> None:
    """The faults that are asked for, and a table of all that are kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", nargs="+", default=[*FAULTS], choices=FAULTS, metavar="NAME", help=", ".join(FAULTS)
    )
    parser.add_argument("--soak-minutes", type=float, default=30)
    parser.add_argument("--result", type=Path, default=RESULT)
    parser.add_argument("--table-only", action="store_true", help="print what is kept, run nothing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="react-ray-") as folder:
        bench = Bench(Path(folder), options.soak_minutes)
        for name in [] if options.table_only else options.only:
            row = {
                "name": name,
                **FAULTS[name](bench),
                "when": time.strftime("%Y-%m-%d"),
                "machine": platform.machine(),
            }
            rows = {row["name"]: row for row in _kept(options.result)} | {name: row}
            in_order = [rows[name] for name in FAULTS if name in rows]
            options.result.write_text(json.dumps(in_order, indent=1) + "\n")
            print(_line(row), flush=True)
    print("\n" + table(_kept(options.result)))


def _kept(result: Path) -> list[Row]:
    return json.loads(result.read_text()) if result.exists() else []


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    head = ["| fault | requests | 200 | 429 | 503 | failed | p50 ms | p99 ms | longest silence s | note |"]
    return "\n".join([*head, "|---|" + "---:|" * 8 + "---|", *map(_line, rows)])


def _line(row: Row) -> str:
    keys = ("fault", "requests", "200", "429", "503", "failed", "p50", "p99", "silence", "note")
    return (
        "| "
        + " | ".join(
            "" if row[key] is None else f"{row[key]:,}" if isinstance(row[key], int) else str(row[key])
            for key in keys
        )
        + " |"
    )


if __name__ == "__main__":
    main()
