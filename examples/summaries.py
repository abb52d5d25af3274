"""The turns of a dialogue that summarize it, trained on summaries of DialogSum.

    python examples/summaries.py ../shared/data

Reads dialogsum/train.parquet of the folder, and writes the run to out/summaries.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

import react_ray

OUTPUT = Path("out/summaries")


def main(data: Path, rows: int = 200) -> None:
    """Train on some dialogues, then summarize two others."""
    table = pd.read_parquet(data / "dialogsum" / "train.parquet")[["document", "summary"]]
    OUTPUT.mkdir(parents=True, exist_ok=True)
    table.head(rows).to_parquet(OUTPUT / "dialogues.parquet")
    config = react_ray.Config(
        task="extractive-summarization",
        output=str(OUTPUT / "run"),
        data={"labeled": str(OUTPUT / "dialogues.parquet")},
        finetune={"epochs": 2, "token_budget": 200_000},  # a short training
    )
    print(react_ray.run(config).summary())
    others = table.tail(2)
    answers = react_ray.load(OUTPUT / "run").predict(list(others["document"]))
    for reference, (answer, *_) in zip(others["summary"], answers, strict=True):
        print(f"model:     {answer.text}\nreference: {reference}\n")


if __name__ == "__main__":
    folder = Path(*sys.argv[1:2] or ["../shared/data"])
    if not (folder / "dialogsum/train.parquet").is_file():
        sys.exit(f"{folder}: dialogsum/train.parquet is not in this folder\n\n{__doc__}")
    main(folder)
