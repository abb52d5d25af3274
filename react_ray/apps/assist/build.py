"""Build an assistant from questions, answers, documents and templates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from react_ray import choose_encoder, encode
from react_ray.apps.assist.documents import read_documents
from react_ray.apps.assist.finder import answer_groups
from react_ray.apps.assist.fine_tuned import train_classifier
from react_ray.apps.assist.folder import CONFIG, NEW, RUN, Built, load_assistant, publish, save, write_json
from react_ray.apps.assist.index import SIDES, Embeddings, Index, text_of, write_index
from react_ray.apps.assist.read import Entry, read_history, read_learnt
from react_ray.apps.assist.settings import AssistConfig
from react_ray.apps.assist.templates import Template, read_templates
from react_ray.apps.assist.tuning import tune
from react_ray.apps.files import RejectedRows, locked, write_rejected
from react_ray.config.file import load_settings
from react_ray.console.reporter import Progress, Reporter, quiet_libraries
from react_ray.folders import make_private_folder, remove_folder, replace_file

__all__ = ["BuildResult", "build", "load_config"]


@dataclass(frozen=True)
class BuildResult:
    """Result of a build: its folder, and what was read, fitted and measured on held-out rows."""

    folder: Path
    record: Mapping[str, Any]

    def summary(self) -> str:
        """Summarize the result in a few lines."""
        counts, held_out = self.record["counts"], self.record["held_out"]
        thresholds = {name: _shown(value) for name, value in self.record["thresholds"].items()}
        lines = [
            f"questions: {counts['questions']:,}, answers: {counts['answers']:,}, passages: "
            f"{counts['passages']:,}, intents: {counts['intents']:,}, templates: {counts['templates']:,}",
            *(
                f"rejected {name}: {sum(kinds.values()):,} rows ("
                + ", ".join(f"{kind}: {count:,}" for kind, count in kinds.items())
                + f"), see {self.folder / 'refused.jsonl'}"
                for name, kinds in self.record["rejected"].items()
                if kinds
            ),
            f"encoder: {self.record['encoder']}",
            "held-out questions: "
            + ", ".join(
                f"{title} {held_out[name]:.3f}"
                for name, title in (("answer_accuracy", "right answer"), ("intent_accuracy", "right intent"))
                if held_out.get(name) is not None
            ),
            f"sure from: intent {thresholds['intent']}, answer {thresholds['answer']}, in scope "
            f"{thresholds['scope']}",
            f"assistant: {self.folder}   (react-ray assist serve {self.folder})",
        ]
        return "\n".join(lines)


def load_config(overrides: Iterable[str], flags: Mapping[str, Any]) -> AssistConfig:
    """Load the settings of a build: ``key=value``, then flags by dotted key. Raises ConfigError."""
    return load_settings(AssistConfig, overrides, flags)


def build(config: AssistConfig, *, verbose: bool = False, quiet: bool = False) -> BuildResult:
    """Read the files, encode the texts, fit weights and thresholds, and write ``config.output``.

    An assistant that is there is replaced when the new one is complete. Raises InputError where the files
    cannot be used, or another command is changing the folder.
    """
    quiet_libraries(verbose)
    config = _with_absolute_paths(config)
    folder = Path(config.output)
    make_private_folder(folder)
    with locked(folder):
        publish(folder)  # a complete build whose replacement was killed
        record = _build(config, folder, Reporter(quiet), verbose=verbose, quiet=quiet)
        load_assistant(folder / NEW)  # models that are missing are noticed now
        publish(folder)
    return BuildResult(folder, record)


def _build(
    config: AssistConfig, folder: Path, reporter: Reporter, *, verbose: bool, quiet: bool
) -> dict[str, Any]:
    """Write the files of an assistant into NEW, and return what was read, fitted and measured."""
    with reporter.step("read"):
        entries, rejected, templates = _read(config, folder)
    new = folder / NEW
    make_private_folder(new)
    (new / CONFIG).unlink(missing_ok=True)
    with reporter.step("encode") as progress:
        config, embeddings = _encode(config, entries, new, progress)
    with reporter.step("index"):
        write_index(entries, new)
        index = Index(new, embeddings)
        groups = answer_groups([entry.answer for entry in entries])
    with reporter.step("fit"):
        tuned = tune(
            entries,
            embeddings,
            index,
            groups,
            lambda texts: encode(texts, config.encoder, max_length=config.max_length, cluster=config.cluster),
            rows=config.tuning_rows,
            precision=config.precision,
            in_scope_recall=config.in_scope_recall,
            seed=config.seed,
        )
    thresholds = tuned.thresholds
    if config.classifier == "run" and tuned.finder.intents is not None:
        sure = train_classifier(entries, config, new, verbose=verbose, quiet=quiet)
        thresholds = replace(thresholds, intent=sure)
    else:
        remove_folder(new / RUN)  # of a build that was interrupted
    built = Built(config, tuned.finder, thresholds, templates, embeddings)
    record = {
        "counts": _counts(entries, built),
        "rejected": {name: dict(group.kinds) for name, group in rejected.items()},
        "encoder": config.encoder,
        "held_out": tuned.figures,
        "thresholds": {name: getattr(thresholds, name) for name in ("intent", "answer", "scope")},
        "weights": tuned.finder.weights.round(3).tolist(),
    }
    replace_file(new / "refused.jsonl", lambda path: write_rejected(rejected, path), private=True)
    replace_file(new / "build.json", lambda path: write_json(path, record))
    save(built, new)
    return record


def _with_absolute_paths(config: AssistConfig) -> AssistConfig:
    """Return the settings with paths that hold in other working directories: of replicas, and of learn."""
    names = ("history", "documents", "templates", "reader", "output")
    paths = {name: path for name in names if (path := getattr(config, name)) and "://" not in path}
    if Path(config.encoder).expanduser().is_dir():
        paths["encoder"] = config.encoder
    absolute = {name: str(Path(path).expanduser().absolute()) for name, path in paths.items()}
    return config.model_copy(update=absolute)


def _read(
    config: AssistConfig, folder: Path
) -> tuple[list[Entry], dict[str, RejectedRows], dict[str, Template]]:
    entries, bad_rows = read_history(config.history, config.columns)
    entries += read_learnt(folder)
    rejected = {"history": bad_rows}
    templates: dict[str, Template] = {}
    if config.templates is not None:
        intents = {entry.intent for entry in entries if entry.intent and entry.question}
        templates = read_templates(config.templates, intents)
    if config.documents is not None:
        passages, bad_files = read_documents(config.documents, config.passage_chars)
        entries, rejected["documents"] = [*entries, *passages], bad_files
    return entries, rejected, templates


def _encode(
    config: AssistConfig, entries: Sequence[Entry], folder: Path, progress: Progress
) -> tuple[AssistConfig, Embeddings]:
    """Return the settings with the encoder that is used, and the embeddings of both sides."""
    texts = list(dict.fromkeys(text for entry in entries for side in SIDES if (text := text_of(entry, side))))
    config = config.model_copy(update={"encoder": choose_encoder(texts, config.encoder)})
    vectors = encode(
        texts,
        config.encoder,
        max_length=config.max_length,
        folder=folder / "cache",
        cluster=config.cluster,
        progress=progress,
    )
    remove_folder(folder / "cache")
    place = {text: number for number, text in enumerate(texts)}
    return config, {side: _rows(vectors, [place.get(text_of(e, side)) for e in entries]) for side in SIDES}


def _rows(vectors: NDArray[np.float32], places: Sequence[int | None]) -> NDArray[np.float32]:
    rows = np.zeros((len(places), vectors.shape[1]), np.float32)
    present = [number for number, place in enumerate(places) if place is not None]
    rows[present] = vectors[[place for place in places if place is not None]]
    return rows


def _counts(entries: Sequence[Entry], built: Built) -> dict[str, int]:
    intents = built.finder.intents
    return {
        "questions": sum(1 for entry in entries if entry.question),
        "answers": sum(1 for entry in entries if entry.answer and entry.question),
        "passages": sum(1 for entry in entries if not entry.question),
        "intents": len(intents.names) if intents else 0,
        "templates": len(built.templates),
    }


def _shown(threshold: float) -> str:
    return "never" if threshold > 1 else f"{threshold:.2f}"
