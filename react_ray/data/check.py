"""Checks over all rows of a run at once: who may stay, in which part, and why not.

Rows with a label are judged together, in memory; of the others, which may be many more, only copies
are looked for, see ``copies``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd

from react_ray.data.copies import PARTS
from react_ray.data.refusals import LostRows, Refusals, describe
from react_ray.data.similar_names import similar_names, visible
from react_ray.errors import InputError
from react_ray.tasks.labels import LabelMap

__all__ = ["check_labelled", "check_usable", "copy_reason", "label_warnings"]

SHOWN_CLASSES = 5

PART_NAMES = {"labeled": "labelled", "validation": "validation", "test": "test"}
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
            raise InputError(f"--{name}: none of its rows is usable. Rejected:\n{describe(kinds.values())}")
    if not labels and not described:
        raise InputError(
            "no row has a label: fill in at least one for each class in the label column of --labeled "
            "(--label-column names it), or give the names of the classes with --labels"
        )
    if not learnable:
        raise InputError("there is no row to learn from: give --labeled or --unlabeled")
    _check_classes(set(labels), refusals, described)


def label_warnings(
    counts: Mapping[str, int], kept: Mapping[str, Collection[str]], refusals: Refusals
) -> list[str]:
    """Return what a person should look at in the labels: similar names, and classes without a usable row.

    ``counts`` are the rows of each class name in all inputs, rejected ones included; ``kept`` the names of
    each input (labeled, validation, test) that still have a row.
    """
    warnings = similar_names(counts)
    for part, names in kept.items():
        lost = _lost_classes(refusals, part, names)
        for name, rows in lost[:SHOWN_CLASSES]:
            lost_rows = f"all {rows.count:,} were" if rows.count > 1 else "the only one was"
            told = f"class {visible(name)} has no {PART_NAMES[part]} row left: {lost_rows} rejected"
            warnings.append(f"{told}\n{rows.describe()}")
        if len(lost) > SHOWN_CLASSES:
            warnings.append(
                f"{len(lost) - SHOWN_CLASSES:,} more classes have no {PART_NAMES[part]} row left, "
                "see refused.jsonl"
            )
    return warnings


def _lost_classes(refusals: Refusals, part: str, kept: Collection[str]) -> list[tuple[str, LostRows]]:
    """Classes of an input whose rows were all rejected."""
    return [
        (label, rows) for (given, label), rows in refusals.lost.items() if given == part and label not in kept
    ]


def _check_classes(labels: set[str], refusals: Refusals, described: dict[str, str]) -> None:
    lost = _lost_classes(refusals, "labeled", labels)
    if not described and lost:
        told = [
            f"the class {visible(name)} has neither a usable row nor a name. Rejected:\n{rows.describe()}"
            for name, rows in lost[:SHOWN_CLASSES]
        ]
        more = [f"and {len(lost) - SHOWN_CLASSES} more classes"] if len(lost) > SHOWN_CLASSES else []
        end = "Correct these rows, delete them, or name all classes with --labels."
        raise InputError("\n".join([*told, *more, end]))
    classes = LabelMap.of(labels, described)
    if len(classes) < 2:
        raise InputError(
            f"there is only one class, {visible(classes.names[0])}: at least two are needed, "
            "in the label column of --labeled or in --labels"
        )
    for name, words in zip(classes.names, classes.texts(), strict=True):
        if name not in labels and not any(map(str.isalpha, words)):
            raise InputError(
                f"the class {visible(name)} has no labelled row, and its name has no words; "
                f'label a row, or describe it in --labels ("{name}": what it is about)'
            )
