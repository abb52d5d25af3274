"""Sentiment of dated headlines: train on the oldest, stream the others, print the alerts.

    python examples/monitor_news.py headlines.parquet [negative]
    react-ray monitor serve out/headlines/store

The file (csv, jsonl or parquet) has the columns text, label and date, for example headlines about the gold
market (Sinha and Khandait, "Impact of News on the Commodity Market: Dataset and Results"); ``negative`` is
the label that surges are counted of. Writes to out/headlines.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

import react_ray
from react_ray.cli import main as command

FOLDER = Path("out/headlines")
TRAINED_ON = 600
"""Oldest rows, whose labels train the model; of all later rows the labels are not used."""


def read(path: str) -> pd.DataFrame:
    """The rows by date, with an id."""
    rows = [dict(row.cells) for row in react_ray.read_rows(path, ["text", "label", "date"]) if not row.reason]
    table = pd.DataFrame(rows).sort_values("date", kind="stable").reset_index(drop=True)
    return table.assign(id=[f"headline-{number}" for number in table.index])


def main(path: str, negative: str = "negative") -> int:
    """Train, stream, print the alerts."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = read(path)
    rows[:TRAINED_ON][["text", "label"]].to_csv(FOLDER / "labels.csv", index=False)
    stream = rows[TRAINED_ON:][["id", "text", "date"]]
    stream.astype(str).to_json(FOLDER / "stream.jsonl", orient="records", lines=True, force_ascii=False)
    trained = command(["run", "--labeled", str(FOLDER / "labels.csv"), "--output", str(FOLDER / "sentiment")])
    files = ["--input", str(FOLDER / "stream.jsonl"), "--store", str(FOLDER / "store")]
    names = ["--sentiment", str(FOLDER / "sentiment"), "--negative", negative, "--column", "time=date"]
    return trained or command(["monitor", "run", *names, *files, "--until-end"])


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
