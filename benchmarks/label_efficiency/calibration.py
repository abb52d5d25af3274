"""How many made labels are right, guessed from what can be seen: the constants of lgan.calibrate.

    python -m benchmarks.label_efficiency.calibration

A linear fit of the pool's accuracy to mean confidence and homophily over the kept records of
``ours`` at 1 and 5 labels a class (pool rows are training rows). Prints the constants, and the
mean error of the guess on each data set when the fit has not seen it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.datasets import is_variant
from benchmarks.label_efficiency.__main__ import RESULTS
from benchmarks.label_efficiency.cells import Results

SIZES = (1, 5)
TOLD = ["one", "confidence", "homophily"]


def main() -> None:
    """Print the fit and how it does on data sets that it has not seen."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where results are kept")
    rows = collect(Results(parser.parse_args().results).records())
    print(f"{len(rows)} records of {rows['dataset'].nunique()} data sets")
    print(
        "accuracy =", " + ".join(f"{value:.2f} {name}" for name, value in zip(TOLD, fit(rows), strict=True))
    )
    print(leave_one_out(rows).round(3).to_string())


def collect(records: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """One row a record of ``ours``; sets that hold the texts of another are left out."""
    kept = [
        {
            "dataset": record["dataset"],
            "accuracy": record["details"]["made"]["accuracy"],
            "confidence": record["details"]["confidence"],
            "homophily": record["details"]["homophily"],
            "one": 1.0,
        }
        for record in records
        if record["method"] == "ours"
        and record["labels_per_class"] in SIZES
        and not is_variant(record["dataset"])
    ]
    return pd.DataFrame(kept)


def fit(rows: pd.DataFrame) -> np.ndarray:
    """Constant, and weights of confidence and homophily."""
    return np.linalg.lstsq(rows[TOLD].to_numpy(), rows["accuracy"].to_numpy(), rcond=None)[0]


def leave_one_out(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean absolute error for each data set: of plain confidence, and of the guess fitted on the others."""
    errors = {}
    for dataset, own in rows.groupby("dataset"):
        guess = own[TOLD].to_numpy() @ fit(rows[rows["dataset"] != dataset])
        errors[dataset] = {
            "confidence": (own["confidence"] - own["accuracy"]).abs().mean(),
            "guess": np.abs(guess - own["accuracy"]).mean(),
        }
    table = pd.DataFrame(errors).T
    return pd.concat([table, table.mean().to_frame("mean").T])


if __name__ == "__main__":
    main()
