"""Detection of label sets that were read as one name, because no separator was given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from react_ray.data.similar_names import visible

__all__ = ["joined_names"]

SEPARATORS = "|;,；，、"


def joined_names(counts: Mapping[str, int]) -> list[str]:
    """Return a warning if names in ``counts`` (class name -> rows) look like several names in one.

    That is where the parts of most names with the same separator are in other names too.

    >>> joined_names({"joy|love": 3, "joy": 2, "love|sad": 1, "sad": 4})[0].partition(",")[0]
    "2 of 4 labels contain '|'"
    """
    for separator in SEPARATORS:
        split = {name: {part.strip() for part in name.split(separator)} - {""} for name in counts}
        joined = [name for name in counts if len(split[name]) > 1]
        uses = Counter(part for parts in split.values() for part in parts)
        recurring = [name for name in joined if all(uses[part] > 1 for part in split[name])]
        if recurring and 2 * len(recurring) >= len(joined):
            name = max(recurring, key=lambda name: counts[name])
            return [
                f"{len(joined)} of {len(counts)} labels contain {separator!r}, such as {visible(name)}, and "
                f"their parts are in other labels too; if these are several labels, give --separator "
                f"'{separator}'"
            ]
    return []
