"""English to German with a small model from random weights, trained on captions of Multi30k.

    python examples/translate_from_scratch.py ../shared/data

Reads multi30k_en_de/train.parquet and validation.parquet of the folder, and writes the run to
out/translation. It needs pip install 'react-ray[translation]' and some 16 minutes on one core for all 10,000
pairs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

import react_ray

OUTPUT = Path("out/translation")


def main(data: Path, rows: int = 10_000, tokens: int = 4_500_000) -> None:
    """Train on the pairs with the default number of tokens, or fewer, then translate two sentences."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    files = {"labeled": ("train", rows), "validation": ("validation", 200)}
    for name, (part, count) in files.items():
        table = pd.read_parquet(data / "multi30k_en_de" / f"{part}.parquet").head(count)
        table.to_parquet(OUTPUT / f"{name}.parquet")
    config = react_ray.Config(
        task="translation",
        model="transformer-tiny",
        output=str(OUTPUT / "run"),
        data={name: str(OUTPUT / f"{name}.parquet") for name in files},
        finetune={"token_budget": tokens},
        generation={"max_new_tokens": 40},
    )
    print(react_ray.run(config).summary())
    sentences = ["A man in a blue shirt is standing on a ladder.", "Two dogs run on the beach."]
    for sentence, (answer, *_) in zip(
        sentences, react_ray.load(OUTPUT / "run").predict(sentences), strict=True
    ):
        print(f"{sentence}  {answer.text}")


if __name__ == "__main__":
    folder = Path(*sys.argv[1:2] or ["../shared/data"])
    if not (folder / "multi30k_en_de/train.parquet").is_file():
        sys.exit(f"{folder}: multi30k_en_de/train.parquet is not in this folder\n\n{__doc__}")
    main(folder)
