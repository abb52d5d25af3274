"""The methods that are compared: each a function from a draw to test probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.label_efficiency.draws import Draw
from benchmarks.label_efficiency.methods import finetuned, plain
from benchmarks.label_efficiency.methods.adamatch import adamatch
from benchmarks.label_efficiency.methods.answer import Answer
from benchmarks.label_efficiency.methods.gan_bert import gan_bert
from benchmarks.label_efficiency.methods.label_gan import VARIANTS, ours, teacher
from react_ray.lgan.inputs import Probabilities

__all__ = ["GROUPS", "METHODS", "Answer", "Method", "expand", "find_method", "whole_of"]


@dataclass(frozen=True)
class Method:
    """A method and what it asks for.

    ``least`` labels a class, ``copies`` of the labelled rows; ``finetunes`` an encoder, so
    that pool and test are kept small; ``once`` a data set, with all labels.
    """

    answer: Callable[[Draw], Probabilities | Answer]
    least: int = 1
    copies: bool = False
    finetunes: bool = False
    once: bool = False


FEATURE_METHODS = {
    "majority": Method(plain.majority),
    "tfidf": Method(plain.tfidf),
    "names": Method(plain.names, least=0),
    "probe": Method(plain.probe),
    "self_training": Method(plain.self_training),
    "seeded_self_training": Method(plain.seeded_self_training, least=0),
    "prompted_self_training": Method(plain.prompted_self_training, least=0),
    "adamatch": Method(adamatch),
    "gan_bert": Method(gan_bert),
    "teacher": Method(teacher, least=0, copies=True),
    "ours": Method(ours, least=0, copies=True),
    "ceiling": Method(plain.ceiling, once=True),
}
ABLATIONS = {
    f"ours-{name}": Method(partial(ours, variant=variant), least=variant.least, copies=variant.copies)
    for name, variant in VARIANTS.items()
}
FINETUNED = {
    "labels_only": Method(finetuned.labels_only, finetunes=True),
    "setfit": Method(finetuned.setfit, finetunes=True),
    "whole_road": Method(finetuned.whole_road, least=0, finetunes=True),
}
ROAD_ABLATIONS = {
    f"whole_road-{name}": Method(partial(finetuned.whole_road, changes=changes), finetunes=True)
    for name, changes in finetuned.ROAD_VARIANTS.items()
}
METHODS = {**FEATURE_METHODS, **FINETUNED, **ABLATIONS, **ROAD_ABLATIONS}
GROUPS = {
    "features": tuple(FEATURE_METHODS),
    "ablations": tuple(ABLATIONS),
    "finetuned": tuple(FINETUNED),
    "road_ablations": tuple(ROAD_ABLATIONS),
}
"""Names that stand for several methods."""


def expand(names: list[str]) -> list[str]:
    """The methods meant by names of methods and groups, in the order of METHODS.

    Raises ValueError that names the first unknown one.
    """
    meant = [method for name in names for method in GROUPS.get(name, (name,))]
    for name in meant:
        if name not in METHODS:
            raise ValueError(f"no method {name!r}; there are: {', '.join([*GROUPS, *METHODS])}")
    return [name for name in METHODS if name in meant]


def find_method(name: str, setfit_python: Path | None = None) -> Method:
    """The method of this name, SetFit with the interpreter of its environment."""
    method = METHODS[name]
    return (
        replace(method, answer=partial(finetuned.setfit, python=setfit_python))
        if name == "setfit"
        else method
    )


def whole_of(name: str) -> str | None:
    """The method that an ablation leaves a part out of; None for a method."""
    method, dash, _ = name.partition("-")
    return method if dash else None
