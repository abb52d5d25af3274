"""Base class of word tagging: encoding of words as tokens, loss, and logits of words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from react_ray.models.tokenizer import TextTokenizer, Window
from react_ray.tasks.task import Example, Outputs, Padding
from react_ray.tasks.word_places import WordPlaces, place_words
from react_ray.tasks.word_targets import word_distributions
from react_ray.tasks.word_units import WordUnits

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

__all__ = ["WordTagging"]

WARM_START_WORDS = 8_000
"""Words that the head is started on: some seconds of one core."""


class WordTagging(WordUnits):
    """Task whose model has logits per token and tag; a word is represented by its first token."""

    long_texts = "all"

    def encode(self, tokenizer: TextTokenizer, rows: pa.Table, labels: Sequence[str]) -> list[Example]:
        """Encode the columns text, starts, ends and, if present, tags, weight and weights.

        ``tags`` are BIO tags, or a distribution over the outputs for each word; ``weight`` is for the row,
        ``weights`` for its words. A long text has several examples, which overlap by a quarter; each word
        is read in one of them.
        """
        texts, columns = rows["text"].to_pylist(), set(rows.column_names)
        targets = self.unit_targets(rows, labels) if self.target.name in columns else [None] * len(rows)
        weights = rows["weight"].to_numpy() if "weight" in columns else np.ones(len(rows))
        windows = tokenizer.windows(texts, tokenizer.max_length // 4) if texts else []
        spans = zip(rows["starts"].to_pylist(), rows["ends"].to_pylist(), strict=True)
        return [
            Example(window.ids, None if target is None else target[place.words], weight, row, places=place)
            for row, (row_windows, span, target, weight) in enumerate(
                zip(windows, spans, targets, weights.tolist(), strict=True)
            )
            for window, place in zip(row_windows, self.place(row_windows, *span), strict=True)
            if window.ids  # without special tokens there may be none
        ]

    def unit_targets(self, rows: pa.Table, labels: Sequence[str]) -> list[NDArray[np.float32] | None]:
        """Distributions over the outputs of the units of each row; None where it is unlabelled."""
        return word_distributions(rows, self.output_names(labels))

    def place(
        self, windows: Sequence[Window], starts: Sequence[int], ends: Sequence[int]
    ) -> list[WordPlaces]:
        """The tokens that stand for units from characters ``starts`` to ``ends``, in each window."""
        return place_words(windows, starts, ends)

    def targets(self, examples: Sequence[Example], padding: Padding) -> NDArray[np.float32]:
        """Return distributions, n x tokens x outputs; zeros for tokens that represent no word."""
        longest = max(len(example.ids) for example in examples)
        targets = np.zeros((len(examples), longest, examples[0].target.shape[1]), np.float32)
        for number, example in enumerate(examples):
            first = ~example.places.continued()
            tokens = _from_left(example, longest, padding)
            targets[number, tokens[first]] = example.target[first]
        return targets

    def loss(self, output: Any, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy of the words of each example."""
        losses = -(targets * output.logits.float().log_softmax(dim=2)).sum(dim=(1, 2))
        return losses / targets.any(dim=2).sum(dim=1).clamp(min=1)

    def warm_start(self, model: PreTrainedModel, examples: Sequence[Example], padding: Padding) -> bool:
        """Fit the last layer by logistic regression on words."""
        from react_ray.models.head import final_linear, fit_head, token_features

        head = final_linear(model)
        if head is None:
            return False
        count = int((np.cumsum([len(e.places.words) for e in examples]) <= WARM_START_WORDS).sum())
        used = examples[: max(1, count)]
        first = [~example.places.continued() for example in used]
        tokens = [example.places.tokens[is_first] for example, is_first in zip(used, first, strict=True)]
        targets = np.concatenate([e.target[is_first] for e, is_first in zip(used, first, strict=True)])
        if not len(targets):
            return False
        weights = np.repeat([example.weight for example in used], [len(row_tokens) for row_tokens in tokens])
        features = token_features(model, head, used, lambda batch: self.collate(batch, padding), tokens)
        fit_head(head, features, targets, weights.tolist())
        return True

    def split(self, output: NDArray[np.float32], examples: Sequence[Example], padding: Padding) -> Outputs:
        """Return the logits of the words of each example."""
        longest = output.shape[1]
        return [
            logits[_from_left(example, longest, padding)]
            for logits, example in zip(output, examples, strict=True)
        ]


def _from_left(example: Example, longest: int, padding: Padding) -> NDArray[np.int64]:
    """Return the token positions of words in a padded batch of length ``longest``."""
    places: WordPlaces = example.places
    return places.tokens + (longest - len(example.ids) if padding.side == "left" else 0)
