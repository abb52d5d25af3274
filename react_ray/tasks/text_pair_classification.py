"""Text pair classification: one of several classes for two texts (paraphrase, entailment, answer)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.config.settings import AugmentConfig
from react_ray.models.tokenizer import TextTokenizer
from react_ray.tasks.columns import Cells, Column, Options
from react_ray.tasks.label_names import label_name
from react_ray.tasks.nouns import PAIRS
from react_ray.tasks.task import Example
from react_ray.tasks.text_changes import augment
from react_ray.tasks.text_classification import TextClassification, distributions
from react_ray.tasks.windows import pair_examples

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

__all__ = ["TextPairClassification"]


class TextPairClassification(TextClassification):
    """One of several classes for a pair of texts, which the model reads as one input."""

    name = "text-pair-classification"
    title = "text pair classification"
    columns = (Column("text", "text"), Column("text_pair", "text"), Column("label", "label", target=True))
    nouns = PAIRS
    needs = (("text", "text_pair"),)
    inputs = (pa.field("text", pa.string()), pa.field("text_pair", pa.string()))

    def parse(self, cells: Cells, options: Options) -> dict[str, Any]:
        """Parse two texts and the class name of the pair."""
        return {
            "text": cells["text"],
            "text_pair": cells.get("text_pair"),
            "label": label_name(cells.get("label")),
        }

    def augment(
        self, row: dict[str, Any], config: AugmentConfig, seed: int, collected: Any = None
    ) -> list[dict[str, Any]]:
        """Make copies with one of the two texts changed, alternating between them."""
        changed = {side: iter(augment(row[side], config, seed)) for side in ("text", "text_pair")}
        turns = [side for _ in range(config.copies) for side in changed]
        copies = [{**row, side: text} for side in turns if (text := next(changed[side], None)) is not None]
        return copies[: config.copies]

    def features(self, encoder: Any, rows: pa.Table) -> NDArray[np.float32]:
        """Compute three blocks from two sentence embeddings: product, distance and sum."""
        first, second = (_sentences(encoder, rows[name].to_pylist()) for name in ("text", "text_pair"))
        blocks = [_unit(first * second), _unit(np.abs(first - second)), _unit(first + second)]
        return np.hstack(blocks) / np.float32(3**0.5)

    def encode(self, tokenizer: TextTokenizer, rows: pa.Table, labels: Sequence[str]) -> list[Example]:
        """Encode the columns text and text_pair and, if present, label (name or distribution) and weight."""
        labeled = "label" in rows.column_names
        targets = distributions(rows["label"], labels) if labeled else [None] * len(rows)
        return pair_examples(tokenizer, rows, list(targets))

    def start_from(
        self, model: PreTrainedModel, name: str, weights: torch.Tensor, bias: torch.Tensor
    ) -> bool:
        """Return False: the model reads both texts together, the frozen features encode each alone."""
        return False


def _sentences(encoder: Any, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return the sentence embeddings (the encoder's first block), n x d."""
    features: NDArray[np.float32] = encoder.encode(texts)
    return _unit(features[:, : features.shape[1] // 3])


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.maximum(norms, 1e-12)).astype(np.float32)
