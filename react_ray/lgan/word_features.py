"""Word features of texts by latent semantic analysis, independent of the encoder.

TF-IDF of words and pairs of words, reduced to its main directions (Deerwester et al. 1990).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from react_ray.lgan.inputs import Features
from react_ray.models.writing_systems import NO_SPACES

__all__ = ["TOKEN", "describe"]

TOKEN = f"[{NO_SPACES}]|[^\\W{NO_SPACES}]+"
"""A word, or a character in scripts without spaces."""
WIDTH = 200
VOCABULARY = 50_000
FIT_ROWS = 20_000
"""Directions do not change much with more rows; the fit's time and memory would."""


def describe(texts: Sequence[str]) -> Features:
    """Return features of length 1 (0 where no word is known), n x at most WIDTH.

    There are no columns where fewer than two words occur in two texts or more.
    """
    count = TfidfVectorizer(
        sublinear_tf=True, min_df=2, ngram_range=(1, 2), max_features=VOCABULARY, token_pattern=TOKEN
    )
    chosen = np.random.default_rng(0).permutation(len(texts))[:FIT_ROWS]
    sample = [texts[row] for row in np.sort(chosen)]
    try:
        counted = count.fit_transform(sample)
    except ValueError:  # no word stands in two texts
        return np.zeros((len(texts), 0), np.float32)
    width = min(WIDTH, min(counted.shape) - 1)
    if width < 1:
        return np.zeros((len(texts), 0), np.float32)
    directions = TruncatedSVD(width, random_state=0).fit(counted)
    return normalize(directions.transform(count.transform(texts))).astype(np.float32)
