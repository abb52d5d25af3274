"""Checks over all rows of a run at once: who may stay, in which part, and why not.

Works on ids and labels only; the texts stay on disk.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from react_ray.errors import InputError
from react_ray.labels import LabelMap

__all__ = ["check_rows", "check_usable", "describe_refused", "reason_kind"]

PRECEDENCE = ("labeled", "test", "validation", "unlabeled")
"""The part that keeps a text found in several: labels are dear, the pool is plenty."""
COPY = {"labeled": "also labelled", "test": "also in test", "validation": "also in validation"}


def check_rows(rows: pd.DataFrame, described: Collection[str] = ()) -> pd.DataFrame:
    """Judge all rows together; ``rows`` has input, id, label, file and row.

    ``described`` are the classes of the label file, if there is one. Returns part
    (labeled, unlabeled, validation, test) and reason ("kind: details", missing for rows
    that stay), aligned with ``rows``. The first of several copies stays.
    """
    blank = (rows["input"] == "labeled") & rows["label"].isna()
    part = rows["input"].astype("str").mask(blank, "unlabeled").astype(pd.CategoricalDtype([*PRECEDENCE]))
    reason = pd.Series(pd.NA, index=rows.index, dtype="str")
    judged = rows.assign(part=part)
    labelled = judged[part != "unlabeled"]
    for rule in (_without_label, _outside_label_file, _two_labels, _outside_classes):
        found = rule(labelled, described)
        reason[found.index] = found
        labelled = labelled.drop(index=found.index)
    copies = _copies(judged[reason.isna()])
    reason[copies.index] = copies
    return pd.DataFrame({"part": part, "reason": reason})


def _without_label(rows: pd.DataFrame, described: Collection[str]) -> pd.Series:
    found = rows[rows["label"].isna()]
    return "no label: a " + found["part"].astype("str") + " row needs one"


def _outside_label_file(rows: pd.DataFrame, described: Collection[str]) -> pd.Series:
    found = rows[(rows["part"] == "labeled") & ~rows["label"].isin(list(described))]
    found = found if described else found.iloc[:0]
    return "unknown label: " + found["label"] + " is not in the --labels file"


def _outside_classes(rows: pd.DataFrame, described: Collection[str]) -> pd.Series:
    classes = {*described, *rows.loc[rows["part"] == "labeled", "label"]}
    found = rows[~rows["label"].isin(list(classes))]
    return "unknown label: " + found["label"] + " has neither a labelled row nor a name in a --labels file"


def _two_labels(rows: pd.DataFrame, described: Collection[str]) -> pd.Series:
    """None of such rows is believed: which label is wrong cannot be known."""
    key = ["part", "id"]
    pairs = rows[[*key, "label"]].drop_duplicates()
    clash = pairs[pairs.duplicated(key, keep=False)]
    names = clash.groupby(key, observed=True)["label"].agg(lambda labels: " and ".join(sorted(labels)))
    found = rows[key].join(names.rename("names"), on=key)["names"].dropna().astype("str")
    return "two labels: the same text is labelled " + found


def _copies(rows: pd.DataFrame) -> pd.Series:
    codes, _ = pd.factorize(rows["id"])
    several = np.bincount(codes, minlength=1)[codes] > 1
    rows, codes = rows[several], codes[several]
    order = np.lexsort((rows["part"].cat.codes, codes))
    rows, codes = rows.iloc[order], codes[order]
    first = np.diff(codes, prepend=-1) != 0
    keeper = rows.iloc[np.maximum.accumulate(np.where(first, np.arange(len(rows)), 0))][~first]
    lost = rows[~first]
    kind = keeper["part"].astype("str").map(COPY).to_numpy(dtype=object)
    kind = np.where(keeper["part"].to_numpy() == lost["part"].to_numpy(), "duplicate", kind)
    place = keeper["file"].astype("str") + ", row " + keeper["row"].astype("str")
    return pd.Series(kind, index=lost.index, dtype="str") + ": the same text is " + place.to_numpy()


def check_usable(kept: pd.DataFrame, refused: pd.DataFrame, described: dict[str, str]) -> None:
    """Raise InputError when training cannot start with what is left.

    ``kept`` has input, part and label; ``refused`` has input, file, row, reason and
    label. Each input that was given has rows in one of them.
    """
    for name in dict.fromkeys([*refused["input"]]):
        if not (kept["input"] == name).any():
            reasons = describe_refused(refused[refused["input"] == name])
            raise InputError(f"--{name}: none of its rows is usable. Refused:\n{reasons}")
    labels = kept.loc[kept["part"] == "labeled", "label"]
    if labels.empty and not described:
        raise InputError(
            "no row has a label: fill in at least one for each class in the label column of --labeled "
            "(--label-column names it), or give the names of the classes with --labels"
        )
    if not kept["part"].isin(["labeled", "unlabeled"]).any():
        raise InputError("there is no row to learn from: give --labeled or --unlabeled")
    _check_classes(set(labels), refused, described)


def _check_classes(labels: set[str], refused: pd.DataFrame, described: dict[str, str]) -> None:
    lost = refused[
        (refused["input"] == "labeled") & refused["label"].notna() & ~refused["label"].isin(list(labels))
    ]
    if not described and len(lost):
        raise InputError(
            f"the class {lost['label'].iloc[0]!r} has neither a usable row nor a name. Refused:\n"
            f"{describe_refused(lost)}\nMend these rows, delete them, or name all classes with --labels."
        )
    classes = LabelMap.of(labels, described)
    if len(classes) < 2:
        raise InputError(
            f"there is only one class, {classes.names[0]!r}: at least two are needed, "
            "in the label column of --labeled or in --labels"
        )
    for name, words in zip(classes.names, classes.texts(), strict=True):
        if name not in labels and not any(map(str.isalpha, words)):
            raise InputError(
                f"the class {name!r} has no labelled row, and its name has no words; "
                f'label a row, or describe it in --labels ("{name}": what it is about)'
            )


def reason_kind(reasons: pd.Series) -> pd.Series:
    """The part of each reason before its details."""
    return reasons.str.replace(r"(?s):.*", "", regex=True)


def describe_refused(refused: pd.DataFrame, kinds: int = 5) -> str:
    """The commonest reasons, each with its count and the first row it befell."""
    groups = refused.groupby(reason_kind(refused["reason"]), sort=False)
    largest = sorted(groups, key=lambda group: -len(group[1]))[:kinds]
    return "\n".join(
        f"  {len(rows):,} × {rows['reason'].iloc[0]} (first: {_place(rows)})" for _, rows in largest
    )


def _place(rows: pd.DataFrame) -> str:
    file, row = rows["file"].iloc[0], rows["row"].iloc[0]
    return f"{file}, row {row}" if row else str(file)
