"""The models that a file is labelled with: one, or an entity model and a relation model for triples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from react_ray.folders import model_folder, model_version
from react_ray.inference.folder import check_saved
from react_ray.inference.triples import TRIPLES, TripleExtractor, check_folders
from react_ray.tasks import get_task

__all__ = ["Answering", "added_columns"]

Answers = Callable[[pa.Table], list[dict[str, Any]]]
"""Rows with the task's input columns -> for each a value for every column that is added."""


@dataclass(frozen=True)
class Answering:
    """Folders and versions of the models: every process loads these, or none.

    ``relations`` is empty where there is one model.
    """

    model: str
    version: str
    relations: str = ""
    relations_version: str = ""

    @classmethod
    def of(cls, model: str, relations: str | None = None) -> Answering:
        """The models in these folders, as whole paths; InputError where they are not there or do not fit."""
        if relations is None:
            folder = model_folder(model).absolute()  # workers have working directories of their own
            check_saved(folder)
            return cls(str(folder), model_version(folder))
        first, second = (folder.absolute() for folder in check_folders(model, relations))
        return cls(str(first), model_version(first), str(second), model_version(second))

    @property
    def task(self) -> str:
        """The task whose rows are read."""
        return check_saved(Path(self.model)).name

    @property
    def asked(self) -> dict[str, str]:
        """The folders that every node must see, each with the word of the command for it."""
        return {self.model: "MODEL"} | ({self.relations: "--relations"} if self.relations else {})

    def load(self, use_gpu: bool) -> Answers:
        """Load the models and return the function that answers rows."""
        from react_ray.inference.classifier import load

        classifier = load(self.model, use_gpu, self.version)
        task = classifier.task
        extractor = None
        if self.relations:
            extractor = TripleExtractor(classifier, load(self.relations, use_gpu, self.relations_version))

        def answers(table: pa.Table) -> list[dict[str, Any]]:
            rows = table.to_pylist()
            pairs = list(zip(classifier.answers(table, ranked=1), rows, strict=True))
            made = [task.columns_of(answer, row) for answer, row in pairs]
            if extractor:
                found = extractor.relate([(row["text"], task.wire(answer, row)) for answer, row in pairs])
                for columns, triples in zip(made, found, strict=True):
                    columns[TRIPLES.name] = [asdict(triple) for triple in triples]
            return made

        return answers


def added_columns(task: str, triples: bool) -> tuple[pa.Field, ...]:
    """The columns that predictions add to the rows of a file."""
    return (*get_task(task).added, *((TRIPLES,) if triples else ()))
