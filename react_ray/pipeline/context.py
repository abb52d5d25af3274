"""Context of a stage: its settings, the session, and the folders of earlier stages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from react_ray.cluster.session import Session
from react_ray.config.settings import SCRATCH, Config
from react_ray.console.reporter import Progress
from react_ray.data.prepare import MODELS
from react_ray.labelers.encoded_rows import EncodedRows
from react_ray.tasks import Task, get_task
from react_ray.tasks.labels import LabelMap

__all__ = ["Context", "base_model_of", "encoder_weights", "encoders_of"]


@dataclass(frozen=True)
class Context:
    """Settings, session and folders of a stage; ``stages`` holds the folders of the stages that it reads.

    ``config`` has only the settings in the stage's cache key, and where to work; reading any other raises
    AttributeError. ``earlier`` are folders of the same stage and settings for other rows, also partial ones.
    """

    config: Config
    session: Session
    stages: dict[str, Path]
    folder: Path
    progress: Progress
    earlier: Sequence[Path] = ()

    def labels(self) -> LabelMap:
        """Load the classes of the run."""
        return LabelMap.load(self.stages["prepare"] / "labels.json")

    @property
    def task(self) -> Task:
        """Task of the run."""
        return get_task(self.config.task)

    @property
    def encoders(self) -> tuple[str, ...]:
        """Names of the frozen encoders."""
        return encoders_of(self.stages)

    @property
    def model(self) -> str:
        """The model to fine-tune, see :func:`base_model_of`."""
        return base_model_of(self.stages)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Input columns of the task."""
        return tuple(field.name for field in self.task.inputs)

    def rows(self, part: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Load one part (labeled, unlabeled, validation or test): inputs and target, or ``columns``."""
        columns = columns or (*self.inputs, self.task.target.name)
        path = self.stages["prepare"] / "rows.parquet"
        return pq.read_table(path, columns=list(columns), filters=[("part", "=", part)])

    def sample(self, part: str, count: int, with_target: bool = False) -> pa.Table:
        """Sample up to ``count`` rows of a part, those with the smallest ids (hashes).

        Columns are the id, the inputs, and the target if ``with_target``.
        """
        target = [self.task.target.name] if with_target else []
        rows = self.rows(part, ("id", *self.inputs, *target))
        order = np.argsort(np.array(rows["id"].to_pylist(), object), kind="stable")
        return rows.take(pa.array(np.sort(order[:count]), pa.int64()))

    def log(self) -> Path | None:
        """Return the folder for training logs; None for trials of a search."""
        stage = self.folder.name.partition("-")[0]
        return None if self.session.alone else Path(self.config.output) / "logs" / stage

    def features(self) -> EncodedRows:
        """Load the features of all rows."""
        return EncodedRows.load(self.stages["prepare"], self.stages["augment"], self.stages["encode"])


def encoders_of(stages: Mapping[str, Path]) -> tuple[str, ...]:
    """Return the encoders of a run from the folders of its stages; () for tasks without features."""
    return _readers(stages, "--encoder")


def base_model_of(stages: Mapping[str, Path]) -> str:
    """Return the model that a run fine-tunes: of several, the one that the teacher weights most.

    In a run without a teacher of the label GAN, the first.
    """
    models = _readers(stages, "--model")
    weights = encoder_weights(stages) if len(models) > 1 else {}
    model = max(models, key=lambda model: weights.get(model, 0.0))
    return str(stages["prepare"] / SCRATCH) if model == SCRATCH else model


def encoder_weights(stages: Mapping[str, Path]) -> dict[str, float]:
    """Return the weight that the teacher of the label GAN gives to each encoder; empty without a teacher."""
    if "pretrain" not in stages:
        return {}
    teacher = json.loads((stages["pretrain"] / "inputs" / "teacher.json").read_text(encoding="utf-8"))
    return dict(zip(encoders_of(stages), teacher["encoders"], strict=True))


def _readers(stages: Mapping[str, Path], flag: str) -> tuple[str, ...]:
    return tuple(json.loads((stages["prepare"] / MODELS).read_text(encoding="utf-8")).get(flag, ()))
