"""The product's label GAN on stored features, whole and with parts left out.

The stages pretrain, lgan and generate of a run, in this process. The test rows get what the
run's arm ``label_generator`` says, or the probe where the gate gives the label GAN up. As in
a run, some labelled rows are held back for validation where there are many.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.label_efficiency.draws import Draw
from benchmarks.label_efficiency.methods.answer import Answer
from benchmarks.label_efficiency.signals import signals
from react_ray import lgan
from react_ray.config.settings import DataConfig, LganConfig
from react_ray.data.prepare import MIN_CLASS, MIN_VALIDATION
from react_ray.data.shards import text_id
from react_ray.data.split import validation_mask
from react_ray.labelers import label_gan as labeler_stages
from react_ray.lgan import pretrain, train
from react_ray.lgan.experts import fit_teacher
from react_ray.training.worker import LocalWorker

__all__ = ["VARIANTS", "Variant", "held_back", "ours", "teacher"]


@dataclass(frozen=True)
class Variant:
    """The product with ``changes`` of its settings under ``lgan.``; ``least`` labels a class it needs."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    gate: bool = True
    copies: bool = True
    views: bool = True
    prompts: bool = True
    least: int = 0


GAME = {"pretrain_steps": 200, "adversarial": 0.05, "sampled": 0.1}
"""All three players against each other, on top of what G_y learns without them."""
VARIANTS: dict[str, Variant] = {
    "no_views": Variant(views=False),
    "no_names": Variant({"names": False}, least=1),
    "no_prompts": Variant(prompts=False),
    "no_copies": Variant(copies=False, least=1),
    "one_round": Variant({"rounds": 1}),
    "no_teacher_loss": Variant({"teacher": 0}),
    "no_verifier": Variant({"verifier": False}),
    "no_gate": Variant(gate=False, least=1),
    "consistency": Variant({"consistency": 0.5}),
    "consistency_alignment": Variant({"consistency": 0.5, "alignment": True}),
    "game": Variant(GAME),
    "game_no_phase1": Variant(GAME | {"pretrain_steps": 0}),
    "game_no_sample_generator": Variant(GAME | {"sampled": 0}),
    "game_no_wrong_pairs": Variant(GAME | {"wrong_pairs": False}),
    "game_as_written": Variant(GAME | {"loss": "as_written"}),
}
"""Ablations, named ours-NAME: each lacks one part, or has one that is off by default."""


def ours(draw: Draw, variant: Variant | None = None) -> Answer:
    """Test probabilities, the gate's decision, the seconds of the stages and the labels made."""
    variant = variant or Variant()
    config = LganConfig(**variant.changes)
    inputs, seconds = _inputs(draw, variant), dict[str, float]()
    settings: dict[str, Any] = {"settings": config.model_dump(), "seed": draw.seed}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        given, first, second = (str(folder / name) for name in ("inputs", "phase1", "phase2"))
        with _timed(seconds, "teacher"):
            found = labeler_stages.prepare(inputs, settings["settings"], folder / "inputs")
        with _timed(seconds, "pretrain"):
            pretrain.loop(LocalWorker(folder / "worker1"), inputs=given, output=first, **settings)
        with _timed(seconds, "lgan"):
            train.loop(LocalWorker(folder / "worker2"), inputs=given, phase1=first, output=second, **settings)
        with _timed(seconds, "generate"):
            made, decision = labeler_stages.generate(
                folder / "inputs", folder / "phase2", folder / "made", texts=_texts(draw), **settings
            )
        labeler = lgan.TrainedLabelGenerator(inputs.names, folder / "phase2", draw.seed)
        given_alone = labeler.predict_proba(inputs.unlabeled)
        diagnostics = json.loads((folder / "made" / "diagnostics.json").read_text())
        plain_knows_all = len(np.unique(draw.labels)) == inputs.classes
        use = decision.use_lgan or not variant.gate or not plain_knows_all
        inputs = lgan.LganInputs.load(folder / "inputs")
        test, plain = draw.test.rows if variant.views else draw.test.features, inputs.seen_as(inputs.sentence)
        if use:
            probabilities = labeler.predict_proba(test)
        else:
            probe = lgan.fit_probe(plain.labeled, plain.labels, plain.classes)
            probabilities = probe.predict_proba(inputs.sentence.of(test, inputs.blocks))
    details = {
        "used": "label_generator" if use else "probe",
        "decision": decision.as_dict(),
        "views": found["views"],
        "smoothing": found["smoothing"],
        "homophily": found["homophily"],
        "confidence": diagnostics["confidence"],
        "kept": int(made.kept.sum()),
        "seconds": seconds,
    }
    return Answer(probabilities, details, made, signals(inputs, given_alone, made), np.array(found["prior"]))


def teacher(draw: Draw) -> Answer:
    """What G_y learns from: the product of the views, with the weight of each."""
    config = LganConfig()
    fitted = fit_teacher(_inputs(draw, Variant()), config.names, config.rounds)
    views = {name: round(weight, 4) for name, weight in fitted.view_weights.items()}
    return Answer(fitted.probe.predict_proba(draw.test.rows), {"views": views})


def _inputs(draw: Draw, variant: Variant) -> lgan.LganInputs:
    back = held_back(draw)
    copied = ~back[draw.copies_of] if variant.copies else np.zeros(len(draw.copies_of), bool)
    inputs = lgan.LganInputs(
        labeled=draw.labeled.rows[~back],
        labels=draw.labels[~back],
        unlabeled=draw.pool.rows,
        names=draw.prompted if variant.prompts else draw.names,
        augmented=draw.copies[copied],
        augmented_labels=draw.labels[draw.copies_of[copied]],
        validation=draw.labeled.rows[back],
        validation_labels=draw.labels[back],
        blocks=draw.blocks,
    )
    return inputs if variant.views else inputs.seen_as(lgan.SENTENCE)


def _texts(draw: Draw) -> list[str]:
    """The texts of the rows that the label GAN is given: labelled, then unlabelled."""
    labeled = [text for text, back in zip(draw.labeled.texts, held_back(draw), strict=True) if not back]
    return labeled + draw.pool.texts


def held_back(draw: Draw) -> NDArray[np.bool_]:
    """The labelled rows that a run takes for validation, by the rule of its stage prepare."""
    fraction, rows = DataConfig().validation_fraction, len(draw.labels)
    enough = fraction * rows >= MIN_VALIDATION and rows >= MIN_CLASS * len(np.unique(draw.labels))
    if not enough:
        return np.zeros(rows, bool)
    labels = [draw.classes.names[label] for label in draw.labels]
    return validation_mask([text_id(text) for text in draw.labeled.texts], labels, fraction)


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - started, 2)
