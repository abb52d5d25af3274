"""Build a recommender from files of items and interactions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from react_ray import InputError, choose_encoder, encode
from react_ray.apps.files import locked, write_rejected
from react_ray.apps.recommend.choice import choose, choose_slot, choose_text, chosen_of, tune_blend
from react_ray.apps.recommend.features import Sources, without_text
from react_ray.apps.recommend.folder import Built, load, save, write_json
from react_ray.apps.recommend.interactions import Interactions
from react_ray.apps.recommend.ranker import (
    RANKER,
    WITHOUT_TEXT,
    Ranker,
    Rows,
    join_rows,
    training_rows,
)
from react_ray.apps.recommend.read import Catalogue, Liked, read_interactions, read_items
from react_ray.apps.recommend.settings import RecommendConfig, Tuned
from react_ray.apps.recommend.split import Query, Split
from react_ray.apps.recommend.text_map import fit_text_map
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
        counts, validation = self.record["counts"], self.record["validation"]
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
            f"chosen: {validation['chosen']}; NDCG@10 of {validation['users']:,} validation users: "
            + ", ".join(f"{name} {value:.4f}" for name, value in _in_order(validation["ndcg_at_10"]))
            + (f"; one place of {validation['slot']} is for a new item" if validation["slot"] else ""),
            f"recommender: {self.folder}   (react-ray recommend evaluate {self.folder})",
        ]
        return "\n".join(lines)


def load_config(overrides: Iterable[str], flags: Mapping[str, Any]) -> RecommendConfig:
    """Load the settings of a build: ``key=value``, then flags by dotted key. Raises ConfigError."""
    return load_settings(RecommendConfig, overrides, flags)


def build(config: RecommendConfig, *, verbose: bool = False, quiet: bool = False) -> BuildResult:
    """Read the files, encode the items, train the ranker, and write the folder ``config.output``.

    Raises InputError where the files cannot be used, or another command is changing the folder.
    """
    quiet_libraries(verbose)
    folder = Path(config.output).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        return _build(config, folder, Reporter(quiet))


def _build(config: RecommendConfig, folder: Path, reporter: Reporter) -> BuildResult:
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
        rankers, tuned, figures = _train(config, tuned, catalogue, embeddings, split)
        text_map = fit_text_map(embeddings, interactions, config.seed)
    built = Built(config, tuned, catalogue, embeddings, text_map, interactions, users, rankers)
    rejected = {"items": bad_items, "interactions": bad_rows}
    record = {
        "counts": _counts(catalogue, interactions),
        "rejected": {name: dict(group.kinds) for name, group in rejected.items()},
        "encoder": config.encoder,
        "tuned": tuned.model_dump(mode="json"),
        "validation": figures,
        "features": rankers[RANKER].gains(),
    }
    save(built, folder)
    replace_file(folder / "refused.jsonl", lambda path: write_rejected(rejected, path), private=True)
    replace_file(folder / "build.json", lambda path: write_json(path, record))
    return BuildResult(folder, record)


def _encode(
    config: RecommendConfig, catalogue: Catalogue, folder: Path, progress: Progress
) -> tuple[RecommendConfig, NDArray[np.float32]]:
    """Return the settings with the encoder that is used, and the embeddings: zeros for items without text.

    Texts that the recommender in ``folder`` has embeddings of are not encoded again.
    """
    texts = list(dict.fromkeys(filter(None, catalogue.texts)))
    if not texts:
        return config, np.zeros((len(catalogue.ids), 1), np.float32)
    config = config.model_copy(update={"encoder": choose_encoder(texts, config.encoder)})
    known_embeddings = _earlier_embeddings(folder, config)
    new = [text for text in texts if text not in known_embeddings]
    encoded = encode(
        new,
        config.encoder,
        max_length=config.max_length,
        folder=folder / "cache",
        cluster=config.cluster,
        progress=progress,
    )
    remove_folder(folder / "cache")
    known_embeddings |= dict(zip(new, encoded, strict=True))
    embeddings = np.zeros((len(catalogue.ids), len(known_embeddings[texts[0]])), np.float32)
    for place, text in enumerate(catalogue.texts):
        if text:
            embeddings[place] = known_embeddings[text]
    return config, embeddings


def _earlier_embeddings(folder: Path, config: RecommendConfig) -> dict[str, NDArray[np.float32]]:
    """Return embeddings by text from an earlier build with the same encoder, unless it is a folder."""
    try:
        built = load(folder)
    except InputError:  # nothing there, or from another version
        return {}
    same = (built.config.encoder, built.config.max_length) == (config.encoder, config.max_length)
    if not same or Path(config.encoder).exists():  # a folder may hold another model by now
        return {}
    return {text: row for text, row in zip(built.catalogue.texts, built.embeddings, strict=True) if text}


def _in_order(values: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(values.items(), key=lambda pair: -pair[1])


def _train(
    config: RecommendConfig,
    tuned: Tuned,
    catalogue: Catalogue,
    embeddings: NDArray[np.float32],
    split: Split,
) -> tuple[dict[str, Ranker], Tuned, dict[str, Any]]:
    """Return the rankers with and without text, what is chosen, and the validation figures of the choice."""

    def fit(train: Interactions) -> Sources:
        return Sources(train, embeddings, catalogue.features, tuned, config)

    def rows_of(query: Query, sources: Sources) -> Rows:
        return training_rows(query, sources, config.ranker.users, config.seed)

    seed, stopping, gate = config.seed, split.early_stopping(), split.gate()
    sources = fit(stopping.train)
    rows = join_rows([rows_of(query, fit(query.train)) for query in split.ranker()])
    stop_rows = rows_of(some_users(stopping, config.ranker.users, seed), sources)
    stop_rows = stop_rows if len(stop_rows.labels) else rows
    names = sources.names()
    rankers = {
        name: Ranker.fit(rows, stop_rows, names, columns, config.ranker, seed)
        for name, columns in ((RANKER, list(range(len(names)))), (WITHOUT_TEXT, without_text(names)))
    }
    gate = gate if len(gate) else stopping
    blend_users = np.setdiff1d(split.validation().targets.users, gate.targets.users)
    blend = tune_blend(split.validation().among(blend_users), sources, seed)
    tuned = tuned.model_copy(update={"blend": blend})
    chosen, values = choose(gate, sources, rankers, tuned, seed)
    tuned = tuned.model_copy(update={"chosen": chosen})
    queries = split.with_new_items()
    without_new = fit(queries[0].train)
    tuned = tuned.model_copy(update={"new_items": choose_text(queries[1], without_new, seed)})
    with_new = chosen_of(without_new, rankers, tuned)
    slot, slots = choose_slot(queries, with_new, without_new, config.new_share, seed)
    figures = {"users": len(gate), "ndcg_at_10": values, "chosen": chosen, "slot": slot, "slots": slots}
    return rankers, tuned.model_copy(update={"slot": slot}), figures


def _counts(catalogue: Catalogue, interactions: Interactions) -> dict[str, int]:
    return {
        "items": len(catalogue.ids),
        "items_without_text": catalogue.texts.count(""),
        "users": interactions.user_count,
        "interactions": len(interactions),
        "liked": int(interactions.positive.sum()),
    }
