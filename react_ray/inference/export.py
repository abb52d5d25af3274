"""Export of a saved model for the engine that serves it fastest on CPUs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from react_ray.console.reporter import quiet_libraries
from react_ray.errors import InputError
from react_ray.folders import CTRANSLATE2, ONNX, model_folder
from react_ray.inference import ctranslate2_export, onnx_export
from react_ray.inference.folder import check_saved
from react_ray.inference.saved import Input

__all__ = ["export_if_possible", "export_saved"]

log = logging.getLogger(__name__)


def export_if_possible(folder: Path, target: Path, inputs: Sequence[Input]) -> None:
    """Export into a subfolder of ``target``, or log why that is not possible; torch then serves the model.

    Models that generate texts are exported to CTranslate2, others to ONNX.
    """
    try:
        if check_saved(folder).generates:
            ctranslate2_export.export(folder, target / CTRANSLATE2, inputs)
        else:
            onnx_export.export(folder, target / ONNX, inputs)
    except InputError as error:
        log.warning("%s", error)


def export_saved(model: str, source: str | None, columns: Mapping[str, str] | None = None) -> str:
    """Export into the model's folder, verified on the rows of a file; return a summary.

    ``columns`` maps columns of the task to their names in the file.
    """
    folder = model_folder(model)
    task = check_saved(folder)
    if not task.generates:
        return onnx_export.export_saved(model, source, columns)
    quiet_libraries(verbose=False)
    rows = onnx_export.first_rows(task, source, columns or {}) if source else ()
    record = ctranslate2_export.export(folder, folder / CTRANSLATE2, rows)
    return (
        f"{folder / CTRANSLATE2}: compared with torch on {record.checked} texts\n"
        f"  {record.same_text:.1%} of the answers equal"
    )
