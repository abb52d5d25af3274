"""Tables of pools that are not as one would wish: skewed, or mixed with other texts."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import pandas as pd

__all__ = ["BALANCE", "MIXED", "balance_table", "markdown", "mixed_table", "short"]

OURS = "ours"
BALANCE = """
Half the sum of differences between the true balance and three guesses: the estimate that the label GAN works
with, the balance of the labelled rows, and a uniform one. In NAME@R the classes are thinned out to shares
that fall geometrically to an Rth.
"""
MIXED = """
NAME+OTHER has texts of another set, or of none of the classes, among the unlabelled ones. F1 is that on the
test rows of NAME, beside what the same draws give without such texts. AUROC tells rows of the classes from
the others; kept are the rows that go into the training set; weights are means over all rows of a kind, with
those left out at 0.
"""
GUESSES = ("estimated", "labels", "uniform")


def mixed_table(rows: pd.DataFrame, mixed: pd.Series) -> str:
    """What becomes of rows of none of the classes; empty where there are none. ``mixed`` marks their sets."""
    body = []
    ours = rows[rows["method"] == OURS]
    plain = ours.set_index(["dataset", "labels", "seed"])["score"]
    for (dataset, labels), own in ours[mixed[ours.index]].groupby(["dataset", "labels"]):
        found = [details["foreign"] for details in own["details"] if details.get("foreign")]
        if not found:
            continue
        keys = [(dataset.partition("+")[0], labels, seed) for seed in own["seed"]]
        without = [plain[key] for key in keys if key in plain.index]
        body.append(
            [
                dataset,
                short(labels),
                f"{100 * _mean(found, 'share'):.0f} %",
                f"{fmean(without):.1f}" if len(without) == len(own) else "",
                f"{own['score'].mean():.1f}",
                f"{_mean(found, 'auroc', 'confidence'):.3f}",
                f"{_mean(found, 'auroc', 'weight'):.3f}",
                *(f"{100 * _mean(found, 'kept', kind):.0f} %" for kind in ("own", "foreign")),
                *(f"{_mean(found, 'weight', kind):.2f}" for kind in ("own", "foreign")),
            ]
        )
    head = [
        "set",
        "labels a class",
        "foreign",
        "F1 without",
        "F1 with",
        "AUROC of confidence",
        "AUROC of weight",
    ]
    head += ["own kept", "foreign kept", "weight of own", "weight of foreign"]
    return markdown(head, body) if body else ""


def balance_table(rows: pd.DataFrame) -> str:
    """How far off three guesses of the class balance are; empty where none was made."""
    ours = rows[rows["method"] == OURS]
    judged = ours[ours["details"].map(lambda details: bool(details.get("balance"))).astype(bool)]
    body = [
        [
            dataset,
            short(labels),
            *(f"{_mean(list(own['details']), 'balance', guess):.3f}" for guess in GUESSES),
        ]
        for (dataset, labels), own in judged.groupby(["dataset", "labels"])
    ]
    return markdown(["set", "labels a class", *GUESSES], body) if body else ""


def short(labels: float) -> str:
    """A number of labels a class in a table."""
    return "all" if labels == float("inf") else f"{labels:.0f}"


def markdown(head: Sequence[Any], body: Sequence[Sequence[Any]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _mean(found: Sequence[dict[str, Any]], *keys: str) -> float:
    values: list[Any] = list(found)
    for key in keys:
        values = [value[key] for value in values]
    return fmean(values)
