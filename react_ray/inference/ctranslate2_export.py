"""Export of a saved encoder-decoder model to CTranslate2, verified against PyTorch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from react_ray.errors import InputError
from react_ray.folders import trained_version
from react_ray.inference.classifier import Classifier, load
from react_ray.inference.ctranslate2_record import INSTALL, TranslatorRecord, digest_of_files, is_installed
from react_ray.inference.export_folder import write_export
from react_ray.inference.folder import check_saved
from react_ray.inference.saved import Input
from react_ray.models.seq2seq import MAX_BEAMS, longest_answer

__all__ = ["export"]

log = logging.getLogger(__name__)

CHECKED_TOKENS = 2000
"""Tokens of the inputs whose answers are compared: some seconds for a small model in torch."""
SAME_TEXT = 0.98
"""Least share of equal answers."""
LOADERS = {
    "bart": "BartLoader",
    "m2m_100": "M2M100Loader",
    "marian": "BartLoader",
    "mbart": "BartLoader",
    "mt5": "MT5Loader",
    "pegasus": "PegasusLoader",
    "t5": "T5Loader",
    "umt5": "UMT5Loader",
}
"""Classes of CTranslate2 that arrange the weights of each architecture.

Not Marian's own: it takes the last token for padding, whose vector it replaces by zeros.
"""
NORMALIZATION = {
    "bart": (False, True),
    "marian": (False, False),
    "mbart": (True, True),
    "pegasus": (True, False),
}
"""Whether layers normalize their inputs, and whether embeddings are normalized."""


def export(folder: Path, target: Path, inputs: Sequence[Input]) -> TranslatorRecord:
    """Export the model in ``folder`` to CTranslate2 files in ``target``.

    They are verified on the first of ``inputs`` (preferably of its test set), up to CHECKED_TOKENS. Raises
    InputError, and leaves no ``target``, if CTranslate2 is not installed or does not support the model, or if
    the answers differ from those of torch.
    """
    if not check_saved(folder).generates:
        raise InputError(f"{folder}: CTranslate2 is for models that generate texts")
    if not is_installed():
        raise InputError(f"{folder}: CTranslate2 is not installed, so torch serves the model: {INSTALL}")
    problem = "CTranslate2 does not support this model"
    return write_export(folder, target, lambda temporary: _make(folder, temporary, inputs), problem)


def _make(folder: Path, exported: Path, inputs: Sequence[Input]) -> TranslatorRecord:
    from react_ray.inference.ctranslate2_model import CTranslate2Model

    classifier = load(folder, use_gpu=False)
    model, tokenizer = classifier.model, classifier.tokenizer.tokenizer
    spec = _spec(model, tokenizer)
    spec.validate()
    spec.optimize(quantization=None)
    spec.save(str(exported))
    forced = model.generation_config.forced_bos_token_id
    record = TranslatorRecord(
        version=trained_version(folder),
        max_length=classifier.max_length,
        pad_token=classifier.padding.token,
        options=_options(model.generation_config, tokenizer),
        forced=None if forced is None else str(tokenizer.convert_ids_to_tokens(forced)),
        checked=0,
        same_text=0.0,
        digest=digest_of_files(exported),
    )
    checked, same = _agreement(CTranslate2Model(folder, record, exported=exported), classifier, inputs)
    if same < SAME_TEXT:
        raise InputError(
            f"{folder}: CTranslate2 changes {1 - same:.1%} of the answers for {checked} texts, over "
            f"{1 - SAME_TEXT:.0%}, so torch serves the model"
        )
    record = TranslatorRecord(**{**vars(record), "checked": checked, "same_text": same})
    record.save(exported)
    return record


def _spec(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Any:
    """Return the weights and the vocabulary as CTranslate2 arranges them."""
    from ctranslate2.converters import transformers as converters

    kind = model.config.model_type
    if kind not in LOADERS:
        raise InputError(f"CTranslate2 does not support models of the type {kind}, so torch serves it")
    if kind in NORMALIZATION:
        model.config.normalize_before, model.config.normalize_embedding = NORMALIZATION[kind]
    spec = getattr(converters, LOADERS[kind])()(model, tokenizer)
    start = model.generation_config.decoder_start_token_id
    if start is None:
        start = model.config.decoder_start_token_id
    spec.config.decoder_start_token = tokenizer.convert_ids_to_tokens(start)
    spec.config.bos_token = spec.config.bos_token or spec.config.decoder_start_token
    return spec


def _options(settings: GenerationConfig, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Return the arguments of CTranslate2 that are the settings of transformers."""
    beams = min(settings.num_beams or 1, MAX_BEAMS)
    forbidden = [*(settings.bad_words_ids or ()), *([token] for token in settings.suppress_tokens or ())]
    shortest = settings.min_new_tokens or (settings.min_length or 0) - 1
    return {
        "beam_size": beams,
        "num_hypotheses": beams,
        "length_penalty": 1.0 if settings.length_penalty is None else float(settings.length_penalty),
        "repetition_penalty": float(settings.repetition_penalty or 1.0),
        "no_repeat_ngram_size": settings.no_repeat_ngram_size or 0,
        "max_decoding_length": longest_answer(settings),
        "min_decoding_length": max(0, shortest),
        "suppress_sequences": [tokenizer.convert_ids_to_tokens(tokens) for tokens in forbidden] or None,
    }


def _agreement(exported: Any, classifier: Classifier, inputs: Sequence[Input]) -> tuple[int, float]:
    """Return the number of texts compared, and the share with the same answer."""
    rows = classifier.rows(inputs[:CHECKED_TOKENS] or [classifier.task.nouns.example])
    examples = classifier.examples(rows)
    count = max(1, int((np.cumsum([len(example.ids) for example in examples]) <= CHECKED_TOKENS).sum()))
    rows, examples = rows.slice(0, count), examples[:count]
    answers, expected = (
        [answer.value for answer in model.decode(model.run(examples), examples, rows, 1)]
        for model in (exported, classifier)
    )
    return count, float(
        np.mean([answer == reference for answer, reference in zip(answers, expected, strict=True)])
    )
