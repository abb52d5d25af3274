"""Word features of texts by latent semantic analysis, independent of the encoder.

They are TF-IDF of words and pairs of words, reduced by a truncated SVD (Deerwester et al. 1990).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from react_ray.lgan.inputs import Features
from react_ray.models.writing_systems import NO_SPACES

__all__ = ["TOKEN", "describe"]

TOKEN = f"[{NO_SPACES}]|[^\\W{NO_SPACES}]+"
"""Matches a word, or a character in scripts without spaces."""
WIDTH = 200
VOCABULARY = 50_000
FIT_ROWS = 20_000
"""Maximum rows of the fit; more rows hardly change the result, but take more time and memory."""


def _fold(text: str) -> str:
    """Return ``text`` in lower case, with full-width letters and digits as the usual ones."""
    return (text if text.isascii() else unicodedata.normalize("NFKC", text)).lower()


def describe(texts: Sequence[str]) -> Features:
    """Return features of norm 1, or 0 for texts without known words: n x at most WIDTH.

    There are no columns if fewer than two words occur in two or more texts.
    """
    vectorizer = TfidfVectorizer(
        sublinear_tf=True,
        min_df=2,
        ngram_range=(1, 2),
        max_features=VOCABULARY,
        token_pattern=TOKEN,
        preprocessor=_fold,
    )
    chosen = np.random.default_rng(0).permutation(len(texts))[:FIT_ROWS]
    sample = [texts[row] for row in np.sort(chosen)]
    try:
        tfidf = vectorizer.fit_transform(sample)
    except ValueError:  # no word occurs in two texts
        return np.zeros((len(texts), 0), np.float32)
    n_components = min(WIDTH, min(tfidf.shape) - 1)
    if n_components < 1:
        return np.zeros((len(texts), 0), np.float32)
    svd = TruncatedSVD(n_components, random_state=0).fit(tfidf)
    return normalize(svd.transform(vectorizer.transform(texts))).astype(np.float32)
