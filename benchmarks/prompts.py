"""What sentences around class names give: macro-F1 of the names alone, without labels.

    python -m benchmarks.prompts

Each text of a sample of training rows gets the class whose name is most like it. The Chinese sets have
English class names; both these and Chinese ones are tried, each bare and in the sentences of either language.
Kept in ``benchmarks/results/prompts.json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from sklearn.metrics import f1_score

from benchmarks.datasets import DATA, DatasetMissingError, classes_of, read_dataset
from react_ray.config.settings import MULTILINGUAL, EncodeConfig
from react_ray.data.encode import CHINESE_PROMPTS, PROMPTS, Encoder
from react_ray.data.views import BLOCKS, SENTENCE
from react_ray.lgan.names import similarity

RESULTS = Path(__file__).parent / "results" / "prompts.json"
ROWS = 500
CHINESE = {
    "thucnews_titles": {
        "education": "教育",
        "entertainment": "娱乐",
        "finance": "财经",
        "game": "游戏",
        "politics": "时政",
        "realty": "房产",
        "science": "科技",
        "society": "社会",
        "sports": "体育",
        "stocks": "股票",
    },
    "chnsenticorp_hotel": {"negative": "负面", "positive": "正面"},
}
SENTENCES = {"bare": ("{}",), "Chinese": CHINESE_PROMPTS, "English": PROMPTS}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    encoder = Encoder(MULTILINGUAL, EncodeConfig())
    found: dict[str, dict[str, float]] = {}
    for dataset, chinese in CHINESE.items():
        try:
            rows = read_dataset(dataset, options.data)[0].sample(ROWS, random_state=0)
        except DatasetMissingError as missing:
            print(f"skipped: {missing}")
            continue
        classes = classes_of(rows)
        features = _sentences(encoder.encode(rows["text"].tolist()))
        truth = classes.indices(rows["label"].tolist())
        for language, names in (
            ("Chinese", [chinese[name] for name in classes.names]),
            ("English", classes.names),
        ):
            for around, prompts in SENTENCES.items():
                named = _sentences(encoder.encode_names(names, prompts))
                predicted = similarity(features, named, features.mean(0)).argmax(1)
                score = float(f1_score(truth, predicted, average="macro"))
                found.setdefault(dataset, {})[f"{language} names, {around}"] = round(score, 3)
                print(f"{dataset}: {language} names, {around}: {score:.3f}", flush=True)
    if found:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _sentences(features: np.ndarray) -> np.ndarray:
    return SENTENCE.of(features, BLOCKS)


if __name__ == "__main__":
    main()
