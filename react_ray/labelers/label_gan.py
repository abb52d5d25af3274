"""The label GAN as stages that read and write folders.

First ``prepare`` writes the inputs and the teacher, then ``pretrain.loop`` and ``train.loop`` run phases 1
and 2 on any number of workers, and finally ``generate`` writes the labels and decides whether to use them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from react_ray.config.settings import LganConfig
from react_ray.console.reporter import Progress
from react_ray.errors import InputError
from react_ray.labelers.encoded_rows import EncodedRows
from react_ray.labelers.gate import Decision, collapse_alarm, decide, gather
from react_ray.lgan.experts import fit_teacher
from react_ray.lgan.generate import (
    Generation,
    TrainedLabelGenerator,
    fine_tuned_weight,
    generate_labels,
    join_fine_tuned,
    label_probabilities,
)
from react_ray.lgan.inputs import LganInputs, Probabilities, save_arrays
from react_ray.lgan.out_of_scope import find_out_of_scope
from react_ray.lgan.word_features import describe

__all__ = ["generate", "inputs_of", "prepare"]


def inputs_of(features: EncodedRows) -> LganInputs:
    """Return the inputs of the label GAN: everything except the test rows."""
    return LganInputs(
        labeled=features.of("labeled"),
        labels=features.targets("labeled"),
        unlabeled=features.of("unlabeled"),
        names=features.names,
        augmented=features.augmented,
        augmented_labels=features.augmented_labels,
        validation=features.of("validation"),
        validation_labels=features.targets("validation"),
        blocks=features.blocks,
    )


def prepare(
    inputs: LganInputs, settings: Mapping[str, Any], folder: Path, progress: Progress | None = None
) -> dict[str, Any]:
    """Write the inputs of both phases and the teacher into ``folder``.

    Fine-tuning may start its head from ``sentence_N.safetensors``, the teacher's classifier of the sentence
    embeddings of encoder N, from 0. Returns the content of ``teacher.json``: among others ``prior`` (K),
    ``views`` (with the weight of each) and ``encoders`` (weights). Raises InputError without a row to learn
    from.
    """
    if not len(inputs.labeled) and not len(inputs.pool):
        raise InputError("there are no labelled and no unlabelled rows to learn from")
    config = LganConfig.partial(settings)
    teacher = fit_teacher(inputs, config.names, config.rounds, progress)
    replace(inputs, plain=int(np.argmax(teacher.encoder_weights))).save(folder)
    arrays = {
        "believed": teacher.probabilities,  # the name in the file
        "prior": teacher.prior,
        "weights": teacher.probe.weights,
        "bias": teacher.probe.bias,
    }
    save_arrays(arrays, folder / "teacher.safetensors")
    for encoder, sentence in enumerate(teacher.sentence_probes):
        file = folder / f"sentence_{encoder}.safetensors"
        save_arrays({"weights": sentence.weights, "bias": sentence.bias}, file)
    summary = {
        "smoothing": round(teacher.smoothing, 4),
        "homophily": round(teacher.homophily, 4),
        "names_weight": round(teacher.names_weight, 4),
        "prior": [round(float(p), 4) for p in teacher.prior],
        "encoders": [round(weight, 4) for weight in teacher.encoder_weights],
        "views": {
            name: {
                "weight": round(teacher.view_weights[name], 4),
                "names_weight": round(expert.names_weight, 4),
                "homophily": round(expert.homophily, 4),
            }
            for name, expert in teacher.experts.items()
        },
    }
    (folder / "teacher.json").write_text(json.dumps(summary))
    return summary


def generate(
    folder: Path,
    phase2: Path,
    output: Path,
    settings: Mapping[str, Any],
    seed: int,
    texts: Sequence[str] = (),
    fine_tuned: Probabilities | None = None,
    progress: Progress | None = None,
) -> tuple[Generation, Decision]:
    """Generate labels for the unlabelled pool and decide whether to use them; writes both into ``output``.

    ``texts`` are the labelled, then the unlabelled texts; without them D has no word features.
    ``fine_tuned`` (m x K) are the labels of the pool by the model that was fine-tuned on the labelled rows.
    ``labels.safetensors`` has the generated labels, ``diagnostics.json`` the decision, the losses of each
    period, the class balance and the weight of each view.
    """
    config, inputs = LganConfig.partial(settings), LganInputs.load(folder)
    teacher, losses = json.loads((folder / "teacher.json").read_text()), phase2 / "losses.json"
    history = json.loads(losses.read_text())
    labeler = TrainedLabelGenerator(inputs.names, phase2, seed)
    word_features = describe(texts) if len(texts) and config.verifier else None
    evidence = gather(inputs, labeler, config)
    probabilities = label_probabilities(
        inputs, labeler, teacher["smoothing"], word_features, config.verifier, progress
    )
    weight = 0.0 if fine_tuned is None else fine_tuned_weight(teacher["names_weight"], len(inputs.labels))
    if fine_tuned is not None:
        joined = join_fine_tuned(probabilities.joined, fine_tuned, inputs.labels, weight)
        probabilities = replace(probabilities, joined=joined)
    confidence = probabilities.joined.max(1)
    correct = None if evidence is None else evidence.lgan == evidence.truth
    out_of_scope = find_out_of_scope(inputs) if config.foreign else None
    generation = generate_labels(inputs, labeler, probabilities, teacher["homophily"], correct, out_of_scope)
    prior = load_file(folder / "teacher.safetensors")["prior"]
    alarms = collapse_alarm(generation.labels, prior, history)
    generated, kept = len(generation.weight), int(generation.kept.sum())
    decision = decide(evidence, inputs.classes, alarms, seed, generated=generated, kept=kept)
    generation.save(output)
    diagnostics = {
        "decision": decision.as_dict(),
        "kept": kept,
        "generated": len(generation.weight),
        "confidence": round(float(confidence.mean()), 6) if len(confidence) else None,
        "fine_tuned_weight": round(weight, 4),
        "teacher": teacher,
        "losses": history,
    }
    (output / "diagnostics.json").write_text(json.dumps(diagnostics, indent=1))
    return generation, decision
