"""Pretraining of an encoder on texts without labels: the command, from files to a model folder.

This is not the stage ``pretrain`` of a run, which trains the teacher on features of a frozen encoder.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from react_ray.cluster.datasets import map_items
from react_ray.cluster.readiness import Requirements, check_cluster
from react_ray.cluster.session import Session, check_job_output
from react_ray.cluster.trainer import fit
from react_ray.config.sections.pretraining import FROM_SCRATCH, PretrainConfig
from react_ray.config.settings import save_settings
from react_ray.console.reporter import Progress, Reporter, log_to, quiet_libraries
from react_ray.console.terminal import command
from react_ray.data.read import EMPTY
from react_ray.data.rejections import kind_of
from react_ray.data.shards import ROW_BYTES
from react_ray.data.sources import fingerprint as fingerprint_files
from react_ray.errors import InputError
from react_ray.folders import remove_folder, replace_file
from react_ray.models.pretrained import fingerprint, load_tokenizer, longest_text
from react_ray.pipeline.publish import replace_folder
from react_ray.pipeline.store import Store, content_of
from react_ray.pretraining.model import load_to_adapt, new_model
from react_ray.pretraining.sequences import EncodeTexts, Sequences
from react_ray.pretraining.texts import TRAIN, ReadTexts, TextShard, divide, read_items
from react_ray.pretraining.train import loop
from react_ray.pretraining.vocabulary import train_vocabulary

__all__ = ["Pretrained", "pretrain"]

VOCABULARY_KEYS = ("tokenizer", "vocabulary", "lowercase", "max_length", "seed")
SIZE_KEYS = ("layers", "hidden", "heads", "intermediate")


@dataclass(frozen=True)
class Pretrained:
    """Result of pretraining: the output folder, whose ``model`` is for transformers, and its figures."""

    folder: Path
    metrics: Mapping[str, Any]

    def summary(self) -> str:
        """Summarize the result in a few lines."""
        figures, texts = self.metrics, self.metrics["texts"]
        refused = figures["refused"]
        kinds = ", ".join(f"{kind}: {count:,}" for kind, count in refused.items())
        perplexity = figures["perplexity"]
        lines = [
            f"texts: {texts['train']:,} to train on, {texts['validation']:,} to validate, "
            f"{texts['duplicates']:,} duplicates left out",
            f"tokens: {figures['tokens']:,} in {figures['sequences']:,} sequences; vocabulary "
            f"{figures['vocabulary']:,}",
            f"initialized at random: {figures['initialized']}",
            f"steps: {figures['steps']:,}",
            f"perplexity of masked tokens: {perplexity:.2f}"
            if perplexity is not None
            else "perplexity: not measured, because there are no validation texts",
            f"model: {self.folder / 'model'}   ({command('run', '--model', self.folder)} ...)",
        ]
        if refused:
            path = self.folder / "refused.jsonl"
            lines.insert(1, f"rejected: {sum(refused.values()):,} rows ({kinds}), see {path}")
        return "\n".join(lines)


def pretrain(config: PretrainConfig, *, verbose: bool = False, quiet: bool = False) -> Pretrained:
    """Train an encoder on the texts of ``config.input``, and write it into ``config.output``/model.

    A killed run resumes when this is called again with the same settings. Raises InputError (texts, model or
    settings), TrainingError (a worker failed) or ClusterError.
    """
    check_job_output(config.output)
    config = _with_absolute_paths(config)
    quiet_libraries(verbose)
    folder, reporter = Path(config.output), Reporter(quiet)
    store = Store(folder / "cache")
    with (
        store.locked(),
        log_to(store.root / "run.log", reporter),
        Session(config.cluster, verbose) as session,
    ):
        models = {} if config.model == FROM_SCRATCH else {config.model: "--model"}
        if session.address:
            required = Requirements(folder, (config.input,), models)
            check_cluster(session, required, session.demand(), reporter)
        else:
            session.check_cores()
        return _Command(config, session, reporter, store).run()


def _with_absolute_paths(config: PretrainConfig) -> PretrainConfig:
    """Return the settings with absolute paths, because workers run in other folders."""

    def absolute(path: str) -> str:
        return path if "://" in path else str(Path(path).expanduser().absolute())

    is_folder = Path(config.model).expanduser().is_dir() and config.model != FROM_SCRATCH
    paths = {"input": absolute(config.input), "output": absolute(config.output)}
    return config.model_copy(update=paths | ({"model": absolute(config.model)} if is_folder else {}))


@dataclass(frozen=True)
class _Command:
    """The stages of pretraining: texts, start (vocabulary and first weights), sequences, training."""

    config: PretrainConfig
    session: Session
    reporter: Reporter
    store: Store

    def run(self) -> Pretrained:
        config = self.config
        read: dict[str, Any] = {"files": fingerprint_files(config.input)}
        read |= self._settings("text_column", "max_chars", "validation")
        texts = self._stage("texts", read, self._read)
        start: dict[str, Any] = {"texts": content_of(texts)}
        start |= self._settings("model", *VOCABULARY_KEYS)
        if config.model == FROM_SCRATCH:
            start |= self._settings(*SIZE_KEYS)
        else:
            start["content"] = fingerprint(config.model)
        first = self._stage("start", start, lambda folder, _: self._start(texts, folder))
        inputs: dict[str, Any] = {"texts": content_of(texts), "start": content_of(first)}
        inputs |= self._settings("max_length")
        sequences = self._stage(
            "sequences", inputs, lambda folder, progress: self._encode(texts, first, folder, progress)
        )
        settings = config.model_dump(mode="json", exclude={"cluster", "output"})
        inputs = {"sequences": content_of(sequences), "start": content_of(first), "settings": settings}
        trained = self._stage(
            "training", inputs, lambda folder, progress: self._train(sequences, first, folder, progress)
        )
        return self._publish(texts, first, sequences, trained)

    def _settings(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self.config, name) for name in names}

    def _stage(self, name: str, inputs: Mapping[str, Any], work: Any) -> Path:
        def do(folder: Path) -> None:
            with self.reporter.step(name) as progress:
                work(folder, progress)

        folder = self.store.stage(name, inputs, do)
        if name in self.store.reused:
            self.reporter.say(f"  {name}: reused from the cache")
        return folder

    def _read(self, folder: Path, progress: Progress) -> None:
        """Read the texts, and divide them into training and validation."""
        config = self.config
        items = read_items(config, folder)
        todo = [item for item in items if not Path(item["target"]).exists()]
        rows = sum(item["bytes"] for item in items) // ROW_BYTES if len(items) > 1 else 0
        task = ReadTexts(config.text_column, config.max_chars)
        map_items(task, todo, rows=rows, session=self.session, progress=progress)
        counts = divide(_shards(folder), config.validation)
        if not counts["train"]:
            raise InputError(
                f"{config.input}: no text to train on{_rejected(folder)}; texts are read from the column "
                f"{config.text_column!r} (see --text-column), or from the lines of a .txt file"
            )
        _write_json(folder / "counts.json", counts)

    def _start(self, texts: Path, folder: Path) -> None:
        """Write the tokenizer and the first weights."""
        config = self.config
        if config.model == FROM_SCRATCH:
            parts = (part for shard in _shards(texts) for part in shard.texts(TRAIN))
            tokenizer: PreTrainedTokenizerBase = train_vocabulary(
                (text for part in parts for text in part), config
            )
            model, initialized = new_model(tokenizer, config), "all weights"
        else:
            tokenizer = load_tokenizer(config.model)
            model, new = load_to_adapt(config.model, tokenizer, config.seed)
            initialized = ", ".join(new) or "nothing"
        tokenizer.model_max_length = longest_text(model, tokenizer, config.max_length)
        _write_json(folder / "start.json", {"initialized": initialized, "vocabulary": len(tokenizer)})
        model.save_pretrained(folder / "model", safe_serialization=True)
        tokenizer.save_pretrained(folder / "model")

    def _encode(self, texts: Path, first: Path, folder: Path, progress: Progress) -> None:
        model = str(first / "model")
        items = [
            {"source": str(shard.path), "target": str(folder / shard.path.stem)} for shard in _shards(texts)
        ]
        todo = [item for item in items if not Path(f"{item['target']}.done").exists()]
        counts = _read_json(texts / "counts.json")
        task = EncodeTexts(model, load_tokenizer(model).model_max_length)
        map_items(task, todo, rows=counts["train"], session=self.session, progress=progress)
        if not len(Sequences(folder, "train")):
            raise InputError(f"{self.config.input}: the texts have no tokens to train on")

    def _train(self, sequences: Path, first: Path, folder: Path, progress: Progress) -> None:
        work = folder / "work"
        settings = {
            "sequences": str(sequences),
            "model": str(first / "model"),
            "config": self.config.model_dump(mode="json", exclude={"cluster"}),
        }
        checkpoint = fit(
            loop,
            settings,
            name="pretraining",
            folder=work,
            session=self.session,
            progress=progress,
            log=Path(self.config.output) / "logs",
        )
        shutil.copytree(checkpoint / "model", folder / "model", dirs_exist_ok=True)
        shutil.copy(checkpoint / "history.jsonl", folder / "history.jsonl")
        remove_folder(work)

    def _publish(self, texts: Path, first: Path, sequences: Path, trained: Path) -> Pretrained:
        folder = Path(self.config.output)
        train = Sequences(sequences, "train")
        lines = (trained / "history.jsonl").read_text(encoding="utf-8").splitlines()
        history = [json.loads(line) for line in lines]
        scores = [entry["perplexity"] for entry in history if "perplexity" in entry]
        kinds = Counter(kind_of(row["reason"]) for row in _refused(texts))
        metrics = {
            "texts": _read_json(texts / "counts.json"),
            "refused": dict(kinds.most_common()),
            "sequences": len(train),
            "tokens": int(train.lengths.sum()),
            **_read_json(first / "start.json"),
            "steps": history[-1]["step"],
            "perplexity": min(scores, default=None),
            "seconds": self.store.seconds,
        }
        (folder / "metrics.json").unlink(missing_ok=True)
        replace_folder(trained / "model", folder / "model")
        replace_file(folder / "history.jsonl", lambda path: shutil.copyfile(trained / "history.jsonl", path))
        replace_file(folder / "refused.jsonl", lambda path: _write_refused(texts, path), private=True)
        replace_file(folder / "config.yaml", lambda path: save_settings(self.config, path))
        replace_file(folder / "metrics.json", lambda path: _write_json(path, metrics))
        return Pretrained(folder, metrics)


def _shards(folder: Path) -> list[TextShard]:
    return [TextShard(path) for path in sorted(folder.glob("*.parquet"))]


def _refused(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the rejected rows in the order of files and rows; blank texts are left out."""
    for shard in _shards(folder):
        with shard.refused_path.open(encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                if kind_of(row["reason"]) != EMPTY:
                    yield {key: row[key] for key in ("file", "row", "reason", "text")}


def _write_refused(folder: Path, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in _refused(folder))


def _rejected(folder: Path) -> str:
    kinds = Counter(kind_of(row["reason"]) for row in _refused(folder))
    listed = ", ".join(f"{kind}: {count:,}" for kind, count in kinds.most_common())
    return f"; rejected: {sum(kinds.values()):,} ({listed})" if kinds else ""


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")
