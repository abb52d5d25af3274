"""Table of encoders beside each other, from the records of one size of pool and test."""

from __future__ import annotations

import pandas as pd

from benchmarks.label_efficiency.hard_pools import markdown

__all__ = ["ENCODERS", "encoder_table"]

LABELS = 5
ENCODERS = f"""
At {LABELS} labels a class. embedded is MiniLM, multilingual is multilingual-e5-small, auto is both, as views
that are weighed by homophily (methods other than ours and its teacher get both sentence embeddings side by
side); an encoder that does not read a language is left out. `weight of each` is the mean over draws that the
teacher gives to the encoders, in that order.
"""


def encoder_table(rows: pd.DataFrame) -> str:
    """Methods and encoders x data sets; only sets and methods of more than one encoder. Empty without any."""
    rows = rows[(rows["labels"] == LABELS) & ~rows["dataset"].str.contains(r"[+@~]")]
    counts = rows.groupby(["method", "setup_rows", "dataset"])["encoder"].transform("nunique")
    rows = rows[counts > 1]
    if rows.empty:
        return ""
    rows = rows[rows["setup_rows"] == rows["setup_rows"].mode()[0]]
    sets, body = sorted(rows["dataset"].unique()), []
    for method, own in rows.groupby("method", sort=False):
        for encoder, cells in own.groupby("encoder", sort=False):
            scores = cells.groupby("dataset")["score"]
            body.append([method, encoder, *(_cell(scores, name) for name in sets)])
    both = rows[(rows["method"] == "teacher") & (rows["encoder"] == "auto")]
    if len(both):
        weights = both.groupby("dataset")["details"].agg(_weights)
        body.append(["weight of each", "auto", *(weights.get(name, "") for name in sets)])
    return markdown(["method", "encoder", *sets], body)


def _cell(scores: pd.api.typing.SeriesGroupBy, name: str) -> str:
    if name not in scores.groups:
        return ""
    own = scores.get_group(name)
    return f"{own.mean():.1f}" if len(own) == 1 else f"{own.mean():.1f} ± {own.std(ddof=0):.1f}"


def _weights(details: pd.Series) -> str:
    """Mean weight of each encoder, whose views follow each other."""
    views = pd.DataFrame([entry["views"] for entry in details]).mean()
    of_encoder = views.to_numpy().reshape(-1, 3).sum(1)
    return " / ".join(f"{weight:.2f}" for weight in of_encoder)
