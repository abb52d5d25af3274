"""Stage encode: one pass of the frozen encoders."""

from __future__ import annotations

import pyarrow.parquet as pq

from react_ray.cluster.datasets import map_items
from react_ray.data.encode import Encoders, EncodeTask, encode_items, save_features
from react_ray.labelers.encoded_rows import load_models, save_models
from react_ray.pipeline.context import Context

__all__ = ["encode"]


def encode(context: Context) -> None:
    """Encode rows, copies and class names in one pass of the frozen encoders."""
    config, session = context.config, context.session
    models, gpu = context.encoders, session.use_gpu()
    save_models(models, context.folder)
    earlier = [folder for folder in context.earlier if load_models(folder) == models]
    files = {"rows": context.stages["prepare"], "augmented": context.stages["augment"]}
    files = {name: folder / "rows.parquet" for name, folder in files.items()}
    map_items(
        EncodeTask(
            models,
            config.encode,
            config.task,
            gpu,
            [folder / name for folder in earlier for name in files],
        ),
        [item for name, file in files.items() for item in encode_items(file, context.folder / name)],
        rows=sum(pq.read_metadata(file).num_rows for file in files.values()),
        session=session,
        progress=context.progress,
        actors=None if config.cluster.encoders == "auto" else config.cluster.encoders,
        use_gpu=gpu,
    )
    encoders = Encoders(models, config.encode, gpu)
    names = encoders.encode_names(context.labels().texts(), config.encode.prompts)
    save_features(names, context.folder / "names")
