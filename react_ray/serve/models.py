"""Models of a service, and their paths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from react_ray.config.service import ServeConfig
from react_ray.config.yaml_text import read_yaml
from react_ray.errors import InputError
from react_ray.folders import model_folder, model_version
from react_ray.inference.ctranslate2_record import find_translator
from react_ray.inference.folder import check_saved
from react_ray.inference.onnx_record import find_onnx
from react_ray.inference.triples import check_folders

__all__ = ["application_of", "models_of", "note_of", "route_of", "with_relations"]

APPLICATION = "react-ray"
"""Application of a service with one model, which answers at the root path."""
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
LISTS = (".yaml", ".yml")


def models_of(location: str | Path) -> dict[str, Path]:
    """Return the folder of each model by name: from a YAML list, or of one model with an empty name.

    Raises InputError if the list is invalid, or a model is missing or incomplete.
    """
    path = Path(location).expanduser()
    if path.suffix not in LISTS or path.is_dir():
        return {"": _complete_model(Path(location))}
    listed = read_yaml(path)
    if not isinstance(listed, dict) or not listed:
        raise InputError(f"{path}: expected a line `name: folder` for each model")
    return {_name(path, name): _folder(path, name, folder) for name, folder in listed.items()}


def with_relations(models: Mapping[str, Path], config: ServeConfig) -> ServeConfig:
    """Complete the settings with folder and version of the relation model, if there is one.

    Raises InputError if it is incomplete, or the two models are not of entities and relations.
    """
    if config.relations is None:
        return config
    if list(models) != [""]:
        raise InputError("a relation model goes with one entity model, and not with a list of models")
    _, folder = check_folders(models[""], config.relations)
    folder = folder.resolve()
    update = {"relations": str(folder), "relations_version": model_version(folder)}
    return config.model_copy(update=update)


def _name(path: Path, name: object) -> str:
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        raise InputError(
            f"{path}: the name {name!r} cannot stand in an address: give small letters, digits, - and _, "
            "a letter or digit first"
        )
    return name


def _folder(path: Path, name: object, folder: object) -> Path:
    if not isinstance(folder, str):
        raise InputError(f"{path}: {name}: expected the folder of a run or model, found {folder!r}")
    try:  # a relative folder is beside the list, wherever the command is given
        return _complete_model(path.parent / Path(folder).expanduser())
    except InputError as error:
        raise InputError(f"{path}: {name}: {error}") from None


def _complete_model(path: Path) -> Path:
    """Resolve the folder of a model, so that a changed symbolic link does not affect the service."""
    folder = model_folder(path)
    check_saved(folder)
    return folder.resolve()


def note_of(folder: Path, config: ServeConfig) -> str | None:
    """Return why the model in ``folder`` is served by torch, which is slower; None with another engine.

    Raises InputError if int8 is requested, which torch does not support.
    """
    if not config.gpus_per_replica and config.precision == "fp32" and check_saved(folder).generates:
        record = find_translator(folder)
        return f"note: {record}: torch serves it, more slowly" if isinstance(record, str) else None
    onnx = "" if config.gpus_per_replica else find_onnx(folder, config.precision)
    if not isinstance(onnx, str) or not onnx:
        return None
    if config.precision == "int8":
        raise InputError(f"no ONNX file in int8 can be served: {onnx}; react-ray export makes it")
    return f"note: {onnx}: torch serves it, more slowly; react-ray export makes an ONNX file"


def application_of(name: str) -> str:
    """Return the name of a model's application in Serve."""
    return name or APPLICATION


def route_of(name: str) -> str:
    """Return the path prefix of a model."""
    return f"/{name}"
