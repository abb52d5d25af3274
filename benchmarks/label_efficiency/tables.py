"""TABLE.md from the kept records alone: scores, comparisons, ablation, labels made, seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.datasets import CHINESE, is_variant
from benchmarks.label_efficiency.comparisons import Comparison, compare
from benchmarks.label_efficiency.curves import draw_curves
from benchmarks.label_efficiency.encoders import ENCODERS, encoder_table
from benchmarks.label_efficiency.hard_pools import BALANCE, MIXED, balance_table, markdown, mixed_table, short
from benchmarks.label_efficiency.methods import METHODS, whole_of
from react_ray.config.settings import EMBEDDED

__all__ = ["write_tables"]

OURS, CEILING = "ours", "ceiling"
SIGNALS = ("confidence", "margin", "neighbours", "D", "weight")
RISK_LABELS = 5
RISK = f"""
Of the labels made at {RISK_LABELS} labels a class, the share in points that is wrong among the surest 10, 20,
... 100 %, by each signal (El-Yaniv & Wiener 2010).
"""
ALL = float("inf")
"""All labels, among numbers of labels per class."""
INTRODUCTION = """# Label efficiency

Made from the records in this folder by `python -m benchmarks.label_efficiency --table-only`.

Scores are macro-F1 on the test rows in points (0 to 100): mean ± standard deviation over draws. All methods
get the same draws, the same encoder, and no test label. `mean` is that over the data sets, given where a
method has all of them. Pairs are of one data set and draw; intervals cover 95 % (bootstrap of the pairs), p
is that of Wilcoxon's signed-rank test. A set with the texts of another (trec_fine) is shown, but counts in
neither mean nor pairs.
"""


def write_tables(records: Sequence[dict[str, Any]], folder: Path) -> Path | None:
    """Write TABLE.md and a picture for each setup into ``folder``; None without records."""
    if not records:
        return None
    rows = _frame(records)
    parts = [INTRODUCTION]
    if encoders := encoder_table(rows):
        parts += ["## Encoders", ENCODERS, encoders]
    rows = rows[~((rows["encoder"] == EMBEDDED) & rows["dataset"].isin(CHINESE))]  # it reads English alone
    setups = sorted(rows.groupby("setup"), key=lambda item: -len(item[1]))
    for setup, own in setups:
        name = _picture_name(own.iloc[0])
        (folder / f"curves-{name}").write_text(draw_curves(_curves(own), list(METHODS)), encoding="utf-8")
        parts += [f"## {setup}", f"![macro-F1 over labels a class](curves-{name})", *_sections(own)]
        risks = _risks(own)
        if risks:
            (folder / f"risk-{name}").write_text(draw_curves(risks, SIGNALS), encoding="utf-8")
            parts += ["### Risk and coverage", RISK, f"![wrong labels among the surest](risk-{name})"]
    target = folder / "TABLE.md"
    target.write_text("\n\n".join(part.strip() for part in parts) + "\n", encoding="utf-8")
    return target


def _frame(records: Sequence[dict[str, Any]]) -> pd.DataFrame:
    rows = pd.DataFrame(records)
    rows["labels"] = [ALL if count == "all" else float(count) for count in rows["labels_per_class"]]
    rows["setup"] = [_setup(record) for record in records]
    rows["setup_rows"] = [f"{record['pool']} {record['test']}" for record in records]
    rows["score"] = 100 * rows["macro_f1"]
    rank = {name: place for place, name in enumerate(METHODS)}
    rows["rank"] = rows["method"].map(rank).fillna(len(rank))
    return rows.sort_values(["dataset", "labels", "rank", "method", "seed"], kind="stable")


def _setup(record: dict[str, Any]) -> str:
    test = "all test rows" if record["test"] is None else f"at most {record['test']:,} test rows"
    return f"Encoder {record['encoder']}, at most {record['pool']:,} unlabelled rows, {test}"


def _picture_name(record: pd.Series) -> str:
    encoder = "".join(c if c.isalnum() else "-" for c in record["encoder"])
    test = "all" if pd.isna(record["test"]) else f"{record['test']:.0f}"
    return f"{encoder}-{record['pool']}-{test}.svg"


def _sections(rows: pd.DataFrame) -> list[str]:
    """The tables of one setup."""
    mixed = rows["dataset"].str.contains("+", regex=False)
    foreign, rows = mixed_table(rows, mixed), rows[~mixed]
    wholes = rows["method"].map(whole_of)
    methods = rows[wholes.isna()]
    sections = []
    for labels in sorted(methods.loc[methods["method"] != CEILING, "labels"].unique()):
        sections += [f"### {_size(labels)}", _score_table(methods, labels)]
    compared = _comparison_table(methods)
    if compared:
        sections += ["### Ours against each method", compared]
    for whole in wholes.dropna().unique():
        told = f"What {whole} has over itself without a part; below 0 the part costs."
        parts = rows[(wholes == whole) | (rows["method"] == whole)]
        sections += [f"### What each part gives to {whole}", told, _ablation_table(parts, whole)]
    made = _made_table(methods)
    if made:
        sections += ["### The labels made for the pool", made]
    balance = balance_table(methods)
    if balance:
        sections += ["### The class balance of the pool", BALANCE, balance]
    if foreign:
        sections += ["### Rows of none of the classes", MIXED, foreign]
    return [*sections, "### Seconds a cell", _seconds_table(rows)]


def _size(labels: float) -> str:
    return {ALL: "All labels", 0: "0 labels a class: names only", 1: "1 label a class"}.get(
        labels, f"{labels:.0f} labels a class"
    )


def _score_table(rows: pd.DataFrame, labels: float) -> str:
    """Methods x data sets at one number of labels, and the ceiling below."""
    sets = list(rows["dataset"].unique())
    counted = _counted(rows)
    own = rows[(rows["labels"] == labels) & (rows["method"] != CEILING)]
    shown = [*_in_order(own), CEILING] if (rows["method"] == CEILING).any() else _in_order(own)
    body = []
    for method in shown:
        source = rows if method == CEILING else own
        groups = source[source["method"] == method].groupby("dataset")["score"]
        mean, deviation, size = groups.mean(), groups.std(ddof=0), groups.size()
        cells = [_spread(mean[name], deviation[name], size[name]) if name in mean else "" for name in sets]
        body.append([method, _counts(size), *cells, _mean(mean, counted)])
    return markdown(["method", "draws", *sets, "mean"], body)


def _counted(rows: pd.DataFrame) -> list[str]:
    """The data sets that count in means: each text once."""
    sets = list(rows["dataset"].unique())
    return [name for name in sets if not is_variant(name)] or sets


def _mean(means: pd.Series, sets: Sequence[str]) -> str:
    return f"{means[list(sets)].mean():.1f}" if set(sets) <= set(means.index) else ""


def _in_order(rows: pd.DataFrame) -> list[str]:
    return list(rows.sort_values(["rank", "method"])["method"].unique())


def _spread(mean: float, deviation: float, draws: int) -> str:
    return f"{mean:.1f}" if draws == 1 else f"{mean:.1f} ± {deviation:.1f}"


def _counts(sizes: pd.Series) -> str:
    low, high = sizes.min(), sizes.max()
    return str(low) if low == high else f"{low}-{high}"


def _comparison_table(rows: pd.DataFrame) -> str:
    """Ours less each other method, over data sets and draws, by labels per class."""
    body = []
    for labels, own in rows[rows["dataset"].isin(_counted(rows))].groupby("labels"):
        scores = own.set_index(["dataset", "seed"])
        ours = scores.loc[scores["method"] == OURS, "score"]
        for method in _in_order(own):
            found = compare(ours, scores.loc[scores["method"] == method, "score"])
            if found and method not in (OURS, CEILING):
                body.append([short(labels), method, *_compared(found)])
    head = ["labels a class", "ours less", "pairs", "difference", "95 % interval", "p", "shown"]
    return markdown(head, body) if body else ""


def _ablation_table(rows: pd.DataFrame, whole: str) -> str:
    """A method less itself without each part, over data sets and draws, and in each data set."""
    sets, counted, body = list(rows["dataset"].unique()), _counted(rows), []
    for labels, own in rows.groupby("labels"):
        scores = own.set_index(["dataset", "seed"])
        full = scores.loc[scores["method"] == whole, "score"]
        for method in _in_order(own[own["method"] != whole]):
            other = scores.loc[scores["method"] == method, "score"]
            found = compare(full[_of(full, counted)], other[_of(other, counted)])
            if found:
                each = (full - other).groupby("dataset").mean()
                cells = [f"{each[name]:+.1f}" if name in each.dropna() else "" for name in sets]
                body.append([short(labels), method.removeprefix(f"{whole}-"), *_compared(found), *cells])
    head = ["labels a class", "variant", "pairs", "difference", "95 % interval", "p", "shown"]
    return markdown([*head, *sets], body)


def _of(scores: pd.Series, sets: Sequence[str]) -> Any:
    """Which scores are of one of the data sets."""
    return scores.index.get_level_values("dataset").isin(sets)


def _compared(found: Comparison) -> list[str]:
    interval = f"{found.low:+.1f} to {found.high:+.1f}"
    return [str(found.cells), f"{found.difference:+.1f}", interval, f"{found.p:.2g}", found.verdict]


def _made_table(rows: pd.DataFrame) -> str:
    """Right labels, what tells them from wrong ones, and what the label GAN took."""
    ours = [r for r in rows[rows["method"] == OURS].to_dict("records") if "made" in r["details"]]
    if not ours:
        return ""
    flat = pd.DataFrame(
        [{"labels": r["labels"], "dataset": r["dataset"], **_made(r["details"])} for r in ours]
    )
    figures = [str(column) for column in flat if column not in ("labels", "dataset")]
    flat[figures] = flat[figures].astype(float)
    means = flat.groupby(["labels", "dataset"], sort=False).mean().reset_index()
    total = (
        means[means["dataset"].isin(_counted(rows))]
        .drop(columns="dataset")
        .groupby("labels")
        .mean()
        .reset_index()
    )
    both = pd.concat([means, total.assign(dataset="mean")]).sort_values("labels", kind="stable")
    body = [
        [short(row["labels"]), row["dataset"], *(_figure(row[name]) for name in figures)]
        for row in both.to_dict("records")
    ]
    return markdown(["labels a class", "data set", *figures], body)


def _views(details: dict[str, Any], name: str) -> list[dict[str, float]]:
    """One of the teacher's views of each encoder; with several, a number follows the name."""
    return [view for key, view in details["views"].items() if key.split(" ")[0] == name]


def _made(details: dict[str, Any]) -> dict[str, float]:
    made, seconds = details["made"], details["seconds"]
    return {
        "right": made["accuracy"],
        **{f"AUROC of {name}": auroc for name, auroc in details["signals"].get("auroc", {}).items()},
        "ECE of weight": made["ece_weight"],
        "weight of names": fmean(view["names_weight"] for view in _views(details, "sentence")),
        "say of the opening": sum(view.get("weight", view.get("say")) for view in _views(details, "opening")),
        "used": float(details["used"] == "label_generator"),
        "seconds of the GAN": seconds["pretrain"] + seconds["lgan"],
    }


def _figure(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3f}" if abs(value) < 2 else f"{value:.1f}"


def _seconds_table(rows: pd.DataFrame) -> str:
    """Mean over all cells of a method and a data set."""
    sets = list(rows["dataset"].unique())
    mean = rows.groupby(["method", "dataset"])["seconds"].mean()
    body = [
        [method, *(f"{mean[method, name]:.1f}" if (method, name) in mean else "" for name in sets)]
        for method in _in_order(rows)
    ]
    return markdown(["method", *sets], body)


def _risks(rows: pd.DataFrame) -> dict[str, dict[str, list[tuple[str, float]]]]:
    """Data set -> signal -> mean risk at each coverage."""
    found: dict[str, dict[str, list[tuple[str, float]]]] = {}
    ours = rows[(rows["method"] == OURS) & (rows["labels"] == RISK_LABELS)]
    for dataset, own in ours.groupby("dataset"):
        risks = [d["signals"]["risk"] for d in own["details"] if d.get("signals")]
        for signal in SIGNALS if risks else ():
            mean = 100 * np.mean([risk[signal] for risk in risks], axis=0)
            points = [(f"{10 * place}", float(value)) for place, value in enumerate(mean, start=1)]
            found.setdefault(str(dataset), {})[signal] = points
    return found


def _curves(rows: pd.DataFrame) -> dict[str, dict[str, list[tuple[str, float]]]]:
    """Data set -> method -> mean score at each number of labels; ablations are left out."""
    own = rows[rows["method"].map(whole_of).isna()]
    found: dict[str, dict[str, list[tuple[str, float]]]] = {}
    for (dataset, method, labels), group in own.groupby(["dataset", "method", "labels"]):
        points = found.setdefault(str(dataset), {}).setdefault(str(method), [])
        points.append((short(labels), float(group["score"].mean())))
    return found
