"""Features of texts by one pass of a frozen encoder.

A row is three blocks of width d: the mean of the last layer's token states, which is the
sentence embedding (Reimers & Gurevych 2019, arXiv:1908.10084); the same of the last layer
but one; and the mean of the last layer over the opening words. :mod:`react_ray.data.views`
combines them. Each row group is encoded into a file of its own, so that an interrupted
pass resumes with the next group.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize
from transformers import PreTrainedTokenizerBase

from react_ray.config.settings import EncodeConfig
from react_ray.data.feature_cache import FeatureCache, row_keys
from react_ray.data.views import BLOCKS, side_by_side
from react_ray.errors import InputError
from react_ray.folders import replace_file
from react_ray.models import tokens
from react_ray.models.batching import token_batches
from react_ray.models.device import pick_device
from react_ray.models.pretrained import TRIED_TEXTS, check_pair, load_encoder, load_tokenizer, longest_text
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.tasks import Task, get_task

__all__ = ["EncodeTask", "Encoder", "Encoders", "encode_items", "load_features", "save_features"]


STRIDE = 32
"""Tokens that two windows of a long text share."""
OPENING = 4
"""Tokens of the opening words, after those that a tokenizer puts before every text."""

PROMPTS = (
    "{}",
    "This is about {}.",
    "a text about {}",
    "The topic is {}.",
    "The sentiment is {}.",
    "This text is {}.",
)
"""English; measured with English names."""
CHINESE_PROMPTS = (
    "{}",
    "这是关于{}的内容。",
    "{}方面的文本",
    "主题是{}。",
    "情感是{}。",
    "这段文字是{}的。",
)
"""The same in Chinese; see docs/method.md for what they give."""


class Encoder:
    """A frozen pretrained model that turns texts into features."""

    def __init__(self, model: str, settings: EncodeConfig, use_gpu: bool = False):
        self.tokenizer = load_tokenizer(model)
        self.tokenizer.padding_side = "right"  # decoders pad left: the opening would be padding
        self.model = load_encoder(model).to(pick_device(use_gpu))
        self.max_length = longest_text(self.model, self.tokenizer, settings.max_length)
        self.batch_tokens = settings.batch_tokens
        self.opening = _text_start(self.tokenizer)
        self.width = BLOCKS * self.model.config.hidden_size
        self._check(model)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return features of ``texts``: n x 3d, blocks of one length, rows of length 1, in order."""
        features = np.zeros((len(texts), self.width), dtype=np.float32)
        if not len(texts):
            return features
        ids = tokens.encode(self.tokenizer, texts, self.max_length)
        for batch in token_batches([len(row) for row in ids], self.batch_tokens):
            features[batch] = self._forward([ids[i] for i in batch])
        return features

    def encode_names(self, names: Sequence[str], prompts: Sequence[str] | None = None) -> NDArray[np.float32]:
        """Return features of the names of K classes, K x 3d: the mean over ``prompts``.

        An ensemble of prompts as in CLIP (Radford et al. 2021, arXiv:2103.00020, 3.1.4) makes the features
        depend less on the wording. A prompt has {} in place of the name.
        """
        prompts = default_prompts(names) if prompts is None else prompts
        encoded = [self.encode([prompt.replace("{}", name) for name in names]) for prompt in prompts]
        blocks = np.mean(encoded, axis=0).reshape(len(names), BLOCKS, -1)
        blocks /= np.linalg.norm(blocks, axis=2, keepdims=True) * BLOCKS**0.5
        return blocks.reshape(len(names), -1)

    def encode_spans(
        self, texts: Sequence[str], spans: Sequence[Sequence[tuple[int, int]]]
    ) -> list[NDArray[np.float32]]:
        """Return the mean token states of spans (characters from, to) of each text: spans x d, of length 1.

        Long texts are read in windows. A span without a token has the mean of the whole text.
        """
        windows = TransformersTokenizer(self.tokenizer, self.max_length).windows(texts, STRIDE)
        flat = [(row, window) for row, of_row in enumerate(windows) for window in of_row]
        sums = [np.zeros((len(of_row) + 1, self.model.config.hidden_size), np.float32) for of_row in spans]
        counts = [np.zeros(len(of_row) + 1, np.float32) for of_row in spans]
        for batch in token_batches([len(window.ids) for _, window in flat], self.batch_tokens):
            states = self._states([flat[i][1].ids for i in batch])
            for i, tokens_of in zip(batch, states, strict=True):
                row, window = flat[i]
                _add_tokens(tokens_of, window.offsets, spans[row], sums[row], counts[row])
        return [_span_means(total, count) for total, count in zip(sums, counts, strict=True)]

    def _states(self, ids: list[list[int]]) -> NDArray[np.float32]:
        """Return the states of the last layer, n x tokens x d."""
        inputs = self.tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(self.model.device)
        with torch.inference_mode():
            states: NDArray[np.float32] = self.model(**inputs).last_hidden_state.float().cpu().numpy()
        return states

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Count the tokens that the encoder reads of ``texts``, after truncation."""
        return sum(len(row) for row in tokens.encode(self.tokenizer, texts, self.max_length))

    def _check(self, name: str) -> None:
        """Raise InputError if the model and its tokenizer cannot compute finite features."""
        check_pair(self.model, self.tokenizer, name)
        try:
            features = self._forward(tokens.encode(self.tokenizer, TRIED_TEXTS, self.max_length))
        except Exception as error:  # of many kinds: a model that needs other inputs, for one
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"{name}: the model cannot be used as an encoder of texts: {reason}") from error
        if not np.isfinite(features).all():
            raise InputError(f"{name}: the model's features are not finite: its weights are damaged")

    def _forward(self, ids: list[list[int]]) -> NDArray[np.float32]:
        inputs = self.tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(self.model.device)
        mask = inputs["attention_mask"].unsqueeze(-1)
        with torch.inference_mode():
            states = self.model(**inputs, output_hidden_states=True).hidden_states
            last, below = states[-1].float(), states[-2].float()
            first = mask.clone()
            first[:, : self.opening], first[:, self.opening + OPENING :] = 0, 0
            first = torch.where(first.sum(1, keepdim=True) > 0, first, mask)  # a text of one token
            blocks = [_mean(last, mask), _mean(below, mask), _mean(last, first)]
            return torch.cat([normalize(block, dim=1) for block in blocks], 1).div(BLOCKS**0.5).cpu().numpy()


class Encoders:
    """Several frozen models, whose features of a text stand side by side; one alone is like an Encoder.

    ``blocks`` are those of a row of features.
    """

    def __init__(self, models: Sequence[str], settings: EncodeConfig, use_gpu: bool = False):
        self.encoders = [Encoder(model, settings, use_gpu) for model in models]
        self.blocks = BLOCKS * len(self.encoders)
        self.width = len(self.encoders) * max(encoder.width for encoder in self.encoders)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return features of ``texts``, n x d, rows of length 1."""
        return side_by_side([encoder.encode(texts) for encoder in self.encoders])

    def encode_names(self, names: Sequence[str], prompts: Sequence[str] | None = None) -> NDArray[np.float32]:
        """Return features of the names of K classes, K x d, see :meth:`Encoder.encode_names`."""
        return side_by_side([encoder.encode_names(names, prompts) for encoder in self.encoders])

    def encode_spans(
        self, texts: Sequence[str], spans: Sequence[Sequence[tuple[int, int]]]
    ) -> list[NDArray[np.float32]]:
        """Return features of spans of each text, spans x d, see :meth:`Encoder.encode_spans`."""
        features = [encoder.encode_spans(texts, spans) for encoder in self.encoders]
        return [side_by_side(parts, blocks=1) for parts in zip(*features, strict=True)]

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Count the tokens that all encoders read of ``texts``, after truncation."""
        return sum(encoder.count_tokens(texts) for encoder in self.encoders)

    def features(self, task: Task, rows: pa.Table) -> NDArray[np.float32]:
        """Return what the task makes of the encoders for each row, n x d."""
        return side_by_side([task.features(encoder, rows) for encoder in self.encoders])


def _text_start(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the number of special tokens before a text; 1 where a tokenizer has none."""
    special = tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
    return max(1, next((place for place, mark in enumerate(special) if not mark), 1))


def _add_tokens(
    states: NDArray[np.float32],
    offsets: Sequence[tuple[int, int]],
    spans: Sequence[tuple[int, int]],
    sums: NDArray[np.float32],
    counts: NDArray[np.float32],
) -> None:
    """Add the state of each token to the spans that it overlaps, and to the last row (the whole text)."""
    places = np.array(offsets, np.int64).reshape(-1, 2)
    real = places[:, 1] > places[:, 0]
    ends = np.array(spans, np.int64).reshape(-1, 2)
    inside = (places[None, :, 0] < ends[:, None, 1]) & (places[None, :, 1] > ends[:, None, 0]) & real
    shares = np.vstack([inside, real[None]]).astype(np.float32)
    sums += shares @ states[: len(offsets)]
    counts += shares.sum(1)


def _span_means(sums: NDArray[np.float32], counts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of each span, scaled to length 1; the last row replaces spans without a token."""
    empty = counts[:-1] == 0
    means = sums[:-1] / np.maximum(counts[:-1], 1)[:, None]
    means[empty] = sums[-1] / max(counts[-1], 1)
    norms = np.linalg.norm(means, axis=1, keepdims=True)
    return (means / np.maximum(norms, 1e-12)).astype(np.float32)


def _mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean of the token states of each row (n x tokens x d) where ``mask`` is 1."""
    return (states * mask).sum(1) / mask.sum(1).clamp(min=1)


@dataclass(frozen=True)
class EncodeTask:
    """Worker task: encode one item of :func:`encode_items`.

    ``earlier`` are folders with features of the same encoders: their texts are not encoded again.
    """

    models: Sequence[str]
    settings: EncodeConfig
    task: str
    use_gpu: bool = False
    earlier: Sequence[Path] = ()

    def __call__(self) -> Callable[[dict[str, Any]], int]:
        """Load the encoders and return the function that encodes an item."""
        encoders = Encoders(self.models, self.settings, self.use_gpu)
        cache = FeatureCache.of(self.earlier)
        task = get_task(self.task)
        inputs = [field.name for field in task.inputs]

        def encode(item: dict[str, Any]) -> int:
            rows = pq.ParquetFile(item["source"]).read_row_group(item["group"], columns=inputs)
            keys, features = row_keys(rows), np.zeros((len(rows), encoders.width), np.float32)
            new = np.flatnonzero(~cache.fill(keys, features))
            if len(new):
                features[new] = encoders.features(task, rows.take(pa.array(new)))
            write_whole(_as_table(keys, features), Path(item["target"]))
            return len(rows)

        return encode


def default_prompts(names: Sequence[str]) -> Sequence[str]:
    """Return PROMPTS for names in Latin script, CHINESE_PROMPTS with Chinese ones, else the name alone.

    >>> default_prompts(["体育", "NBA"])[1]
    '这是关于{}的内容。'
    """
    letters = filter(str.isalpha, unicodedata.normalize("NFKC", "".join(names)))
    scripts = {_script(letter) for letter in letters}
    if scripts <= {"LATIN"}:
        return PROMPTS
    return CHINESE_PROMPTS if scripts <= {"LATIN", "CJK"} else ("{}",)


def _script(letter: str) -> str:
    """Return the first word of a letter's name in Unicode, such as LATIN, CJK, HIRAGANA or CYRILLIC."""
    return unicodedata.name(letter, "").split(" ")[0].split("-")[0]


def encode_items(source: Path, folder: Path) -> list[dict[str, Any]]:
    """Return the row groups of ``source`` that are not yet encoded into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    groups = pq.ParquetFile(source).metadata.num_row_groups
    items = [
        {"source": str(source), "group": group, "target": str(folder / f"{group:06d}.parquet")}
        for group in range(groups)
    ]
    return [item for item in items if not Path(str(item["target"])).exists()]


def load_features(folder: Path) -> NDArray[np.float32]:
    """Load all features in ``folder``, n x d, in the order of their rows."""
    parts = [pq.read_table(part, columns=["features"]) for part in sorted(folder.glob("*.parquet"))]
    parts = [part for part in parts if part.num_rows]
    if not parts:
        return np.zeros((0, 0), dtype=np.float32)
    column = pa.concat_tables(parts)["features"].combine_chunks()
    return column.flatten().to_numpy().reshape(len(column), -1)


def save_features(features: NDArray[np.float32], folder: Path) -> None:
    """Save features that do not belong to rows, such as those of class names."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(_as_table(np.arange(len(features), dtype=np.uint64), features), folder / "000000.parquet")


def write_whole(table: pa.Table, target: Path) -> None:
    """Write ``target`` atomically: a reader sees all of it or nothing."""
    replace_file(target, lambda temporary: pq.write_table(table, temporary))


def _as_table(keys: NDArray[np.uint64], features: NDArray[np.float32]) -> pa.Table:
    flat = pa.array(features.reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(flat, features.shape[1])
    return pa.table({"key": keys, "features": column})
