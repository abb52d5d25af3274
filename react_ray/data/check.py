"""Checks across all rows of a run: duplicates, conflicting targets, classes without rows.

Labelled rows are checked together, in memory; unlabelled rows, which may be many more, only for
duplicates, see :mod:`react_ray.data.duplicates`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd

from react_ray.data.duplicates import PARTS
from react_ray.data.joined_names import joined_names
from react_ray.data.rejections import LostRows, RejectedRows, describe
from react_ray.data.similar_names import similar_names, visible
from react_ray.data.targets import Targets
from react_ray.errors import InputError
from react_ray.tasks import Task
from react_ray.tasks.labels import LabelMap

__all__ = ["check_labelled", "check_usable", "copy_reason", "label_warnings", "reference_reason"]

SHOWN_CLASSES = 5

PART_NAMES = {"labeled": "labelled", "validation": "validation", "test": "test"}
COPY = {"labeled": "also labelled", "test": "also in test", "validation": "also in validation"}


def check_labelled(rows: pd.DataFrame, targets: Targets, described: Collection[str] = ()) -> pd.Series:
    """Return the reasons to reject labelled rows; ``rows`` has part, id and key (of the target).

    ``described`` are the classes of the label file, if any. The reasons ("kind: details") are indexed as
    their rows; rows that pass every check have none.
    """
    reasons = []
    for rule in (_without_target, _outside_label_file, _several_targets, _outside_classes):
        rejected = rule(rows, targets, described)
        reasons.append(rejected)
        rows = rows.drop(index=rejected.index)
    return pd.concat(reasons).sort_index()


def copy_reason(part: int, kept_part: int, file: str, row: int, is_merged: bool = False) -> str:
    """Return the reason to reject a duplicate; parts are indices into PARTS."""
    if is_merged:
        return f"merged: the same input is {file}, row {row}, which keeps the targets of both"
    kind = "duplicate" if part == kept_part else COPY[PARTS[kept_part]]
    return f"{kind}: the same text is {file}, row {row}"


def reference_reason(file: str, row: int) -> str:
    """Return the reason to leave out a row with a further reference for the input of another."""
    return f"further reference: answers are compared with the target of the same text in {file}, row {row}"


def _without_target(rows: pd.DataFrame, targets: Targets, described: Collection[str]) -> pd.Series:
    unlabelled = rows[rows["key"].isna()]
    return "no label: a " + unlabelled["part"].astype("str") + " row needs one"


def _outside_label_file(rows: pd.DataFrame, targets: Targets, described: Collection[str]) -> pd.Series:
    labelled = rows[rows["part"] == "labeled"] if described else rows.iloc[:0]
    return "unknown label: " + _unknown(labelled["key"], targets, described) + " is not in the --labels file"


def _outside_classes(rows: pd.DataFrame, targets: Targets, described: Collection[str]) -> pd.Series:
    classes = {*described, *targets.count(rows.loc[rows["part"] == "labeled", "key"])}
    unknown = _unknown(rows["key"], targets, classes)
    return "unknown label: " + unknown + " has neither a labelled row nor a name in a --labels file"


def _unknown(keys: pd.Series, targets: Targets, classes: Collection[str]) -> pd.Series:
    """Return the first class of each target that is not in ``classes``; targets without one are dropped."""
    classes = set(classes)
    first = [next((name for name in targets.names(key) if name not in classes), None) for key in keys]
    return pd.Series(first, keys.index, "str").dropna()


def _several_targets(rows: pd.DataFrame, targets: Targets, described: Collection[str]) -> pd.Series:
    """Reject all copies of a text with several targets: which one is wrong is unknown.

    Texts that are generated may differ and be right.
    """
    if targets.task.generates:
        return pd.Series([], pd.Index([], dtype="int64"), dtype="str")
    unit = ["part", "id"]
    pairs = rows[[*unit, "key"]].drop_duplicates()
    clash = pairs[pairs.duplicated(unit, keep=False)]
    names = clash.groupby(unit, observed=True)["key"].agg(
        lambda keys: " and ".join(map(targets.shown, sorted(keys)))
    )
    clashing = rows[unit].join(names.rename("names"), on=unit)["names"].dropna().astype("str")
    return f"two {targets.word}: the same text is labelled " + clashing


def check_usable(
    accepted: Mapping[str, int],
    labels: Collection[str],
    learnable: bool,
    rejections: RejectedRows,
    described: dict[str, str],
    task: Task,
    columns: Collection[str] = (),
) -> None:
    """Raise InputError when the remaining rows do not suffice for training.

    ``accepted`` counts the accepted rows of each input, ``labels`` are the classes of the training rows;
    ``learnable`` is whether there is any training row, labelled or not. ``columns`` are those of the
    labelled file.
    """
    for name, kinds in rejections.inputs.items():
        if not accepted.get(name):
            raise InputError(f"--{name}: none of its rows is usable. Rejected:\n{describe(kinds.values())}")
    if task.fewest_classes and not labels and not described:
        raise InputError(_nothing_labelled(task, columns))
    if not learnable:
        raise InputError("there is no training row: give --labeled or --unlabeled")
    if task.fewest_classes:
        _check_classes(set(labels), rejections, described, task)


def _nothing_labelled(task: Task, columns: Collection[str]) -> str:
    names, place = _target_names(task, columns), _target_column(task, columns)
    flags = ["--label-column" if name == "label" else f"--column {name}=NAME" for name in names]
    return (
        f"no row has a label: fill in at least one for each {task.nouns.option} in {place} "
        f"({' or '.join(flags)} names it), or give the names of the {task.nouns.options} with --labels"
    )


def _target_names(task: Task, columns: Collection[str]) -> list[str]:
    """Return the target columns that a file has, or else the first two."""
    names = [column.name for column in task.columns if column.target]
    return [name for name in names if name in columns] or names[:2]


def _target_column(task: Task, columns: Collection[str] = ()) -> str:
    return f"the {' or '.join(_target_names(task, columns))} column of --labeled"


def label_warnings(
    counts: Mapping[str, int], accepted: Mapping[str, Collection[str]], rejections: RejectedRows, task: Task
) -> list[str]:
    """Return warnings about labels: similar names, several names in one, classes without an accepted row.

    ``counts`` are the rows of each class name in all inputs, rejected ones included; ``accepted`` the classes
    with an accepted row in each input (labeled, validation, test).
    """
    warnings, nouns = similar_names(counts), task.nouns
    if any(column.kind == "labels" for column in task.columns):
        warnings += joined_names(counts)
    for part, names in accepted.items():
        lost = _lost_classes(rejections, part, names)
        for name, rows in lost[:SHOWN_CLASSES]:
            lost_rows = f"all {rows.count:,} were" if rows.count > 1 else "the only one was"
            lacks = f"{nouns.option} {visible(name)} has no {PART_NAMES[part]} row left"
            warnings.append(f"{lacks}: {lost_rows} rejected\n{rows.describe()}")
        if len(lost) > SHOWN_CLASSES:
            warnings.append(
                f"{len(lost) - SHOWN_CLASSES:,} more {nouns.options} have no {PART_NAMES[part]} row left, "
                "see refused.jsonl"
            )
    return warnings


def _lost_classes(
    rejections: RejectedRows, part: str, accepted: Collection[str]
) -> list[tuple[str, LostRows]]:
    """Return the classes of an input whose rows were all rejected."""
    return [
        (label, rows)
        for (name, label), rows in rejections.lost.items()
        if name == part and label not in accepted
    ]


def _check_classes(labels: set[str], rejections: RejectedRows, described: dict[str, str], task: Task) -> None:
    lost, nouns = _lost_classes(rejections, "labeled", labels), task.nouns
    if not described and lost:
        messages = [
            f"the {nouns.option} {visible(name)} has neither a usable row nor a name. Rejected:\n"
            f"{rows.describe()}"
            for name, rows in lost[:SHOWN_CLASSES]
        ]
        more = [f"and {len(lost) - SHOWN_CLASSES} more {nouns.options}"] if len(lost) > SHOWN_CLASSES else []
        end = f"Correct these rows, delete them, or name all {nouns.options} with --labels."
        raise InputError("\n".join([*messages, *more, end]))
    classes = LabelMap.of(labels, described)
    if len(classes) < task.fewest_classes:
        raise InputError(
            f"there is only one {nouns.option}, {visible(classes.names[0])}: at least two are needed, "
            f"in {_target_column(task)} or in --labels"
        )
    for name, words in zip(classes.names, classes.texts(), strict=True):
        if name not in labels and not any(map(str.isalpha, words)):
            raise InputError(
                f"the {nouns.option} {visible(name)} has no labelled row, and its name has no words; "
                f'label a row, or describe it in --labels ("{name}": what it is about)'
            )
