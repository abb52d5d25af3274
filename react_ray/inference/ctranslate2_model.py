"""Inference of a saved encoder-decoder model with CTranslate2 on CPUs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from numpy.typing import NDArray

from react_ray.inference.ctranslate2_record import FOLDER, TranslatorRecord
from react_ray.inference.folder import check_saved, settings_in
from react_ray.inference.saved import SavedModel
from react_ray.models.batching import token_batches
from react_ray.models.pretrained import load_tokenizer
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.tasks.task import Example, Outputs, Padding

__all__ = ["CTranslate2Model"]

BATCH_TOKENS = 4096


class CTranslate2Model(SavedModel):
    """CTranslate2 counterpart of ``Classifier``; each call uses one core, ``threads`` calls run at a time.

    ``folder`` is that of the saved model with its tokenizer, ``exported`` that of the CTranslate2 files.
    """

    def __init__(
        self, folder: Path, record: TranslatorRecord, threads: int = 1, exported: Path | None = None
    ):
        settings = settings_in(folder)
        tokenizer = load_tokenizer(str(folder))
        if hasattr(tokenizer, "src_lang"):
            tokenizer.src_lang, tokenizer.tgt_lang = (
                settings.get("source_language"),
                settings.get("target_language"),
            )
        texts = TransformersTokenizer(tokenizer, record.max_length, str(settings.get("prefix") or ""))
        super().__init__(check_saved(folder), [], settings, texts, Padding(record.pad_token, "right"))
        self.record = record
        self._tokens = list(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))))
        self._ids = {token: number for number, token in enumerate(self._tokens)}
        self._translator = ctranslate2.Translator(
            str(exported or folder / FOLDER), inter_threads=threads, intra_threads=1, compute_type="float32"
        )

    def run(self, examples: Sequence[Example]) -> Outputs:
        """Generate the hypotheses of each example, in batches of similar length."""
        return self._run(examples, self.record.options)

    def generate(self, examples: Sequence[Example], limit: int) -> Outputs:
        """Generate at most ``limit`` tokens for each example, and never more than :meth:`run`."""
        return self._run(examples, self._limited(limit))

    def stream(
        self, example: Example, emit: Callable[[int], bool], limit: int | None = None
    ) -> NDArray[np.float32]:
        """Generate by greedy search; ``emit`` gets each token, and stops the generation by returning True."""
        options = {**self._limited(limit), "beam_size": 1, "num_hypotheses": 1}
        (output,) = self._run([example], options, emit)
        return output

    def _limited(self, limit: int | None) -> dict[str, Any]:
        options = self.record.options
        longest = options["max_decoding_length"]
        return {**options, "max_decoding_length": min(longest, limit) if limit else longest}

    def _run(
        self,
        examples: Sequence[Example],
        options: dict[str, Any],
        emit: Callable[[int], bool] | None = None,
    ) -> Outputs:
        outputs: Outputs = [np.zeros(0, np.float32)] * len(examples)
        sizes = [self.task.size(example, self.settings) for example in examples]
        forced = self.record.forced

        progress = self.progress  # with a reference to this model, its thread may be the one that ends it

        def follow(step: ctranslate2.GenerationStepResult) -> bool:
            progress.add()
            return emit is not None and emit(step.token_id)

        if options["beam_size"] == 1:  # CTranslate2 reports no tokens of a beam search
            options = {**options, "callback": follow}
        for places in token_batches(sizes, BATCH_TOKENS):
            texts = [[self._tokens[number] for number in examples[place].ids] for place in places]
            results = self._translator.translate_batch(
                texts,
                target_prefix=[[forced]] * len(texts) if forced else None,
                return_scores=True,
                return_end_token=True,
                max_input_length=0,
                **options,
            )
            progress.add()
            for place, result in zip(places, results, strict=True):
                outputs[place] = self._packed(result, options["length_penalty"])
        return outputs

    def _packed(self, result: ctranslate2.TranslationResult, length_penalty: float) -> NDArray[np.float32]:
        """Return hypotheses x (1 + length): the mean log-probability of a chosen token, then the tokens."""
        longest = max(1, *map(len, result.hypotheses))
        packed = np.full((len(result.hypotheses), 1 + longest), self.padding.token, np.float32)
        for row, (tokens, score) in enumerate(zip(result.hypotheses, result.scores, strict=True)):
            chosen = max(1, len(tokens) - (self.record.forced is not None))
            packed[row, 0] = score * max(1, len(tokens)) ** length_penalty / chosen
            packed[row, 1 : 1 + len(tokens)] = [self._ids[token] for token in tokens]
        return packed
