"""A small run on made-up text: two topics that share no words, and a tiny model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from topics import FILLER, WORDS, make_texts


@pytest.fixture(scope="session")
def word_model(make_tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Knows whole words, so that its random features tell the topics apart."""
    words = " ".join([*WORDS.values(), FILLER]).split()
    return make_tiny_model(tmp_path_factory.mktemp("words"), words)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """labeled (4 a class), unlabeled (with truth), test; a few bad rows among them."""
    folder = tmp_path_factory.mktemp("files")
    labeled, unlabeled, test = [], [], []
    for label in WORDS:
        texts = make_texts(label, 64, seed=0)
        labeled += [(text, label) for text in texts[:4]]
        unlabeled += [(text, label) for text in texts[4:44]]
        test += [(text, label) for text in texts[44:]]
    labeled += [("", "Sport"), ("goal in the rain", "Sport"), ("goal in the rain", "Wetter")]
    paths = {name: folder / f"{name}.csv" for name in ("labeled", "unlabeled", "test")}
    pd.DataFrame(labeled, columns=["text", "label"]).to_csv(paths["labeled"], index=False)
    pd.DataFrame(unlabeled, columns=["text", "truth"]).to_csv(paths["unlabeled"], index=False)
    pd.DataFrame(test, columns=["text", "label"]).to_csv(paths["test"], index=False)
    return paths
