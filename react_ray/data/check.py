"""Checks over all rows of a run at once: who may stay, in which part, and why not.

Rows with a label are judged together, in memory; of the others, which may be many more, only copies
are looked for, see ``copies``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd

from react_ray.data.copies import PARTS
from react_ray.data.refusals import Refusals, count_kinds, describe
from react_ray.errors import InputError
from react_ray.labels import LabelMap

__all__ = ["check_labelled", "check_usable", "copy_reason"]

COPY = {"labeled": "also labelled", "test": "also in test", "validation": "also in validation"}


def check_labelled(rows: pd.DataFrame, described: Collection[str] = ()) -> pd.Series:
    """Why rows of labeled, validation and test are refused; ``rows`` has part, id and label.

    ``described`` are the classes of the label file, if there is one. The reasons ("kind: details") have
    the index of their rows, in its order; rows without one may stay.
    """
    reasons = []
    for rule in (_without_label, _outside_label_file, _two_labels, _outside_classes):
        found = rule(rows, described)
        reasons.append(found)
        rows = rows.drop(index=found.index)
    return pd.concat(reasons).sort_index()


def copy_reason(part: int, kept_part: int, file: str, row: int) -> str:
    """Why a row is refused whose text stays elsewhere; parts are indices into PARTS."""
    kind = "duplicate" if part == kept_part else COPY[PARTS[kept_part]]
    return f"{kind}: the same text is {file}, row {row}"


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


def check_usable(
    kept: Mapping[str, int],
    labels: Collection[str],
    learnable: bool,
    refusals: Refusals,
    described: dict[str, str],
) -> None:
    """Raise InputError when training cannot start with what is left.

    ``kept`` counts the rows of each input that stay, ``labels`` are the labels of those to learn from;
    ``learnable`` says whether there are such rows, labelled or not.
    """
    for name, kinds in refusals.inputs.items():
        if not kept.get(name):
            raise InputError(f"--{name}: none of its rows is usable. Refused:\n{describe(kinds.values())}")
    if not labels and not described:
        raise InputError(
            "no row has a label: fill in at least one for each class in the label column of --labeled "
            "(--label-column names it), or give the names of the classes with --labels"
        )
    if not learnable:
        raise InputError("there is no row to learn from: give --labeled or --unlabeled")
    _check_classes(set(labels), refusals, described)


def _check_classes(labels: set[str], refusals: Refusals, described: dict[str, str]) -> None:
    lost = [row for row in refusals.lost if row[0] not in labels]
    if not described and lost:
        raise InputError(
            f"the class {lost[0][0]!r} has neither a usable row nor a name. Refused:\n"
            f"{describe(count_kinds(row[1:] for row in lost))}\n"
            "Mend these rows, delete them, or name all classes with --labels."
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
