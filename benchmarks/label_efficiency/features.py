"""Features of whole data sets, computed once with the frozen encoder and kept.

Copies of labelled texts (S3) are encoded when a draw first needs them. A text has the
same copies in every draw: those of seed 0.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

from benchmarks.datasets import DATA, HALF, classes_of, read_dataset
from react_ray.config.settings import EMBEDDED, AugmentConfig, EncodeConfig
from react_ray.data.encode import Encoder, default_prompts
from react_ray.data.views import BLOCKS
from react_ray.lgan.inputs import Features, Indices, save_arrays
from react_ray.models.pretrained import fingerprint
from react_ray.tasks.labels import LabelMap
from react_ray.tasks.text_changes import augment

CACHE = Path("out") / "benchmarks" / "features"
DIGITS = 12


@dataclass(frozen=True)
class Copies:
    """Changed copies of the training rows ``asked``; ``of`` has the row each is a copy of.

    A text too short to be changed has none.
    """

    asked: Indices
    of: Indices
    features: Features


@dataclass(frozen=True)
class Stored:
    """A data set, text and label, with the features of its rows and of its classes' names.

    ``prompted`` is what a run takes for the names, ``names`` the names as any other text.
    """

    name: str
    encoder: str
    train: pd.DataFrame
    test: pd.DataFrame
    classes: LabelMap
    train_features: Features
    test_features: Features
    names: Features
    prompted: Features
    copies: Copies
    blocks: int = BLOCKS


@dataclass(frozen=True)
class FeatureStore:
    """Data sets with features, in a cache folder; files are keyed by content, encoder and settings."""

    data: Path = DATA
    encoder: str = EMBEDDED
    cache: Path = CACHE
    encoding: EncodeConfig = field(default_factory=EncodeConfig)
    changes: AugmentConfig = field(default_factory=AugmentConfig)

    def load(self, dataset: str) -> Stored:
        """The set; what is not kept yet is encoded, but for copies. Raises DatasetMissingError."""
        train, test = self.read(dataset)
        classes = classes_of(train)
        kept = self._file(dataset, train, test)
        if not kept.exists():
            made = self._encode(train["text"], test["text"], classes.texts())
            save_arrays(dict(zip(("train", "test", "names"), made, strict=True)), kept)
        arrays = load_file(kept)
        return Stored(
            dataset,
            self.encoder,
            train,
            test,
            classes,
            arrays["train"],
            arrays["test"],
            arrays["names"],
            self._prompted(kept, classes),
            self._load_copies(self._copies_file(kept), arrays["names"].shape[1]),
        )

    def read(self, dataset: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Training and test rows of the set. Raises DatasetMissingError."""
        return read_dataset(dataset, self.data)

    def with_copies(self, stored: Stored, rows: Iterable[int]) -> Stored:
        """``stored`` with copies of the training rows ``rows`` too; they are kept from now on."""
        old = stored.copies
        new = np.setdiff1d(np.fromiter(rows, np.int64), old.asked)
        if not len(new):
            return stored
        texts = [augment(stored.train["text"].iloc[row], self.changes) for row in new]
        (features,) = self._encode(copy for copies in texts for copy in copies)
        copies = Copies(
            np.concatenate([old.asked, new]),
            np.concatenate([old.of, np.repeat(new, [len(copies) for copies in texts])]),
            np.concatenate([old.features, features]),
        )
        target = self._copies_file(self._file(stored.name, stored.train, stored.test))
        save_arrays(dict(vars(copies)), target)
        return replace(stored, copies=copies)

    def _encode(self, *parts: Iterable[str]) -> list[Features]:
        encoder = Encoder(self.encoder, self.encoding)
        return [encoder.encode(list(texts)) for texts in parts]

    def _file(self, dataset: str, train: pd.DataFrame, test: pd.DataFrame) -> Path:
        parts = [*train["text"], *train["label"], *test["text"]]
        settings = {"max_length": self.encoding.max_length, "blocks": BLOCKS}
        key = _digest([fingerprint(self.encoder), json.dumps(settings), *parts])
        return self.cache / f"{dataset.removesuffix(HALF)}-{key}.safetensors"

    def _prompted(self, kept: Path, classes: LabelMap) -> Features:
        prompts = default_prompts(classes.texts())
        file = kept.with_name(f"{kept.stem}-prompted-{_digest(prompts)}.safetensors")
        if not file.exists():
            encoder = Encoder(self.encoder, self.encoding)
            save_arrays({"names": encoder.encode_names(classes.texts())}, file)
        return load_file(file)["names"]

    def _copies_file(self, kept: Path) -> Path:
        return kept.with_name(f"{kept.stem}-copies-{_digest([self.changes.model_dump_json()])}.safetensors")

    def _load_copies(self, file: Path, width: int) -> Copies:
        if file.exists():
            return Copies(**load_file(file))
        nothing = np.zeros(0, np.int64)
        return Copies(nothing, nothing, np.zeros((0, width), np.float32))


def _digest(parts: Iterable[str]) -> str:
    found = hashlib.blake2b()
    for part in parts:
        found.update(part.encode() + b"\0")
    return found.hexdigest()[:DIGITS]
