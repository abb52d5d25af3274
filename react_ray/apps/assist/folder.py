"""Folder of a built assistant: SQLite, safetensors, YAML and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError

from react_ray import InputError, load, load_encoder
from react_ray.apps.assist.assistant import Assistant
from react_ray.apps.assist.finder import Finder, Thresholds, answer_groups
from react_ray.apps.assist.index import EMBEDDINGS, TEXTS, Embeddings, Index
from react_ray.apps.assist.intents import IntentClassifier
from react_ray.apps.assist.ranking import Logistic
from react_ray.apps.assist.settings import AssistConfig
from react_ray.apps.assist.templates import Template, templates_of
from react_ray.folders import remove_folder, replace_file

__all__ = [
    "FILES",
    "NEW",
    "RUN",
    "Built",
    "FileStates",
    "file_states",
    "load_assistant",
    "load_built",
    "publish",
    "save",
    "write_json",
]

CONFIG, FITTED, TEMPLATES = "config.json", "fitted.safetensors", "templates.yaml"
RUN = "run"
"""Folder of the run of a fine-tuned classifier."""
NEW = "new"
"""Folder of a build that is not complete."""
FILES = (CONFIG, FITTED, TEMPLATES, EMBEDDINGS, TEXTS)
"""Files that answers depend on."""
FileStates = tuple[tuple[int, int, int], ...]
"""Inode, size and time of each of FILES."""
LOGISTIC = ("mean", "spread", "weights")


@dataclass(frozen=True)
class Built:
    """An assistant without its encoder and models: what ``build`` makes."""

    config: AssistConfig
    finder: Finder
    thresholds: Thresholds
    templates: Mapping[str, Template]
    embeddings: Embeddings


def save(built: Built, folder: Path) -> None:
    """Write all files but the index; config.json is last, so a folder that has it is complete."""
    from safetensors.numpy import save_file

    finder = built.finder
    arrays: dict[str, NDArray[Any]] = {"weights": finder.weights}
    settings: dict[str, Any] = {
        "settings": built.config.model_dump(mode="json"),
        "thresholds": asdict(built.thresholds),
        "intents": None,
    }
    for name in ("answer", "scope"):
        logistic: Logistic = getattr(finder, name)
        arrays |= {f"{name}.{part}": getattr(logistic, part) for part in LOGISTIC}
        settings[f"{name}_bias"] = logistic.bias
    if finder.intents is not None:
        arrays |= {name: getattr(finder.intents, name) for name in ("whiten", "means", "center")}
        settings["intents"] = {"names": finder.intents.names, "scale": finder.intents.scale}
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    embeddings = {name: np.ascontiguousarray(array) for name, array in built.embeddings.items()}
    replace_file(folder / EMBEDDINGS, lambda path: save_file(embeddings, path))
    replace_file(folder / FITTED, lambda path: save_file(arrays, path))
    replace_file(folder / TEMPLATES, lambda path: _write_templates(built.templates, path))
    replace_file(folder / CONFIG, lambda path: write_json(path, settings))


def publish(folder: Path) -> None:
    """Replace the assistant in ``folder`` by the build in NEW, if there is a complete one.

    A kill in between leaves no config.json, and the next call goes on.
    """
    new = folder / NEW
    if not (new / CONFIG).is_file():
        return
    if (folder / CONFIG).exists():  # so nothing was moved yet
        remove_folder(folder / RUN)
        (folder / CONFIG).unlink()
    for name in [*(path.name for path in new.iterdir() if path.name != CONFIG), CONFIG]:
        (new / name).replace(folder / name)
    remove_folder(new)


def load_built(folder: Path) -> Built:
    """Read what :func:`save` has written. Raises InputError if there is no complete assistant."""
    from safetensors.numpy import load_file

    if not (folder / CONFIG).is_file():
        raise InputError(f"{folder}: no assistant there; make one with react-ray assist build --output")
    try:
        settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        config = AssistConfig.model_validate(settings["settings"])
        arrays, embeddings = load_file(folder / FITTED), load_file(folder / EMBEDDINGS)
        index = Index(folder, embeddings)
        entries = index.entries()
        groups = answer_groups([entry.answer for entry in entries])
        fitted = {
            name: Logistic(
                **{part: arrays[f"{name}.{part}"] for part in LOGISTIC}, bias=settings[f"{name}_bias"]
            )
            for name in ("answer", "scope")
        }
        intents, codes = None, np.zeros(0, np.int64)
        if settings["intents"] is not None:
            names = settings["intents"]["names"]
            parts = {name: arrays[name] for name in ("whiten", "means", "center")}
            intents = IntentClassifier(names, **parts, scale=settings["intents"]["scale"])
            place = {name: number for number, name in enumerate(names)}
            codes = np.array([place.get(entry.intent or "", -1) for entry in entries], np.int64)
        templates = templates_of(yaml.safe_load((folder / TEMPLATES).read_text(encoding="utf-8")), TEMPLATES)
    except (OSError, KeyError, ValueError, ValidationError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{folder} is damaged ({reason}): build the assistant again") from None
    finder = Finder(index, groups, arrays["weights"], intents, codes, **fitted)
    return Built(config, finder, Thresholds(**settings["thresholds"]), templates, embeddings)


def file_states(folder: Path) -> FileStates | None:
    """Return what tells a change of the files; None while a build replaces them."""
    try:
        states = [(folder / name).stat() for name in FILES]
    except FileNotFoundError:
        return None
    return tuple((state.st_ino, state.st_size, state.st_mtime_ns) for state in states)


def load_assistant(folder: Path, earlier: tuple[Built, Assistant] | None = None) -> tuple[Built, Assistant]:
    """Load an assistant with its models; the encoder of an ``earlier`` one is used if it is the same.

    Raises InputError if a model is missing.
    """
    built = load_built(folder)
    config = built.config
    if earlier is not None and _encoder_of(earlier[0]) == _encoder_of(built):
        encoder = earlier[1].encoder
    else:
        encoder = load_encoder(config.encoder, max_length=config.max_length)
    classifier = load(folder / RUN) if config.classifier == "run" and built.finder.intents else None
    reader = load(config.reader) if config.reader else None
    if reader is not None and reader.task.answers != "span":
        raise InputError(f"reader = {config.reader}: a model for {reader.task.title}, not question answering")
    assistant = Assistant(built.finder, built.thresholds, built.templates, encoder, classifier, reader)
    return built, assistant


def _encoder_of(built: Built) -> tuple[str, int]:
    return built.config.encoder, built.config.max_length


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people and programs."""
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _write_templates(templates: Mapping[str, Template], path: Path) -> None:
    content = {name: template.model_dump(mode="json") for name, template in templates.items()}
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
