"""Texts in which neighbouring words belong together, and settings of a small model."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from react_ray.config.file import load_pretrain_config
from react_ray.config.sections.pretraining import PretrainConfig

WORDS = {"sport": "goal match team striker league", "food": "bread cheese soup dinner kitchen"}
CHINESE = {"体育": "进球比赛球队冠军", "科技": "手机电脑软件芯片"}


def make_texts(count: int, seed: int = 0, chinese: bool = False) -> list[str]:
    """Texts of one topic each, so that a masked word is easier to guess by its neighbours."""
    pick = random.Random(seed)
    texts = []
    for number in range(count):
        if chinese:
            pool = list(CHINESE[list(CHINESE)[number % 2]])
            texts.append("".join(pick.choice(pool) for _ in range(pick.randint(5, 12))))
        else:
            pool = WORDS[list(WORDS)[number % 2]].split()
            texts.append(" ".join(pick.choice(pool) for _ in range(pick.randint(4, 12))))
    return texts


def write_lines(path: Path, texts: list[str]) -> Path:
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def settings(source: Path, output: Path, **values: Any) -> PretrainConfig:
    small = {
        "layers": 2, "hidden": 32, "heads": 2, "intermediate": 64, "vocabulary": 300, "max_length": 32,
        "batch_size": 16, "epochs": 4, "lr": 3e-3, "validation": 0.1, "seed": 1,
    }  # fmt: skip
    return load_pretrain_config(flags={**small, "input": str(source), "output": str(output), **values})
