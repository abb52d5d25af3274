"""Check that the configuration, weights and tokenizer of a saved model are complete and match.

The checks read JSON files, the tokenizer and the headers of the weights, and import no torch, so that an
invalid folder is reported in a fraction of a second. ``pretrained`` has the checks of loaded models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from react_ray.errors import InputError
from react_ray.folders import FileState, file_states

__all__ = ["NO_CLASSIFIER", "check_config", "check_model", "label_names", "read_config"]

CONFIG, WEIGHTS, TOKENIZER, TOKENIZER_CONFIG = (
    "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
)  # fmt: skip
INDEX = f"{WEIGHTS}.index.json"
ADAPTER = "adapter_config.json"
POINTER = b"version https://git-lfs.github.com/spec/"
MAX_SIZE = 1 << 24
"""Maximum size in a configuration; for larger inputs, no machine has enough memory."""
MAX_LAYERS = 1024
SIZES = re.compile(
    r"^(max_position_embeddings|n_positions|n_ctx|num_labels|(.*_)?(size|layers?|heads?|embd))$"
)
LAYERS = re.compile(r"layers?$")
IMPLEMENTATIONS = (None, "eager", "sdpa", "grouped_mm", "batched_mm")
"""Implementations of attention and experts in PyTorch and transformers; others load code, even from a hub."""
OTHER_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.gguf")
VOCABULARIES = ("vocab.txt", "vocab.json", "*.model", "*.spm", "*.codes", "*.tiktoken")
BYTE_TOKENIZERS = ("ByT5Tokenizer", "CanineTokenizer", "PerceiverTokenizer")
"""Tokenizers without a vocabulary, whose tokens are bytes or characters."""
_COUNTS = range(1, 1_000_000)
NO_CLASSIFIER = "this is not a text classifier"


def check_model(folder: Path) -> None:
    """Raise InputError if the files in ``folder`` are not a complete model with its tokenizer."""
    try:
        _check(folder, file_states(folder))
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None


def read_config(folder: Path) -> dict[str, Any]:
    """Read config.json."""
    return _read_object(folder / CONFIG)


@lru_cache(maxsize=16)
def _check(folder: Path, _states: tuple[FileState, ...]) -> None:
    """Check a folder; the result is cached until a file changes."""
    if (folder / ADAPTER).exists():
        raise InputError(
            f"{ADAPTER} says that this is a PEFT adapter, not a model: merge it into its model with "
            "merge_and_unload(), save that with save_pretrained(), and give its folder"
        )
    config = _read_object(folder / CONFIG)
    _check_config(config)
    _check_weights(folder)
    _check_tokenizer(folder, config)


def check_config(path: Path, name: str) -> None:
    """Raise InputError if the config.json at ``path`` of the model ``name`` must not be loaded."""
    try:
        _check_config(_read_object(path))
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _check_config(config: Mapping[str, Any]) -> None:
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise InputError(f"{CONFIG} has no model_type, so the kind of model is unknown")
    if "quantization_config" in config:
        raise InputError(
            f"{CONFIG} has a quantization_config: quantized weights are not supported; give the model "
            "without quantization (react-ray export makes int8 for CPUs)"
        )
    for path, values in _nested_configs(config, CONFIG):
        for name, value in values.items():
            if SIZES.search(name):
                _check_size(value, MAX_LAYERS if LAYERS.search(name) else MAX_SIZE, f"{name} in {path}")
            if "_implementation" in name:
                _check_implementation(value, f"{name} in {path}")


def _nested_configs(config: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Iterate over the configuration and nested ones, such as ``text_config``, with their names."""
    yield path, config
    for key, value in config.items():
        if key.endswith("config") and isinstance(value, Mapping):
            yield from _nested_configs(value, f"{key} in {path}")


def _check_size(value: Any, maximum: int, key: str) -> None:
    """Raise InputError for invalid sizes, before memory is allocated; -1 means no limit (XLNet)."""
    if isinstance(value, dict | list) or (value in (None, -1) and not isinstance(value, bool)):
        return
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= maximum:
        raise InputError(f"{key} is {json.dumps(value)}: expected a whole number, at most {maximum:,}")


def _check_implementation(value: Any, key: str) -> None:
    for name in value.values() if isinstance(value, Mapping) else (value,):
        if name not in IMPLEMENTATIONS:
            raise InputError(
                f"{key} is {json.dumps(name)}, which loads code that is not part of transformers: "
                "delete that line"
            )


def label_names(config: Mapping[str, Any]) -> list[str]:
    """Return the label of each output from the content of config.json.

    Raises InputError unless ``id2label`` has a unique name for each of two or more outputs.
    """
    id2label, outputs = config.get("id2label"), config.get("num_labels")
    if id2label is None:
        count = 2 if outputs is None else outputs
        id2label = {number: f"LABEL_{number}" for number in range(count if count in _COUNTS else 0)}
    if not isinstance(id2label, Mapping):
        raise InputError(f'id2label in {CONFIG} is not an object such as {{"0": "no", "1": "yes"}}')
    by_number = {str(key): name for key, name in id2label.items()}
    numbers = [str(number) for number in range(len(by_number))]
    if set(by_number) != set(numbers) or outputs not in (None, len(numbers)):
        last_output = (outputs if isinstance(outputs, int) and outputs > 0 else max(len(numbers), 1)) - 1
        raise InputError(
            f"id2label in {CONFIG} does not name outputs 0 to {last_output}: it has "
            f"{', '.join(by_number) or 'no entry'}"
        )
    if len(numbers) < 2:
        raise InputError(f"{NO_CLASSIFIER}: {CONFIG} has {len(numbers)} label; two or more are needed")
    names = [_label_name(by_number[number], number) for number in numbers]
    _check_unambiguous(names, config.get("label2id"))
    return names


def _label_name(name: Any, number: str) -> str:
    if isinstance(name, bool) or not isinstance(name, str | int) or not str(name).strip():
        raise InputError(
            f"id2label in {CONFIG} is not valid: the name of output {number} is {json.dumps(name)}"
        )
    return str(name)


def _check_unambiguous(names: list[str], label2id: Any) -> None:
    first = {name: number for number, name in reversed(list(enumerate(names)))}
    duplicate = next((name for number, name in enumerate(names) if first[name] != number), None)
    if duplicate is not None:
        raise InputError(f"id2label in {CONFIG} has the name {duplicate!r} for two outputs")
    for name, number in label2id.items() if isinstance(label2id, Mapping) else ():
        if str(first.get(name, number)) != str(number):
            raise InputError(
                f"id2label and label2id in {CONFIG} disagree: {name!r} is output {first[name]} in one and "
                f"output {number} in the other"
            )


def _check_weights(folder: Path) -> None:
    for file, tensors in _shards(folder).items():
        missing = tensors - _tensors(folder / file)
        if missing:
            raise InputError(f"{file} lacks {min(missing)}, which {INDEX} lists: they do not belong together")


def _shards(folder: Path) -> dict[str, set[str]]:
    """Return the files of weights, each with the tensors that the index lists for it."""
    if (folder / WEIGHTS).exists():
        return {WEIGHTS: set()}
    if not (folder / INDEX).exists():
        raise InputError(_no_weights(folder))
    mapping = _read_object(folder / INDEX).get("weight_map")
    if not isinstance(mapping, Mapping) or not mapping:
        raise InputError(f"{INDEX} is damaged: it has no weight_map")
    shards: dict[str, set[str]] = {}
    for tensor, file in mapping.items():
        if not isinstance(file, str) or Path(file).name != file:
            raise InputError(f"{INDEX} is damaged: {json.dumps(file)} is not a file name")
        shards.setdefault(file, set()).add(tensor)
    return shards


def _no_weights(folder: Path) -> str:
    other_formats = sorted(path.name for pattern in OTHER_WEIGHTS for path in folder.glob(pattern))
    if not other_formats:
        return f"the weights are missing: there is no {WEIGHTS}"
    return (
        f"there is no {WEIGHTS}, and {other_formats[0]} is not loaded (such files can run code): if you "
        "trust it, load it with transformers and save it with save_pretrained()"
    )


def _tensors(file: Path) -> set[str]:
    """Return the names of the tensors in a safetensors file; opening it checks its length."""
    from safetensors import SafetensorError, safe_open

    _check_fetched(file)
    try:
        with safe_open(file, framework="numpy") as tensors:
            names = set(tensors.keys())
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{file.name} is damaged or incomplete ({error}): copy or download it again"
        ) from None
    if not names:
        raise InputError(f"{file.name} has no weights")
    return names


def _check_tokenizer(folder: Path, config: Mapping[str, Any]) -> None:
    settings = _read_object(folder / TOKENIZER_CONFIG) if (folder / TOKENIZER_CONFIG).exists() else {}
    for name in ("special_tokens_map.json", "added_tokens.json"):
        if (folder / name).exists():
            _read_object(folder / name)
    max_length = settings.get("model_max_length")
    is_integer = (
        isinstance(max_length, int | float) and not isinstance(max_length, bool) and max_length % 1 == 0
    )
    if max_length is not None and not (is_integer and max_length >= 1):
        raise InputError(
            f"model_max_length in {TOKENIZER_CONFIG} is {json.dumps(max_length)}: expected a number of tokens"
        )
    if (folder / TOKENIZER).exists():
        _check_vocabulary(folder, config)
    elif settings.get("tokenizer_class") not in BYTE_TOKENIZERS:
        _check_vocabulary_files(folder)


def _check_vocabulary(folder: Path, config: Mapping[str, Any]) -> None:
    from tokenizers import Tokenizer

    _read_object(folder / TOKENIZER)
    try:
        vocabulary = Tokenizer.from_file(str(folder / TOKENIZER)).get_vocab(with_added_tokens=True)
    except Exception as error:  # the library raises plain exceptions
        raise InputError(f"{TOKENIZER} cannot be read: {error}") from None
    rows = config.get("vocab_size")
    highest = max(vocabulary, key=vocabulary.__getitem__, default=None)
    if highest is not None and isinstance(rows, int) and vocabulary[highest] >= rows:
        raise InputError(
            f"{TOKENIZER} does not match the model: its token {highest!r} has id {vocabulary[highest]:,}, "
            f"but vocab_size in {CONFIG} is {rows:,}. Save the tokenizer that the model was trained with in "
            "its folder, or call resize_token_embeddings() before training"
        )


def _check_vocabulary_files(folder: Path) -> None:
    files = [path for pattern in VOCABULARIES for path in sorted(folder.glob(pattern))]
    if not files:
        raise InputError(
            f"there is no tokenizer: {TOKENIZER} (or a vocabulary, such as vocab.txt) is missing. Save the "
            "model's tokenizer in its folder: tokenizer.save_pretrained(folder)"
        )
    names = [path.name for path in files]
    if names == ["vocab.json"] and not (folder / "merges.txt").exists():
        raise InputError("the tokenizer is incomplete: vocab.json needs merges.txt")
    for path in [*files, *folder.glob("merges.txt")]:
        _check_fetched(path)


def _read_object(path: Path) -> dict[str, Any]:
    """Read the JSON object in a file of the model."""
    _check_fetched(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name} is damaged: not JSON in UTF-8 ({error})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path.name} is damaged: expected a JSON object, found {type(content).__name__}")
    return content


def _check_fetched(path: Path) -> None:
    """Raise InputError if a file is missing, empty, not readable, or a Git LFS pointer."""
    try:
        with path.open("rb") as file:
            head = file.read(len(POINTER))
    except FileNotFoundError:
        raise InputError(f"{path.name} is missing: copy or download it again") from None
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}") from None
    if not head:
        raise InputError(f"{path.name} is empty: copy or download it again")
    if head == POINTER:
        raise InputError(f"{path.name} was not fetched: it is a Git LFS pointer. Run git lfs pull")
