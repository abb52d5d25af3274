"""What to train on likes: nothing, a linear map of embeddings, or the whole encoder.

    python -m benchmarks.apps.text_maps --sets steam_games --steps 160

Recommends by text alone to validation users, whose last liked item is never read: for known items, and with a
tenth of the items hidden, for those among themselves. The encoder is trained on pairs of an item and a recent
one of the same user, with in-batch negatives; the map is that of ``react-ray recommend build``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy, normalize
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from benchmarks.apps.recommend import SETS, draw
from benchmarks.datasets import DATA
from react_ray.apps.recommend.interactions import Histories
from react_ray.apps.recommend.measure import measure
from react_ray.apps.recommend.read import Liked, read_interactions, read_items
from react_ray.apps.recommend.recommenders import TextProfile
from react_ray.apps.recommend.split import Query, Split
from react_ray.apps.recommend.text_map import HALF_LIFE, apply_text_map, fit_text_map
from react_ray.models.pretrained import load_encoder, load_tokenizer

RESULTS = Path(__file__).parents[1] / "results" / "apps" / "text_maps"
MAX_LENGTH, BATCH, RECENT = 64, 48, 5
LEARNING_RATE, TEMPERATURE = 5e-5, 0.05
Embeddings = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=["steam_games"], choices=SETS)
    parser.add_argument("--steps", type=int, default=160, help="of training the encoder")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in options.sets:
        result = compare(name, options)
        target = RESULTS / f"{name}-{options.steps}-{options.seed}.json"
        target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(json.dumps(result, indent=1))


def compare(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """NDCG@10 by texts alone: embeddings of the frozen and of the trained encoder, without and with a map."""
    texts, split = read(name, options.data, options.seed)
    queries = split.with_new_items()
    train = queries[0].train
    encoder, tokenizer = load_encoder("embedded"), load_tokenizer("embedded")
    frozen = embed(encoder, tokenizer, texts)
    started = time.monotonic()
    finetune(encoder, tokenizer, texts, train.all_histories(), options.steps, options.seed)
    seconds = time.monotonic() - started
    trained = embed(encoder, tokenizer, texts)
    methods = {
        "frozen": frozen,
        "map": apply_text_map(frozen, fit_text_map(frozen, train, options.seed)),
        "encoder": trained,
        "encoder_and_map": apply_text_map(trained, fit_text_map(trained, train, options.seed)),
    }
    return {
        "set": name,
        "steps": options.steps,
        "seed": options.seed,
        "seconds_of_encoder": round(seconds),
        "users": [len(query) for query in queries],
        "ndcg_at_10": {method: figures(queries, embeddings) for method, embeddings in methods.items()},
    }


def read(name: str, data: Path, seed: int) -> tuple[list[str], Split]:
    with tempfile.TemporaryDirectory() as temporary:
        items, log = draw(name, data, seed)
        items.to_parquet(f"{temporary}/items.parquet")
        log.to_parquet(f"{temporary}/log.parquet")
        catalogue, _ = read_items(f"{temporary}/items.parquet", {}, (), ())
        log_file = f"{temporary}/log.parquet"
        interactions, _, _ = read_interactions(log_file, {}, catalogue.ids, Liked(None, None), seed, None)
    return catalogue.texts, Split(interactions, seed=seed)


def figures(queries: tuple[Query, Query], embeddings: Embeddings) -> dict[str, float]:
    known, new = queries
    among = replace(new, only=np.unique(np.concatenate(new.targets.items)))
    text = TextProfile(embeddings, HALF_LIFE)
    asked = {"known": known, "new_among_all": new, "new_among_new": among}
    return {name: float(measure(query, text).values["ndcg_at_10"].mean()) for name, query in asked.items()}


def vectors(encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> torch.Tensor:
    inputs = tokenizer(texts, truncation=True, max_length=MAX_LENGTH, padding=True, return_tensors="pt")
    states, mask = encoder(**inputs).last_hidden_state, inputs["attention_mask"][..., None]
    return normalize((states * mask).sum(1) / mask.sum(1))


@torch.no_grad()
def embed(encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> Embeddings:
    encoder.eval()
    embeddings = np.zeros((len(texts), encoder.config.hidden_size), np.float32)
    places = sorted((place for place, text in enumerate(texts) if text), key=lambda place: len(texts[place]))
    for start in range(0, len(places), BATCH):
        batch = places[start : start + BATCH]
        embeddings[batch] = vectors(encoder, tokenizer, [texts[place] for place in batch]).numpy()
    return embeddings


def finetune(
    encoder: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: list[str],
    liked: Histories,
    steps: int,
    seed: int,
) -> None:
    """Train on pairs of a liked item and one of the RECENT before it; what a user likes is no negative."""
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    encoder.train().requires_grad_(True)
    has_text = np.array([bool(text) for text in texts])
    histories = [items[has_text[items]] for items in map(liked.user, range(len(liked)))]
    histories = [items for items in histories if len(items) > 1]
    shares = np.array([len(items) - 1 for items in histories], float)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 30) * (1 - step / steps)
    )
    for _ in range(steps):
        users = random.choice(len(histories), BATCH, p=shares / shares.sum())
        places = [int(random.integers(1, len(histories[user]))) for user in users]
        targets = np.array([histories[user][place] for user, place in zip(users, places, strict=True)])
        anchors = np.array(
            [
                histories[user][random.integers(max(0, place - RECENT), place)]
                for user, place in zip(users, places, strict=True)
            ]
        )
        items = np.union1d(targets, anchors)
        of_items = vectors(encoder, tokenizer, [texts[item] for item in items])
        candidates = np.unique(targets)
        answers = np.searchsorted(candidates, targets)
        is_liked = np.stack([np.isin(candidates, histories[user]) for user in users])
        is_liked[np.arange(BATCH), answers] = False
        cosines = of_items[np.searchsorted(items, anchors)] @ of_items[np.searchsorted(items, candidates)].T
        logits = (cosines / TEMPERATURE).masked_fill(torch.from_numpy(is_liked), float("-inf"))
        optimizer.zero_grad()
        cross_entropy(logits, torch.from_numpy(answers)).backward()
        optimizer.step()
        schedule.step()


if __name__ == "__main__":
    main()
