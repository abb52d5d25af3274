"""Stages prepare and augment: rows of the run, and changed copies of the labelled ones."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import pyarrow as pa

from react_ray.cluster.datasets import map_items
from react_ray.config.settings import AUTO, SCRATCH, AugmentConfig
from react_ray.data.augment import AugmentTask, augment_items, join_parts, labelled_rows
from react_ray.data.encode import Encoders
from react_ray.data.prepare import GROUP_ROWS, MODELS
from react_ray.data.prepare import prepare as prepare_data
from react_ray.data.shards import ROW_BYTES, read_items
from react_ray.data.target_texts import read_target_texts
from react_ray.data.views import SENTENCE
from react_ray.data.vocabulary import ModelChoice
from react_ray.folders import remove_folder, replace_file
from react_ray.labelers.augment_search import search
from react_ray.models.choices import encoder_choices, encoding_model, model_choices
from react_ray.pipeline.context import Context

__all__ = ["augment", "prepare"]


def prepare(context: Context) -> None:
    """S1: read, check and split the input files."""
    config = context.config
    encoders = encoder_choices(config.encoder, encoding_model(config.model, context.task.generates))
    models = []
    if config.model != SCRATCH:
        models.append(ModelChoice("--model", model_choices(config.model), config.model == AUTO))
    if not context.task.generates or config.proposals.verifier:
        models.append(ModelChoice("--encoder", encoders, config.encoder in (None, AUTO)))
    items = read_items(config.data, context.folder)  # a file is read by one process
    size = sum(item["bytes"] for item in items) if len(items) > 1 else 0
    run = partial(map_items, rows=size // ROW_BYTES, session=context.session, progress=context.progress)
    prepare_data(
        config.data, context.folder, task=config.task, models=models, run=run, progress=context.progress
    )
    if config.model == SCRATCH:
        _make_model(context)


def _make_model(context: Context) -> None:
    """Make the model to train from scratch, with a vocabulary of the texts of both languages."""
    from react_ray.models.scratch import save_scratch_model

    prepared = replace(context, stages={"prepare": context.folder})
    columns, target = context.task.texts, context.task.target.name
    texts = [
        text
        for part, names in (("labeled", (*columns, target)), ("unlabeled", columns))
        for cells in prepared.rows(part, names).to_pydict().values()
        for text in cells
    ]
    if context.config.data.targets:
        texts += read_target_texts(context.config.data, context.task, context.config.data.pool).values()
    save_scratch_model(texts, context.folder / SCRATCH, context.config.seed)
    record = context.folder / MODELS
    models = json.loads(record.read_text(encoding="utf-8"))
    record.write_text(json.dumps({**models, "--model": [SCRATCH]}), encoding="utf-8")


def augment(context: Context) -> None:
    """S3: augment the labelled texts with changed copies."""
    task, parts = context.task, context.folder / "parts"
    labeled = context.rows("labeled", ("id", *(field.name for field in (*task.inputs, task.target))))
    changes = _changes(context, labeled)
    collected = task.collect(labelled_rows(labeled, task), changes)
    map_items(
        AugmentTask(changes, context.config.seed, task.name, collected),
        augment_items(labeled, parts, GROUP_ROWS),
        rows=labeled.num_rows,
        session=context.session,
        progress=context.progress,
    )
    join_parts(parts, context.folder / "rows.parquet", GROUP_ROWS, task)
    remove_folder(parts)


def _changes(context: Context, labeled: pa.Table) -> AugmentConfig:
    """Return the augmentation settings, or those that the search selects (O3)."""
    config, path = context.config, context.folder / "search.json"
    if not (config.augment.search and config.augment.copies):
        return config.augment
    if not path.exists():
        encoders = Encoders(context.encoders, config.encode, context.session.use_gpu())
        result = search(
            labeled["text"].to_pylist(),
            context.labels().indices(labeled["label"].to_pylist()),
            config.augment,
            lambda texts: SENTENCE.of(encoders.encode(texts), encoders.blocks),
            config.seed,
        )
        replace_file(path, lambda temporary: temporary.write_text(json.dumps(result.as_dict(), indent=1)))
    return AugmentConfig(**json.loads(path.read_text())["settings"])
