"""A catalogue of three topics, and users who like one topic each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

__all__ = ["SMALL", "TOPICS", "write_files"]

TOPICS = {
    "space": "rocket planet star orbit",
    "kitchen": "bread oven flour salt",
    "sport": "goal team ball",
}
SMALL = {"ranker.trees": 60, "ranker.min_rows": 5, "max_length": 16, "cold_share": 0.15}


def write_files(folder: Path, timed: bool = True) -> tuple[str, str]:
    """Ninety items of three topics, and users who like one topic each."""
    generator = np.random.default_rng(0)
    topics = list(TOPICS)
    items = [
        {
            "item": f"{topic}-{number}",
            "text": " ".join(generator.choice(TOPICS[topic].split(), 3)),
            "price": float(number),
            "topic": topic,
        }
        for topic in topics
        for number in range(30)
    ]
    log = [
        {"user": f"u{user}", "item": f"{topics[user % 3]}-{item}", "time": user * 100 + place}
        for user in range(90)
        for place, item in enumerate(generator.permutation(30)[:12])
    ]
    frame = pd.DataFrame(log) if timed else pd.DataFrame(log).drop(columns="time")
    pd.DataFrame(items).to_parquet(folder / "items.parquet")
    frame.to_csv(folder / "log.csv", index=False)
    return str(folder / "items.parquet"), str(folder / "log.csv")
