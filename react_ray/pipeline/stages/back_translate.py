"""Stage back_translate: inputs generated for texts that are targets alone."""

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from react_ray.config.settings import GenerationConfig
from react_ray.data.shards import text_id
from react_ray.data.target_texts import read_target_texts
from react_ray.errors import InputError
from react_ray.pipeline import arms
from react_ray.pipeline.context import Context
from react_ray.pipeline.stages.train import models_trained
from react_ray.tasks import Task
from react_ray.training.batches import share_budget
from react_ray.training.run import finetune

__all__ = ["BACK_TRANSLATED", "back_translate", "back_translated"]

log = logging.getLogger(__name__)

ROWS = "rows.parquet"
"""Pairs of a generated input and a given target, with the score of the input."""
BACK_TRANSLATED = "back_translated"
"""Origin of these rows in D_aug."""


def back_translate(context: Context) -> None:
    """S2: train the model in the reverse direction on the labelled rows, and generate inputs of targets.

    Does nothing without ``data.targets``. Texts that are targets of other rows are left out.
    """
    config, target = context.config, context.task.target
    if config.data.targets is None:
        return
    texts = read_target_texts(
        config.data, context.task, config.candidates.rows, context.folder / "refused.jsonl"
    )
    labeled, validation, test = (context.rows(part) for part in ("labeled", "validation", "test"))
    if not len(labeled):
        raise InputError("data.targets: the reverse model needs labelled rows (--labeled FILE)")
    known_ids = {
        text_id(text) for rows in (labeled, validation, test) for text in rows[target.name].to_pylist()
    }
    texts = {key: text for key, text in texts.items() if key not in known_ids}
    model = finetune(
        context.folder,
        train=_reversed(labeled, target.name),
        validation=_reversed(validation, target.name) if len(validation) else None,
        labels=context.labels(),
        config=config.model_copy(
            update={
                "model": context.model,
                "generation": _reversed_languages(config.generation),
                "finetune": share_budget(config.finetune, models_trained(context)),
            }
        ),
        session=context.session,
        progress=context.progress,
        log=context.log(),
    )
    target_texts = pa.table({"text": pa.array(texts.values(), pa.string())})
    gpu = context.session.use_gpu()
    answers = arms.predict_rows(target_texts, {"reverse": model}, gpu, context.progress)["reverse"]
    generated = pa.table(
        {
            "text": pa.array([answer.value for answer in answers], pa.string()),
            target.name: target_texts["text"],
            "score": pa.array([answer.score for answer in answers], pa.float64()),
        }
    )
    nonblank = generated.filter(pa.array([bool(answer.value.strip()) for answer in answers], pa.bool_()))
    pq.write_table(nonblank, context.folder / ROWS)
    log.info("inputs were generated for %d of %d texts without one", len(nonblank), len(generated))


def back_translated(folder: Path, task: Task) -> pa.Table:
    """Load the rows of the stage's ``folder``, each with the score of its generated input."""
    schema = pa.schema([*task.inputs, task.target, ("score", pa.float64())])
    if not (folder / ROWS).exists():
        return schema.empty_table()
    return pq.read_table(folder / ROWS, columns=schema.names).cast(schema)


def _reversed(rows: pa.Table, target: str) -> pa.Table:
    return pa.table({"text": rows[target], target: rows["text"]})


def _reversed_languages(generation: GenerationConfig) -> GenerationConfig:
    source, target = generation.source_language, generation.target_language
    return generation.model_copy(update={"source_language": target, "target_language": source})
