"""Encoder-decoder models: loading, settings of generation, and beam search."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
)
from transformers.generation import BaseStreamer

from react_ray.errors import ConfigError, InputError
from react_ray.models.heads import set_dropout
from react_ray.models.pretrained import load_pretrained, load_weights

__all__ = [
    "configure",
    "decoder_inputs",
    "generate",
    "greedy",
    "load_seq2seq",
    "longest_answer",
    "set_languages",
]

MAX_BEAMS = 16
"""Most beams of a loaded model, because each needs memory of its own."""
DEFAULT_TOKENS = 128
"""Longest answer of a model that has no limit of its own."""
NO_SCORE = -1e4
"""Log-probability of a hypothesis that has none; exp of it is 0."""


def load_seq2seq(name: str, dropout: float | None) -> PreTrainedModel:
    """Load an encoder-decoder model; InputError if ``name`` is none."""
    config = load_pretrained(AutoConfig, name)
    if not config.is_encoder_decoder:
        raise InputError(
            f"{name} is no encoder-decoder model ({config.model_type}), so it cannot write texts: give one "
            "such as a Marian, BART, mBART, NLLB or T5 model with --model, or train one from scratch with "
            "--model transformer-tiny"
        )
    if dropout is not None:
        set_dropout(config, dropout)
    return load_weights(AutoModelForSeq2SeqLM, name, lambda *_: False, config=config, dtype=torch.float32)


def configure(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: Mapping[str, Any]
) -> None:
    """Store the ``settings`` of generation in the model, which transformers saves and uses too.

    ``settings`` has the fields of :class:`react_ray.config.settings.GenerationConfig`.
    """
    generation: GenerationConfig = model.generation_config
    generation.do_sample = False
    generation.temperature = generation.top_k = generation.top_p = None
    for name, value in (
        ("num_beams", settings.get("beams")),
        ("length_penalty", settings.get("length_penalty")),
        ("max_new_tokens", settings.get("max_new_tokens")),
        ("no_repeat_ngram_size", settings.get("no_repeat_ngram")),
    ):
        if value is not None:
            setattr(generation, name, value)
    if generation.max_new_tokens is not None:
        generation.max_length = None
    elif generation.max_length is None:
        generation.max_new_tokens = DEFAULT_TOKENS
    generation.early_stopping = generation.num_beams is not None and generation.num_beams > 1
    set_languages(model, tokenizer, settings.get("source_language"), settings.get("target_language"))


def set_languages(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, source: str | None, target: str | None
) -> None:
    """Set the language codes of models that translate between many (mBART, NLLB, M2M100).

    Raises ConfigError if the tokenizer does not know a code, or needs codes that are not set.
    """
    if not hasattr(tokenizer, "src_lang"):
        return
    if source is None or target is None:
        raise ConfigError(
            "the model translates between many languages: set generation.source_language and "
            "generation.target_language to its codes, such as en_XX and de_DE (mBART) or eng_Latn and "
            "deu_Latn (NLLB)"
        )
    number = [_language_token(tokenizer, code) for code in (source, target)][1]
    tokenizer.src_lang, tokenizer.tgt_lang = source, target
    if type(tokenizer).__name__.startswith("MBartTokenizer"):  # its decoder starts with the language
        model.config.decoder_start_token_id = number
        model.generation_config.decoder_start_token_id = number
    else:
        model.generation_config.forced_bos_token_id = number


def _language_token(tokenizer: PreTrainedTokenizerBase, code: str) -> int:
    vocabulary = tokenizer.get_vocab()
    number = vocabulary.get(code, vocabulary.get(f"__{code}__"))
    if number is None:
        codes = [token for token in tokenizer.all_special_tokens if len(token) > 3 and token[0] != "<"]
        raise ConfigError(
            f"{code!r} is not a language of the model; known are: {', '.join(codes[:200]) or 'none'}"
        )
    return int(number)


def decoder_inputs(model: PreTrainedModel, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Replace ``labels`` by the decoder's inputs, which are the labels one place later."""
    arguments = {name: tensor for name, tensor in inputs.items() if name != "labels"}
    if "labels" not in inputs:
        return arguments
    labels = inputs["labels"]
    if hasattr(model, "prepare_decoder_input_ids_from_labels"):
        shifted = model.prepare_decoder_input_ids_from_labels(labels=labels)  # type: ignore[operator]
    else:  # M2M-100 and NLLB
        shifted = labels.roll(1, dims=1)
        shifted[:, 0] = model.config.decoder_start_token_id
        shifted = shifted.masked_fill(shifted == -100, model.config.pad_token_id)
    return {**arguments, "decoder_input_ids": shifted}


def longest_answer(settings: GenerationConfig) -> int:
    """Return the maximum number of generated tokens; a ``max_length`` counts the start token too."""
    return int(settings.max_new_tokens or max(1, (settings.max_length or DEFAULT_TOKENS + 1) - 1))


@contextmanager
def greedy(model: PreTrainedModel) -> Iterator[None]:
    """Context manager in which the model generates by greedy search, one hypothesis for an input."""
    settings: GenerationConfig = model.generation_config
    beams, early = settings.num_beams, settings.early_stopping
    settings.num_beams, settings.early_stopping = 1, False
    try:
        yield
    finally:
        settings.num_beams, settings.early_stopping = beams, early


def generate(
    model: PreTrainedModel,
    inputs: Mapping[str, torch.Tensor],
    limit: int | None = None,
    emit: Callable[[int], bool] | None = None,
    step: Callable[[], None] | None = None,
) -> torch.Tensor:
    """Generate the best hypotheses of each input by beam search, as many as there are beams.

    They have at most ``limit`` tokens (None: as many as in the settings, which no limit exceeds). ``emit``
    gets each token of a single input, found by greedy search, and stops the generation by returning True.
    ``step`` is called after each token of all inputs.

    Returns n x beams x (1 + length), best first: the mean log-probability of the tokens that the model chose,
    then the tokens, padded. A first token that is forced, such as that of NLLB's language, is not counted.
    Token numbers are exact in float32 up to 16 million.
    """
    settings: GenerationConfig = model.generation_config
    beams = 1 if emit else min(settings.num_beams or 1, MAX_BEAMS)
    options: dict[str, Any] = {}
    if limit is not None:
        options = {"max_new_tokens": min(limit, longest_answer(settings)), "max_length": None}
    watch = _Watch(step)
    if emit:
        options |= {"streamer": _Emitter(emit, watch), "early_stopping": False}
    output = model.generate(  # type: ignore[operator]
        **inputs,
        **options,
        stopping_criteria=[watch],
        num_beams=beams,
        num_return_sequences=beams,
        output_scores=True,
        return_dict_in_generate=True,
    )
    scores = model.compute_transition_scores(  # type: ignore[operator]
        output.sequences, output.scores, getattr(output, "beam_indices", None), normalize_logits=beams == 1
    )
    tokens = output.sequences[:, -scores.shape[1] :]
    used = _until_end(tokens, settings.eos_token_id)
    chosen = used.clone()
    if settings.forced_bos_token_id is not None:
        chosen[:, 0] = False
    total = torch.where(chosen, scores.float(), 0.0).sum(1) / chosen.sum(1).clamp(min=1)
    means = torch.nan_to_num(total, nan=NO_SCORE, neginf=NO_SCORE).clamp(min=NO_SCORE)
    tokens = torch.where(used, tokens, model.config.pad_token_id)
    packed = torch.cat([means[:, None], tokens.float()], dim=1)
    return packed.reshape(-1, beams, packed.shape[1])


class _Emitter(BaseStreamer):
    """Passes generated tokens on to a function; ends the generation when that returns True."""

    def __init__(self, emit: Callable[[int], bool], watch: _Watch):
        self._emit, self._watch = emit, watch
        self._started = False

    def put(self, value: torch.Tensor) -> None:
        """Pass on a token; the first call has those that the decoder starts with."""
        if self._started:
            self._watch.stopped = self._emit(int(value.flatten()[-1])) or self._watch.stopped
        self._started = True

    def end(self) -> None:
        """Do nothing: the caller knows when the generation ends."""


class _Watch(StoppingCriteria):
    """Calls ``step`` after each token, and ends the generation when ``stopped`` is set."""

    def __init__(self, step: Callable[[], None] | None):
        self._step = step
        self.stopped = False

    def __call__(self, input_ids: torch.Tensor, scores: Any, **more: Any) -> torch.Tensor:
        """Return for each hypothesis whether it ends here."""
        if self._step:
            self._step()
        return torch.full((len(input_ids),), self.stopped, device=input_ids.device)


def _until_end(tokens: torch.Tensor, end: int | list[int] | None) -> torch.Tensor:
    """Return which tokens are part of a hypothesis: those before its end, and the end itself."""
    if end is None:
        return torch.ones_like(tokens, dtype=torch.bool)
    ends = torch.isin(tokens, torch.as_tensor(end, device=tokens.device))
    return ends.cumsum(1) - ends.long() == 0
