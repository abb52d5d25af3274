"""Folder of a built recommender: parquet, safetensors, LightGBM's text format and JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import ValidationError

from react_ray import InputError
from react_ray.apps.files import locked
from react_ray.apps.recommend.features import Sources
from react_ray.apps.recommend.interactions import Interactions
from react_ray.apps.recommend.ranker import RANKER, WITHOUT_TEXT, Ranker
from react_ray.apps.recommend.read import Catalogue
from react_ray.apps.recommend.settings import RecommendConfig, Tuned
from react_ray.apps.recommend.split import Split
from react_ray.folders import replace_file

__all__ = ["FILES", "Built", "file_states", "forget", "load", "save", "write_json"]

CONFIG, ITEMS, INTERACTIONS, EMBEDDINGS = (
    "config.json",
    "items.parquet",
    "interactions.parquet",
    "embeddings.safetensors",
)
RANKERS = {RANKER: "ranker.txt", WITHOUT_TEXT: "ranker_without_text.txt"}
FILES = (CONFIG, ITEMS, INTERACTIONS, EMBEDDINGS, *RANKERS.values())


@dataclass(frozen=True)
class Built:
    """A recommender: what it was made of, and its rankers.

    Attributes
    ----------
    catalogue, embeddings
        The items, and the embeddings of their texts, items x d.
    text_map
        Map of the embeddings that is fitted on all interactions, d x d.
    interactions, users
        All of them, and the ids of the users.
    rankers
        By name: one with all features, and one without those of texts.
    changed
        Whether users were forgotten since it was built.
    """

    config: RecommendConfig
    tuned: Tuned
    catalogue: Catalogue
    embeddings: NDArray[np.float32]
    text_map: NDArray[np.float32]
    interactions: Interactions
    users: list[str]
    rankers: Mapping[str, Ranker]
    changed: bool = False

    def split(self) -> Split:
        """Return the parts for training, validation and test."""
        return Split(self.interactions, self.config.cold_share, self.config.seed)

    def sources(self, train: Interactions, text_map: NDArray[np.float32] | None = None) -> Sources:
        """Fit the recommenders that name candidates, and without a ``text_map`` that too."""
        return Sources(train, self.embeddings, self.catalogue.features, self.tuned, self.config, text_map)


def save(built: Built, folder: Path) -> None:
    """Write all files; config.json is last, so a folder that has it is complete."""
    from safetensors.numpy import save_file

    (folder / CONFIG).unlink(missing_ok=True)
    data = built.interactions
    items: dict[str, Any] = {"item": pa.array(built.catalogue.ids), "text": pa.array(built.catalogue.texts)}
    for number, name in enumerate(built.config.features):
        items[f"given_{name}"] = built.catalogue.features[:, number]
    for name, cells in built.catalogue.columns.items():
        items[f"filter_{name}"] = pa.array(cells)
    log: dict[str, Any] = {
        "user": pa.DictionaryArray.from_arrays(pa.array(data.user, pa.int32()), pa.array(built.users)),
        "item": pa.array(data.item, pa.int64()),
        "liked": data.positive,
    }
    if data.time is not None:
        log["time"] = data.time
    replace_file(folder / ITEMS, lambda path: pq.write_table(pa.table(items), path))
    replace_file(folder / INTERACTIONS, lambda path: pq.write_table(pa.table(log), path), private=True)
    arrays = {"embeddings": built.embeddings, "text_map": built.text_map}
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    replace_file(folder / EMBEDDINGS, lambda path: save_file(arrays, path))
    for name, file in RANKERS.items():
        replace_file(folder / file, built.rankers[name].save)
    settings = {
        "settings": built.config.model_dump(mode="json"),
        "tuned": built.tuned.model_dump(mode="json"),
        "interactions": len(data),
    }
    replace_file(folder / CONFIG, lambda path: write_json(path, settings))


def load(folder: Path) -> Built:
    """Read what :func:`save` has written. Raises InputError if there is no complete recommender."""
    from safetensors.numpy import load_file

    if not (folder / CONFIG).is_file():
        raise InputError(f"{folder}: no recommender there; make one with react-ray recommend build --output")
    try:
        settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        config = RecommendConfig.model_validate(settings["settings"])
        tuned = Tuned.model_validate(settings["tuned"])
        items, log = pq.read_table(folder / ITEMS), pq.read_table(folder / INTERACTIONS)
        arrays = load_file(folder / EMBEDDINGS)
        embeddings, text_map = arrays["embeddings"], arrays["text_map"]
        numbers = [items[f"given_{name}"].to_numpy() for name in config.features]
        count = items.num_rows
        features = np.array(numbers, np.float32).reshape(len(numbers), count).T
        columns = {name: items[f"filter_{name}"].to_pylist() for name in config.filters}
        catalogue = Catalogue(items["item"].to_pylist(), items["text"].to_pylist(), features, columns)
        users = log["user"].combine_chunks()
        interactions = Interactions(
            users.indices.to_numpy().astype(np.int64),
            log["item"].to_numpy(),
            log["time"].to_numpy() if "time" in log.column_names else None,
            np.asarray(log["liked"].to_pylist(), bool),
            len(users.dictionary),
            count,
        )
    except (OSError, KeyError, ValueError, ValidationError, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{folder} is damaged ({reason}): build the recommender again") from None
    changed = len(interactions) != settings.get("interactions", len(interactions))
    names = Sources.names_of(config, interactions.time is not None)
    rankers = {name: Ranker.load(folder / file, names) for name, file in RANKERS.items()}
    ids = users.dictionary.to_pylist()
    return Built(config, tuned, catalogue, embeddings, text_map, interactions, ids, rankers, changed)


def file_states(folder: Path) -> tuple[tuple[str, int, int, int], ...]:
    """Return name, inode, size and time of the files, to see changes. Raises InputError if one is missing."""
    try:
        states = [(name, (folder / name).stat()) for name in FILES]
    except OSError as error:
        raise InputError(f"{error.filename}: no complete recommender there; wait for its build") from None
    return tuple((name, state.st_ino, state.st_size, state.st_mtime_ns) for name, state in states)


def forget(folder: Path, user: str) -> int:
    """Delete the interactions of a user, and the id; return how many there were.

    Running services read the folder again before their next answer. The trees of the ranker are not trained
    again. Raises InputError if there is no recommender, or no such user, or the folder is being changed.
    """
    file_states(folder)
    with locked(folder):
        log = pq.read_table(folder / INTERACTIONS)
        users = np.asarray(log["user"].to_pylist(), object)
        remaining = users != user
        removed = int((~remaining).sum())
        if not removed:
            raise InputError(f"{folder}: no interactions of a user {user!r}")
        remaining_log = log.filter(pa.array(remaining))
        names = pa.array(users[remaining].tolist(), pa.string()).dictionary_encode()
        remaining_log = remaining_log.set_column(0, "user", names)
        replace_file(folder / INTERACTIONS, lambda path: pq.write_table(remaining_log, path), private=True)
        _sync(folder)
    return removed


def _sync(folder: Path) -> None:
    """Make a changed name durable, so that deleted interactions do not come back after a crash."""
    for path in (folder / INTERACTIONS, folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people and programs."""
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
