"""A made-up data set, a tiny encoder, and the benchmark on them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks.label_efficiency.__main__ import main

WORDS = {
    "sport": "match goal team coach league player score season cup win",
    "money": "bank stock profit market trade share price fund loan tax",
    "weather": "rain cloud storm sunny wind snow cold heat fog frost",
}
FILLER = "the a of to in on with for today was very new"


def make_rows(label: str, count: int, part: str) -> pd.DataFrame:
    draw = random.Random(f"{label} {part}")
    own, filler = [*WORDS[label].split(), label], FILLER.split()
    texts = [" ".join(draw.sample(own, k=4) + draw.sample(filler, k=5)) for _ in range(count)]
    return pd.DataFrame({"text": texts, "label": label})


@pytest.fixture(scope="module")
def words() -> list[str]:
    return " ".join([*WORDS.values(), *WORDS, FILLER]).split()


@pytest.fixture(scope="module")
def encoder(
    words: list[str], make_tiny_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("encoder") / "tiny", words)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name in ("topics", "themes"):
        (folder / name).mkdir()
        for part, count in (("train", 40), ("test", 20)):
            rows = pd.concat(make_rows(label, count, f"{name} {part}") for label in WORDS)
            rows.to_parquet(folder / name / f"{part}.parquet", index=False)
    return folder


@pytest.fixture
def command(data: Path, encoder: Path, tmp_path: Path) -> Callable[..., int]:
    """The benchmark with results and features of its own."""
    own = ["--data", data, "--encoder", encoder, "--results", tmp_path / "results"]
    own += ["--features", tmp_path / "features", "--pool", 60]

    def run(*words: Any) -> int:
        return main([str(word) for word in [*own, *words]])

    return run
