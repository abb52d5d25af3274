"""What each stage does: read the earlier folders, call the package, fill its own.

The name of a function is the name of its stage; the order is in ``pipeline``.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.numpy import save_file

from react_ray import lgan as label_gan
from react_ray.answer import Answer, load_answers, save_answers
from react_ray.cluster.datasets import map_items
from react_ray.cluster.trainer import fit
from react_ray.config.settings import AugmentConfig
from react_ray.data.augment import AugmentTask, augment_items, join_parts
from react_ray.data.encode import Encoder, EncodeTask, encode_items, save_features
from react_ray.data.prepare import GROUP_ROWS
from react_ray.data.prepare import prepare as prepare_data
from react_ray.data.shards import ROW_BYTES, read_items
from react_ray.data.views import BLOCKS
from react_ray.evaluate.arms import Judged, measure_arms, measure_model
from react_ray.evaluate.metrics import label_quality
from react_ray.evaluate.schema import LabelQuality
from react_ray.evaluate.tables import Mistake, worst_mistakes
from react_ray.folders import remove_folder, replace_file
from react_ray.inference.onnx_export import export_if_possible
from react_ray.inference.reference import FEW_TEXTS, spread, write_reference
from react_ray.labelers.augment_search import search
from react_ray.labelers.label_gan import generate as generate_labels
from react_ray.labelers.label_gan import inputs_of
from react_ray.labelers.label_gan import prepare as prepare_labeler
from react_ray.lgan import pretrain as phase1
from react_ray.lgan import train as phase2
from react_ray.pipeline import arms
from react_ray.pipeline.context import Context
from react_ray.tasks.closed import ranked
from react_ray.training.run import finetune as finetune_arm


def prepare(context: Context) -> None:
    """S1: read, check, split."""
    config = context.config
    models = {"--model": config.model, "--encoder": config.encoder or config.model}
    items = read_items(config.data, context.folder)  # a file is read by one process
    size = sum(item["bytes"] for item in items) if len(items) > 1 else 0
    run = partial(map_items, rows=size // ROW_BYTES, session=context.session, progress=context.progress)
    prepare_data(
        config.data, context.folder, task=config.task, models=models, run=run, progress=context.progress
    )


def augment(context: Context) -> None:
    """S3: copies of the labelled texts with small changes."""
    task, parts = context.task, context.folder / "parts"
    labeled = context.rows("labeled", ("id", *(field.name for field in (*task.inputs, task.target))))
    map_items(
        AugmentTask(_changes(context, labeled), context.config.seed, task.name),
        augment_items(labeled, parts, GROUP_ROWS),
        rows=labeled.num_rows,
        session=context.session,
        progress=context.progress,
    )
    join_parts(parts, context.folder / "rows.parquet", GROUP_ROWS, task)
    remove_folder(parts)


def _changes(context: Context, labeled: pa.Table) -> AugmentConfig:
    """How texts are changed: as the settings say, or as is found to help (O3)."""
    config, found = context.config, context.folder / "search.json"
    if not (config.augment.search and config.augment.copies):
        return config.augment
    if not found.exists():
        encoder = Encoder(config.encoder or config.model, config.encode, context.session.use_gpu())
        result = search(
            labeled["text"].to_pylist(),
            context.labels().indices(labeled["label"].to_pylist()),
            config.augment,
            lambda texts: label_gan.SENTENCE.of(encoder.encode(texts), BLOCKS),
            config.seed,
        )
        replace_file(found, lambda half: half.write_text(json.dumps(result.as_dict(), indent=1)))
    return AugmentConfig(**json.loads(found.read_text())["settings"])


def encode(context: Context) -> None:
    """One pass of the frozen encoder over rows, copies and class names."""
    config, session = context.config, context.session
    model, gpu = config.encoder or config.model, session.use_gpu()
    files = {"rows": context.done["prepare"], "augmented": context.done["augment"]}
    files = {name: folder / "rows.parquet" for name, folder in files.items()}
    map_items(
        EncodeTask(
            model, config.encode, gpu, [folder / name for folder in context.earlier for name in files]
        ),
        [item for name, file in files.items() for item in encode_items(file, context.folder / name)],
        rows=sum(pq.read_metadata(file).num_rows for file in files.values()),
        session=session,
        progress=context.progress,
        actors=None if config.cluster.encoders == "auto" else config.cluster.encoders,
        use_gpu=gpu,
    )
    encoder = Encoder(model, config.encode, gpu)
    names = encoder.encode_names(context.labels().texts(), config.encode.prompts)
    save_features(names, context.folder / "names")


def pretrain(context: Context) -> None:
    """P1: the teacher, and a plain GAN on the unlabelled features."""
    inputs = inputs_of(context.features())
    given = context.config.lgan.model_dump()
    prepare_labeler(inputs, given, context.folder / "inputs", context.progress)
    settings = {"inputs": context.folder / "inputs", "output": context.folder / "players"}
    _train_players(context, phase1.loop, settings)


def lgan(context: Context) -> None:
    """P2: the label generator, alone or in the game."""
    earlier = context.done["pretrain"]
    settings = {"inputs": earlier / "inputs", "phase1": earlier / "players"}
    settings["output"] = context.folder / "players"
    _train_players(context, phase2.loop, settings)


def generate(context: Context) -> None:
    """S4: labels for the pool, D_aug, and what the gate says of it."""
    inputs, config = context.done["pretrain"] / "inputs", context.config
    players = context.done["lgan"] / "players"
    settings = config.lgan.model_dump()
    labeled, unlabeled = (context.rows(part, ("id", "text")) for part in ("labeled", "unlabeled"))
    texts = labeled["text"].to_pylist() + unlabeled["text"].to_pylist()
    generation, _ = generate_labels(
        inputs, players, context.folder, settings, config.seed, texts, context.progress
    )
    names, columns = context.labels().names, unlabeled.to_pydict()
    left_out = label_gan.left_out_table(generation, names, columns["id"], columns["text"])
    pq.write_table(left_out, context.folder / "left_out.parquet")
    table = _augmented(context, label_gan.LganInputs.load(inputs), generation)
    (context.folder / "augmented").mkdir(exist_ok=True)
    pq.write_table(table, context.folder / "augmented" / "part-00000.parquet")


def labels_only(context: Context) -> None:
    """The plain arm: fine-tuning on the labelled rows alone."""
    train = context.rows("labeled")
    if train.num_rows:  # with names of classes alone there is nothing to train on
        _finetune(context, train)


def finetune(context: Context) -> None:
    """S5: fine-tuning on D_aug."""
    teacher = context.done["pretrain"] / "inputs" / "sentence.safetensors"
    augmented = pq.read_table(context.done["generate"] / "augmented")
    _finetune(context, label_gan.weigh_for_training(augmented), teacher)


def choose(context: Context) -> None:
    """The gate: the model trained on D_aug, or that of the better plain arm."""
    validation, labels = context.rows("validation"), context.labels().names
    found = _predict(context, "validation", validation)
    for arm, answers in found.items():
        save_answers(answers, context.folder / "validation" / f"{arm}.jsonl")
    diagnostics = json.loads((context.done["generate"] / "diagnostics.json").read_text())
    all_labelled = len(set(context.rows("labeled")["label"].to_pylist())) == len(labels)
    plain = ("probe", "labels_only") if all_labelled else ()
    decision, kept = diagnostics["decision"], diagnostics["kept"]
    choice = arms.choose(decision, plain, found, context.task, validation, labels, context.config.seed, kept)
    (context.folder / "choice.json").write_text(
        json.dumps(choice.as_dict(), ensure_ascii=False), encoding="utf-8"
    )


def distil(context: Context) -> None:
    """The plain model folder of the probe, where that is the result; nothing to do for the other arms."""
    if arms.choice_of(context.done)["chosen"] == "probe":
        _distil_probe(context)


def evaluate(context: Context) -> None:
    """S6: every arm and the chosen model, measured on the validation and test rows."""
    task, labels = context.task, context.labels().names
    parts = {part: _judge(context, part) for part in ("validation", "test")}
    figures = {
        **{part: measure_model(task, judged, labels) for part, judged in parts.items()},
        "arms": measure_arms(task, parts, labels),
        "label_quality": _label_quality(context),
        "mistakes": _mistakes(parts),
    }
    (context.folder / "figures.json").write_text(json.dumps(figures, ensure_ascii=False), encoding="utf-8")


def export(context: Context) -> None:
    """S6: what serving needs beside the weights: an ONNX file, and what texts look like to the model."""
    model = arms.model_of(context.done)
    pool, unseen = context.rows("unlabeled") or context.rows("labeled"), context.rows("test")
    texts = spread((unseen if len(unseen) >= FEW_TEXTS else pool)["text"].to_pylist())
    write_reference(context.folder, model, texts, context.session.use_gpu())
    if context.config.onnx:
        export_if_possible(model, context.folder / "onnx", texts)


def _judge(context: Context, part: str) -> Judged | None:
    rows = context.rows(part)
    if not rows.num_rows:
        return None
    known = sorted((context.done["choose"] / "validation").glob("*.jsonl"))
    found = (
        {path.stem: load_answers(path) for path in known}
        if part == "validation"
        else _predict(context, part, rows)
    )
    chosen = arms.model_of(context.done)
    if chosen.parent != context.done["distil"]:
        return Judged(rows, found, found[arms.choice_of(context.done)["chosen"]])
    gpu = context.session.use_gpu()
    return Judged(
        rows,
        found,
        arms.predict_rows(context.task, rows, {"model": chosen}, gpu, context.progress)["model"],
    )


def _mistakes(parts: dict[str, Judged | None]) -> list[Mistake]:
    """The worst mistakes on the test rows, or on the validation rows where there is no test."""
    judged = parts["test"] or parts["validation"]
    if judged is None:
        return []
    return worst_mistakes(judged.rows["text"].to_pylist(), judged.rows["label"].to_pylist(), judged.model)


def _label_quality(context: Context) -> LabelQuality | None:
    generation = label_gan.Generation.load(context.done["generate"])
    teacher = json.loads((context.done["pretrain"] / "inputs" / "teacher.json").read_text())
    truth = context.rows("unlabeled", ("truth",))["truth"].to_pylist()
    return label_quality(
        generation.labels,
        generation.weight,
        generation.score,
        context.labels().names,
        truth,
        teacher["prior"],
        generation.foreign,
    )


def _predict(context: Context, part: str, rows: pa.Table) -> dict[str, list[Answer]]:
    """Answers of every arm for the rows of a part."""
    if not rows.num_rows:
        return {}
    inputs = label_gan.LganInputs.load(context.done["pretrain"] / "inputs")
    models = arms.models_of(context.done)
    players, seed = context.done["lgan"] / "players", context.config.seed
    on_features = arms.predict_features(context.features().of(part), inputs, players, seed)
    names = context.labels().names
    return {
        **{arm: ranked(probabilities, names) for arm, probabilities in on_features.items()},
        **arms.predict_rows(context.task, rows, models, context.session.use_gpu(), context.progress),
    }


def _augmented(context: Context, inputs: label_gan.LganInputs, generation: label_gan.Generation) -> pa.Table:
    """D_aug of the run with the labels in ``generation``."""
    copies = pq.read_table(context.done["augment"] / "rows.parquet", columns=["text"])["text"]
    labeled, unlabeled = (context.rows(part)["text"].to_pylist() for part in ("labeled", "unlabeled"))
    return label_gan.augmented_table(inputs, generation, labeled, unlabeled, copies.to_pylist())


def _distil_probe(context: Context) -> None:
    """Fine-tune on D_aug with the frozen probe's labels: no plain model folder can hold the probe."""
    inputs = label_gan.LganInputs.load(context.done["pretrain"] / "inputs")
    sentences = inputs.seen_as(label_gan.SENTENCE)
    probe = label_gan.fit_probe(sentences.labeled, inputs.labels, inputs.classes)
    generation = label_gan.Generation.load(context.done["generate"])
    believed = replace(
        generation,
        labels=probe.predict_proba(sentences.unlabeled),
        weight=np.ones_like(generation.weight),
    )
    known = context.folder / "probe.safetensors"
    save_file({"weights": probe.weights, "bias": probe.bias}, known)
    _finetune(context, _augmented(context, inputs, believed), known)


def _train_players(context: Context, loop: Any, settings: dict[str, Path]) -> None:
    """Run a phase of the label GAN on the workers of the run."""
    training = context.folder / "training"
    plain: dict[str, Any] = {key: str(path) for key, path in settings.items()}
    plain |= {"settings": context.config.lgan.model_dump(), "seed": context.config.seed}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # steps of a millisecond: more threads would wait for each other
    try:
        fit(
            loop,
            plain,
            name="phase",
            folder=training,
            session=context.session,
            progress=context.progress,
            log=context.log(),
        )
    finally:
        torch.set_num_threads(threads)
    remove_folder(training)


def _finetune(context: Context, train: pa.Table, probe: Path | None = None) -> None:
    """``probe``: a classifier of the frozen features, of use where the model gives the same features."""
    validation, config = context.rows("validation"), context.config
    same = config.encoder in (None, config.model)
    finetune_arm(
        context.folder,
        train=train,
        validation=validation if validation.num_rows else None,
        labels=context.labels(),
        config=config,
        session=context.session,
        progress=context.progress,
        log=context.log(),
        probe=probe if same else None,
    )
