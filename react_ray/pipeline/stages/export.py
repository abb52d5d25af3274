"""Stage export: what serving needs beside the weights."""

from __future__ import annotations

from react_ray.inference.onnx_export import export_if_possible
from react_ray.inference.reference import FEW_TEXTS, spread, write_reference
from react_ray.pipeline import arms
from react_ray.pipeline.context import Context

__all__ = ["export"]


def export(context: Context) -> None:
    """S6: what serving needs beside the weights: an ONNX file, and what texts look like to the model."""
    model = arms.model_of(context.done)
    pool, unseen = context.rows("unlabeled") or context.rows("labeled"), context.rows("test")
    texts = spread((unseen if len(unseen) >= FEW_TEXTS else pool)["text"].to_pylist())
    write_reference(context.folder, model, texts, context.session.use_gpu())
    if context.config.onnx:
        export_if_possible(model, context.folder / "onnx", texts)
