"""Check that the model can read the texts: the share of unknown tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from react_ray.config.settings import MULTILINGUAL
from react_ray.errors import InputError
from react_ray.models.pretrained import load_tokenizer

__all__ = ["SAMPLE_TEXTS", "ModelChoice", "Vocabulary", "check_vocabulary", "unknown_share"]

SAMPLE_TEXTS = 1000
SAMPLE_CHARS = 1000
"""A model reads the start of a text; the start also tells the language."""


@dataclass(frozen=True)
class ModelChoice:
    """Models that the setting ``flag`` names; if it is ``automatic``, those that cannot read are left out."""

    flag: str
    models: tuple[str, ...]
    automatic: bool = False


class Vocabulary:
    """Which models can read some texts: at most the share ``limit`` of the tokens is unknown to them."""

    def __init__(self, texts: Sequence[str], limit: float):
        self._texts = texts
        self._limit = limit
        self._shares: dict[str, float] = {}

    def readers(self, choice: ModelChoice) -> list[str]:
        """Return the models that are used. Raises InputError when one of them cannot read the texts."""
        readers = [model for model in choice.models if self._share(model) <= self._limit]
        if not choice.automatic or not readers:
            for model in choice.models:
                self._check(model, choice.flag)
        return readers

    def _share(self, model: str) -> float:
        if model not in self._shares:
            self._shares[model] = unknown_share(self._texts, load_tokenizer(model))
        return self._shares[model]

    def _check(self, model: str, flag: str) -> None:
        if self._share(model) > self._limit:
            check_vocabulary(self._texts, model, self._limit, flag)


def unknown_share(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> float:
    """Return the share of tokens that the tokenizer does not know, 0 to 1."""
    unknown, tokens = _count(texts, tokenizer)
    return sum(unknown) / max(sum(tokens), 1)


def check_vocabulary(texts: Sequence[str], model: str, limit: float, flag: str = "--model") -> None:
    """Raise InputError when more than ``limit`` of the tokens are unknown to ``model``.

    ``flag`` names the setting that chose the model.
    """
    tokenizer = load_tokenizer(model)
    share = unknown_share(texts, tokenizer)
    if share <= limit:
        return
    unknown, tokens = _count(texts, tokenizer)
    worst = max(range(len(texts)), key=lambda i: unknown[i] / max(tokens[i], 1))
    raise InputError(
        f"{flag} {model} cannot read these texts: {share:.0%} of the tokens in a sample of {len(texts):,} "
        f"are unknown to it (at most {limit:.0%} are allowed), for example in: {texts[worst][:80]!r}\n"
        f"Give {flag} a model that reads this language: {MULTILINGUAL} (it reads 100 languages and needs pip "
        "install 'react-ray[multilingual]'), a hub name such as bert-base-chinese, or a folder. "
        "data.max_unknown sets the limit."
    )


def _count(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Count unknown and all tokens of each text; byte-level models have no unknown tokens."""
    starts = [text[:SAMPLE_CHARS] for text in texts]
    ids = tokenizer(starts, add_special_tokens=False)["input_ids"] if starts else []
    return [row.count(tokenizer.unk_token_id) for row in ids], [len(row) for row in ids]
