"""Stage export: files for serving in addition to the weights."""

from __future__ import annotations

from react_ray.inference.export import export_if_possible
from react_ray.inference.inputs import Row
from react_ray.inference.reference import FEW_TEXTS, spread, write_reference
from react_ray.pipeline import arms
from react_ray.pipeline.context import Context

__all__ = ["export"]


def export(context: Context) -> None:
    """S6: export the model for faster engines, and write the reference for drift detection."""
    model = arms.model_of(context.stages)
    labeled, pool, unseen = (context.rows(part, context.inputs) for part in ("labeled", "unlabeled", "test"))
    rows = unseen if len(unseen) >= FEW_TEXTS else pool if len(pool) else labeled
    inputs = spread([Row(row) for row in rows.to_pylist()])
    write_reference(context.folder, model, inputs, context.session.use_gpu())
    if context.config.onnx:
        export_if_possible(model, context.folder, inputs)
