"""Checks of the files of a saved model: configuration, weights and tokenizer are complete and match.

Reads the JSON files, the tokenizer and the headers of the weights, and imports no torch, so that a bad
folder is reported in a fraction of a second. What only a loaded model can tell is checked in ``pretrained``.
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
MOST_TOKENS = 1 << 24
"""Longest input a configuration may name: with more, the memory for one such text is not there."""
MOST_LAYERS = 1024
SIZES = re.compile(
    r"^(max_position_embeddings|n_positions|n_ctx|num_labels|(.*_)?(size|layers?|heads?|embd))$"
)
LAYERS = re.compile(r"layers?$")
IMPLEMENTATIONS = (None, "eager", "sdpa", "grouped_mm", "batched_mm")
"""Of attention and experts, inside PyTorch and transformers. Other names load code, some of it from a hub."""
OTHER_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.gguf")
VOCABULARIES = ("vocab.txt", "vocab.json", "*.model", "*.spm", "*.codes", "*.tiktoken")
OF_BYTES = ("ByT5Tokenizer", "CanineTokenizer", "PerceiverTokenizer")
"""Tokenizers without a vocabulary: a text's bytes or characters are its tokens."""
_COUNTS = range(1, 1_000_000)
NO_CLASSIFIER = "this is no classifier that gives each text one of several labels"


def check_model(folder: Path) -> None:
    """Raise InputError where the files in ``folder`` are not a whole model with its tokenizer."""
    try:
        _check(folder, file_states(folder))
    except InputError as error:
        raise InputError(f"{folder}: {error}") from None


def read_config(folder: Path) -> dict[str, Any]:
    """The content of config.json."""
    return _read_object(folder / CONFIG)


@lru_cache(maxsize=16)
def _check(folder: Path, _states: tuple[FileState, ...]) -> None:
    """The check itself, done again only when a file of the folder has changed."""
    if (folder / ADAPTER).exists():
        raise InputError(
            f"{ADAPTER} makes it a PEFT adapter, which is no model by itself: merge it into its model with "
            "merge_and_unload(), save that with save_pretrained(), and give its folder"
        )
    config = _read_object(folder / CONFIG)
    _check_config(config)
    _check_weights(folder)
    _check_tokenizer(folder, config)


def check_config(path: Path, name: str) -> None:
    """Raise InputError where the config.json at ``path``, of the model ``name``, must not be loaded."""
    try:
        _check_config(_read_object(path))
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _check_config(config: Mapping[str, Any]) -> None:
    kind = config.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise InputError(f"{CONFIG} has no model_type, so what model it is cannot be known")
    if "quantization_config" in config:
        raise InputError(
            f"{CONFIG} has a quantization_config: quantised weights are not supported, give the model as it "
            "was before (int8 for processors is made by react-ray export)"
        )
    for place, part in _parts(config, CONFIG):
        for key, value in part.items():
            if SIZES.search(key):
                _check_size(value, MOST_LAYERS if LAYERS.search(key) else MOST_TOKENS, f"{key} in {place}")
            if "_implementation" in key:
                _check_implementation(value, f"{key} in {place}")


def _parts(config: Mapping[str, Any], place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The configuration and those inside it, such as ``text_config``."""
    yield place, config
    for key, value in config.items():
        if key.endswith("config") and isinstance(value, Mapping):
            yield from _parts(value, f"{key} in {place}")


def _check_size(value: Any, most: int, where: str) -> None:
    """Sizes that are none, before memory for them is asked for; -1 is XLNet's word for no limit."""
    if isinstance(value, dict | list) or (value in (None, -1) and not isinstance(value, bool)):
        return
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise InputError(f"{where} is {json.dumps(value)}: expected a whole number, at most {most:,}")


def _check_implementation(value: Any, where: str) -> None:
    for name in value.values() if isinstance(value, Mapping) else (value,):
        if name not in IMPLEMENTATIONS:
            raise InputError(
                f"{where} is {json.dumps(name)}, which loads code that is not part of transformers: "
                "delete that line"
            )


def label_names(config: Mapping[str, Any]) -> list[str]:
    """The label of each output, from the content of config.json.

    Raises InputError where ``id2label`` does not give each of two or more outputs a name of its own.
    """
    named, outputs = config.get("id2label"), config.get("num_labels")
    if named is None:
        count = 2 if outputs is None else outputs
        named = {number: f"LABEL_{number}" for number in range(count if count in _COUNTS else 0)}
    if not isinstance(named, Mapping):
        raise InputError(f'id2label in {CONFIG} is not an object such as {{"0": "no", "1": "yes"}}')
    by_number = {str(key): name for key, name in named.items()}
    numbers = [str(number) for number in range(len(by_number))]
    if set(by_number) != set(numbers) or outputs not in (None, len(numbers)):
        last = (outputs if isinstance(outputs, int) and outputs > 0 else max(len(numbers), 1)) - 1
        raise InputError(
            f"id2label in {CONFIG} does not name outputs 0 to {last}: it has "
            f"{', '.join(by_number) or 'no entry'}"
        )
    if len(numbers) < 2:
        raise InputError(f"{NO_CLASSIFIER}: {CONFIG} has {len(numbers)} label; two or more are needed")
    names = [_label_name(by_number[number], number) for number in numbers]
    _check_unambiguous(names, config.get("label2id"))
    return names


def _label_name(name: Any, number: str) -> str:
    if isinstance(name, bool) or not isinstance(name, str | int) or not str(name).strip():
        raise InputError(f"id2label in {CONFIG} gives output {number} no name, but {json.dumps(name)}")
    return str(name)


def _check_unambiguous(names: list[str], label2id: Any) -> None:
    first = {name: number for number, name in reversed(list(enumerate(names)))}
    twice = next((name for number, name in enumerate(names) if first[name] != number), None)
    if twice is not None:
        raise InputError(f"id2label in {CONFIG} gives two outputs the name {twice!r}")
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
    """The files with the weights, each with the tensors that the index says are in it."""
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
            raise InputError(f"{INDEX} is damaged: {json.dumps(file)} is not the name of a file beside it")
        shards.setdefault(file, set()).add(tensor)
    return shards


def _no_weights(folder: Path) -> str:
    others = sorted(path.name for pattern in OTHER_WEIGHTS for path in folder.glob(pattern))
    if not others:
        return f"there are no weights: {WEIGHTS} is missing"
    return (
        f"there is no {WEIGHTS}, and {others[0]} is not read (such files can run code): load it with "
        "transformers where you trust it, and save it again with save_pretrained()"
    )


def _tensors(file: Path) -> set[str]:
    """Names of the tensors in a safetensors file, whose header is checked against its length."""
    from safetensors import SafetensorError, safe_open

    _check_fetched(file)
    try:
        with safe_open(file, framework="numpy") as opened:
            names = set(opened.keys())
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{file.name} is damaged or not complete ({error}): copy or download it again"
        ) from None
    if not names:
        raise InputError(f"{file.name} holds no weights")
    return names


def _check_tokenizer(folder: Path, config: Mapping[str, Any]) -> None:
    settings = _read_object(folder / TOKENIZER_CONFIG) if (folder / TOKENIZER_CONFIG).exists() else {}
    for name in ("special_tokens_map.json", "added_tokens.json"):
        if (folder / name).exists():
            _read_object(folder / name)
    longest = settings.get("model_max_length")
    whole = isinstance(longest, int | float) and not isinstance(longest, bool) and longest % 1 == 0
    if longest is not None and not (whole and longest >= 1):
        raise InputError(
            f"model_max_length in {TOKENIZER_CONFIG} is {json.dumps(longest)}: expected a number of tokens"
        )
    if (folder / TOKENIZER).exists():
        _check_vocabulary(folder, config)
    elif settings.get("tokenizer_class") not in OF_BYTES:
        _check_vocabulary_files(folder)


def _check_vocabulary(folder: Path, config: Mapping[str, Any]) -> None:
    from tokenizers import Tokenizer

    _read_object(folder / TOKENIZER)
    try:
        vocabulary = Tokenizer.from_file(str(folder / TOKENIZER)).get_vocab(with_added_tokens=True)
    except Exception as error:  # all that the library raises
        raise InputError(f"{TOKENIZER} cannot be read: {error}") from None
    rows = config.get("vocab_size")
    highest = max(vocabulary, key=vocabulary.__getitem__, default=None)
    if highest is not None and isinstance(rows, int) and vocabulary[highest] >= rows:
        raise InputError(
            f"{TOKENIZER} is not this model's: its token {highest!r} has number {vocabulary[highest]:,}, and "
            f"vocab_size in {CONFIG} is {rows:,}. Save the tokenizer that the model was trained with beside "
            "it, or call resize_token_embeddings() before training"
        )


def _check_vocabulary_files(folder: Path) -> None:
    files = [path for pattern in VOCABULARIES for path in sorted(folder.glob(pattern))]
    if not files:
        raise InputError(
            f"there is no tokenizer: {TOKENIZER} (or a vocabulary, such as vocab.txt) is missing. Save the "
            "model's own beside it: tokenizer.save_pretrained(folder)"
        )
    names = [path.name for path in files]
    if names == ["vocab.json"] and not (folder / "merges.txt").exists():
        raise InputError("the tokenizer is not complete: vocab.json needs merges.txt beside it")
    for path in [*files, *folder.glob("merges.txt")]:
        _check_fetched(path)


def _read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file of the model."""
    _check_fetched(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name} is damaged: not JSON in UTF-8 ({error})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path.name} is damaged: expected a JSON object, found {type(content).__name__}")
    return content


def _check_fetched(path: Path) -> None:
    """InputError where a file is missing, empty, not readable, or a pointer of Git LFS."""
    try:
        with path.open("rb") as file:
            start = file.read(len(POINTER))
    except FileNotFoundError:
        raise InputError(f"{path.name} is missing: copy or download it again") from None
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}") from None
    if not start:
        raise InputError(f"{path.name} is empty: copy or download it again")
    if start == POINTER:
        raise InputError(f"{path.name} was not fetched: it is a Git LFS pointer. Run git lfs pull")
