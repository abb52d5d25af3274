"""Build a recommender from files of items and interactions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from react_ray import choose_encoder, encode
from react_ray.apps.recommend.features import Sources, without_text
from react_ray.apps.recommend.folder import Built, save, write_json
from react_ray.apps.recommend.interactions import Interactions
from react_ray.apps.recommend.measure import measure
from react_ray.apps.recommend.ranker import Ranked, Ranker, Rows, join_rows, training_rows
from react_ray.apps.recommend.read import Catalogue, Liked, Rejected, read_interactions, read_items
from react_ray.apps.recommend.settings import RecommendConfig, Tuned
from react_ray.apps.recommend.split import Query, Split
from react_ray.apps.recommend.tuning import some_users, tune
from react_ray.config.file import load_settings
from react_ray.console.reporter import Progress, Reporter, quiet_libraries
from react_ray.folders import remove_folder, replace_file

__all__ = ["BuildResult", "build", "load_config"]


@dataclass(frozen=True)
class BuildResult:
    """Result of a build: its folder, and what was read, chosen and measured on validation users."""

    folder: Path
    record: Mapping[str, Any]

    def summary(self) -> str:
        """Summarize the result in a few lines."""
        counts, found = self.record["counts"], self.record["validation"]
        lines = [
            f"items: {counts['items']:,}, {counts['items_without_text']:,} without text; users: "
            f"{counts['users']:,}; interactions: {counts['interactions']:,}, {counts['liked']:,} liked",
            *(
                f"rejected {name}: {sum(kinds.values()):,} rows ("
                + ", ".join(f"{kind}: {count:,}" for kind, count in kinds.items())
                + f"), see {self.folder / 'refused.jsonl'}"
                for name, kinds in self.record["rejected"].items()
                if kinds
            ),
            f"encoder: {self.record['encoder']}",
            f"validation NDCG@10: {found['ours']:.4f}, without text {found['without_text']:.4f} "
            "(the number of trees was chosen on these users)",
            f"recommender: {self.folder}   (react-ray recommend evaluate {self.folder})",
        ]
        return "\n".join(lines)


def load_config(overrides: Iterable[str], flags: Mapping[str, Any]) -> RecommendConfig:
    """Load the settings of a build: ``key=value``, then flags by dotted key. Raises ConfigError."""
    return load_settings(RecommendConfig, overrides, flags)


def build(config: RecommendConfig, *, verbose: bool = False, quiet: bool = False) -> BuildResult:
    """Read the files, encode the items, train the ranker, and write the folder ``config.output``.

    Raises InputError where the files cannot be used.
    """
    quiet_libraries(verbose)
    reporter, folder = Reporter(quiet), Path(config.output).expanduser()
    with reporter.step("read"):
        catalogue, bad_items = read_items(config.items, config.columns, config.features, config.filters)
        liked = Liked(config.events, config.min_rating)
        interactions, users, bad_rows = read_interactions(
            config.interactions, config.columns, catalogue.ids, liked, config.seed, config.keep_days
        )
    with reporter.step("encode") as progress:
        config, embeddings = _encode(config, catalogue, folder, progress)
    with reporter.step("tune"):
        split = Split(interactions, config.cold_share, config.seed)
        validation = some_users(split.validation(), config.ranker.users, config.seed)
        tuned = tune(validation, config.ranker.users, config.seed) if len(validation) else Tuned()
    with reporter.step("train"):
        made = _train(config, tuned, catalogue, embeddings, split)
    built = Built(config, tuned, catalogue, embeddings, interactions, users, made[0])
    rejected = {"items": bad_items, "interactions": bad_rows}
    record = {
        "counts": _counts(catalogue, interactions),
        "rejected": {name: dict(one.kinds) for name, one in rejected.items()},
        "encoder": config.encoder,
        "tuned": tuned.model_dump(mode="json"),
        "validation": made[1],
        "features": made[0]["ours"].gains(),
    }
    save(built, folder)
    replace_file(folder / "refused.jsonl", lambda path: _write_rejected(rejected, path), private=True)
    replace_file(folder / "build.json", lambda path: write_json(path, record))
    return BuildResult(folder, record)


def _encode(
    config: RecommendConfig, catalogue: Catalogue, folder: Path, progress: Progress
) -> tuple[RecommendConfig, NDArray[np.float32]]:
    """Return the settings with the encoder that is used, and the embeddings: zeros for items without text."""
    with_text = [place for place, text in enumerate(catalogue.texts) if text]
    if not with_text:
        return config, np.zeros((len(catalogue.ids), 1), np.float32)
    texts = [catalogue.texts[place] for place in with_text]
    config = config.model_copy(update={"encoder": choose_encoder(texts, config.encoder)})
    found = encode(
        texts,
        config.encoder,
        max_length=config.max_length,
        folder=folder / "cache",
        cluster=config.cluster,
        progress=progress,
    )
    remove_folder(folder / "cache")
    embeddings = np.zeros((len(catalogue.ids), found.shape[1]), np.float32)
    embeddings[with_text] = found
    return config, embeddings


def _train(
    config: RecommendConfig,
    tuned: Tuned,
    catalogue: Catalogue,
    embeddings: NDArray[np.float32],
    split: Split,
) -> tuple[dict[str, Ranker], dict[str, float]]:
    """Return the rankers with and without text, and their NDCG@10 on the users who tell where to stop."""

    def prepare(query: Query) -> tuple[Sources, Rows]:
        sources = Sources(query.train, embeddings, catalogue.features, tuned, config)
        return sources, training_rows(query, sources, config.ranker.users, config.seed)

    stopping = some_users(split.early_stopping(), config.ranker.users, config.seed)
    sources, stop_rows = prepare(stopping)
    rows = join_rows([prepare(query)[1] for query in split.ranker()])
    stop_rows = stop_rows if len(stop_rows.labels) else rows
    names = sources.names()
    columns = {"ours": list(range(len(names))), "without_text": without_text(names)}
    rankers = {
        name: Ranker.fit(rows, stop_rows, names, kept, config.ranker, config.seed)
        for name, kept in columns.items()
    }
    scores = {
        name: measure(stopping, Ranked(sources, ranker), config.seed).values["ndcg_at_10"].mean()
        for name, ranker in rankers.items()
    }
    return rankers, {name: float(score) for name, score in scores.items()}


def _counts(catalogue: Catalogue, interactions: Interactions) -> dict[str, int]:
    return {
        "items": len(catalogue.ids),
        "items_without_text": catalogue.texts.count(""),
        "users": interactions.user_count,
        "interactions": len(interactions),
        "liked": int(interactions.positive.sum()),
    }


def _write_rejected(rejected: Mapping[str, Rejected], path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for name, one in rejected.items():
            for row in one.rows:
                file.write(json.dumps({"input": name} | row, ensure_ascii=False) + "\n")
            left = Counter(one.kinds).total() - len(one.rows)
            if left > 0:
                more = {"input": name, "reason": f"and {left:,} more rows"}
                file.write(json.dumps(more) + "\n")
