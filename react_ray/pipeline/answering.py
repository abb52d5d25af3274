"""Models of ``predict``: one, or an entity model and a relation model for triples."""

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
"""Rows with the task's input columns -> for each row a value for every added column."""


@dataclass(frozen=True)
class Answering:
    """Folders and versions of the models, so that every worker loads the same weights or fails.

    ``relations`` is empty if there is only one model.
    """

    model: str
    version: str
    relations: str = ""
    relations_version: str = ""

    @classmethod
    def of(cls, model: str, relations: str | None = None) -> Answering:
        """Resolve the folders to absolute paths; InputError if a model is missing or they do not fit."""
        if relations is None:
            folder = model_folder(model).absolute()  # workers have working directories of their own
            check_saved(folder)
            return cls(str(folder), model_version(folder))
        first, second = (folder.absolute() for folder in check_folders(model, relations))
        return cls(str(first), model_version(first), str(second), model_version(second))

    @property
    def task(self) -> str:
        """Name of the task of the (entity) model."""
        return check_saved(Path(self.model)).name

    @property
    def required_folders(self) -> dict[str, str]:
        """Folders that every node must be able to read, with their command line option."""
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
            results = [task.columns_of(answer, row) for answer, row in pairs]
            if extractor:
                texts = [(row["text"], task.wire(answer, row)) for answer, row in pairs]
                for columns, triples in zip(results, extractor.relate(texts), strict=True):
                    columns[TRIPLES.name] = [asdict(triple) for triple in triples]
            return results

        return answers


def added_columns(task: str, triples: bool) -> tuple[pa.Field, ...]:
    """Return the columns that predictions add to the rows of a file."""
    return (*get_task(task).added, *((TRIPLES,) if triples else ()))
