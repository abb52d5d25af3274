"""react-ray recommend build and evaluate, from files to figures."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest
from shop_of_topics import SMALL, write_files

from react_ray.apps.files import locked
from react_ray.apps.recommend.build import build, load_config
from react_ray.apps.recommend.choice import all_recommenders, chosen_of
from react_ray.apps.recommend.evaluate import evaluate
from react_ray.apps.recommend.folder import load, save
from react_ray.apps.recommend.measure import measure
from react_ray.apps.recommend.ranker import Ranked
from react_ray.cli import main
from react_ray.errors import ConfigError, InputError

CHOICES = {
    "ranker",
    "ranker_blend",
    "without_text",
    "blend",
    "item_knn",
    "als",
    "popularity",
    "text",
    "text_mapped",
}


def test_the_folder_has_figures_of_all_recommenders_and_no_pickle(built: Path) -> None:
    metrics = evaluate(built, quiet=True).metrics
    assert json.loads((built / "metrics.json").read_text(encoding="utf-8")) == metrics
    assert set(metrics["queries"]) == {"warm", "new_users", "new_items", "new_items_among_new"}
    for found in metrics["queries"].values():
        assert set(found) == {"ours", *CHOICES}
    assert metrics["test"] == metrics["queries"]["warm"]["ours"]
    assert 0 < metrics["test"]["coverage"] <= 1
    for name in ("ndcg_at_10", "hr_at_10", "mrr", "auc"):
        low, high = metrics["test"]["intervals"][name]
        assert 0 <= low <= metrics["test"][name] <= high <= 1
    assert "full ranking" in metrics["protocol"]
    assert "item neighbours" in (built / "report.html").read_text(encoding="utf-8")
    assert all(path.is_file() for path in built.iterdir())
    endings = {path.suffix for path in built.rglob("*") if path.is_file()}
    assert endings == {".json", ".jsonl", ".parquet", ".safetensors", ".txt", ".html"}
    assert lightgbm.Booster(model_file=built / "ranker.txt").num_trees() > 0


def test_the_taste_of_known_and_new_users_is_found(built: Path) -> None:
    queries = evaluate(built, quiet=True).metrics["queries"]
    for name in ("warm", "new_users"):
        # of 78 unseen items, the 18 of the topic come first; popularity knows no topics
        assert queries[name]["ours"]["auc"] > 0.8 > queries[name]["popularity"]["auc"]


def test_a_loaded_recommender_ranks_as_the_built_one(built: Path) -> None:
    recommender = load(built)
    query = recommender.split().gate()
    recommenders = all_recommenders(recommender.sources(query.train), recommender.rankers, recommender.tuned)
    found = {name: measure(query, one).values["ndcg_at_10"].mean() for name, one in recommenders.items()}
    record = json.loads((built / "build.json").read_text(encoding="utf-8"))["validation"]
    assert found == pytest.approx(record["ndcg_at_10"])
    assert set(found) == CHOICES
    assert recommender.tuned.chosen == record["chosen"]
    assert recommender.catalogue.features[:, 0].tolist() == [*range(30)] * 3
    names = recommender.rankers["without_text"].model.feature_name()
    assert not any(name.startswith("text") for name in names)


def test_new_items_have_their_places_in_the_order_of_their_texts(built: Path) -> None:
    recommender = load(built)
    split = recommender.split()
    query = split.new_items()
    sources = recommender.sources(query.train)
    liked = query.liked.part(0, 5)
    new = split.cold_items()
    mixed = chosen_of(sources, recommender.rankers, recommender.tuned.model_copy(update={"slot": 5}))
    ours, text = mixed.scores(liked), sources.simple[recommender.tuned.new_items].scores(liked)
    for user in range(5):
        assert (np.diff(ours[user, new[np.argsort(-text[user, new])]]) <= 0).all()
        places = -ours[user, new]
        assert sorted(places[places < 20]) == [4, 9, 14, 19]


def test_the_ranker_without_text_depends_on_no_text(built: Path) -> None:
    recommender = load(built)
    query = recommender.split().new_items()
    liked = query.liked.part(0, 5)
    other = replace(recommender, embeddings=recommender.embeddings[::-1])
    first, second = (
        Ranked(one.sources(query.train), one.rankers["without_text"]).scores(liked)
        for one in (recommender, other)
    )
    np.testing.assert_array_equal(first, second)


def test_texts_of_an_earlier_build_are_not_encoded_again(tmp_path: Path) -> None:
    items, log = write_files(tmp_path)
    flags = {"items": items, "interactions": log, "output": str(tmp_path / "out"), "encoder": "embedded"}
    config = load_config(["ranker.trees=3"], flags | SMALL)
    build(config, quiet=True)
    first = load(tmp_path / "out")
    save(replace(first, embeddings=first.embeddings[:, ::-1]), tmp_path / "out")
    frame = pd.read_parquet(items)
    frame.loc[0, "text"] = "something else"
    frame.to_parquet(items)
    build(config, quiet=True)
    second = load(tmp_path / "out").embeddings
    np.testing.assert_array_equal(second[1:], first.embeddings[1:, ::-1])
    assert abs(float(second[0] @ first.embeddings[0])) < 0.9


def test_a_recommender_of_another_version_is_built_again(built: Path, tmp_path: Path) -> None:
    shutil.copytree(built, tmp_path / "out")
    ranker = tmp_path / "out" / "ranker.txt"
    ranker.write_text(ranker.read_text().replace("als_rank", "rank_of_als"))
    with pytest.raises(
        InputError, match=r"made by another version \(rank_of_als\); build the recommender again"
    ):
        load(tmp_path / "out")
    config = load(built).config.model_copy(update={"output": str(tmp_path / "out")})
    build(config, quiet=True)
    assert load(tmp_path / "out").tuned == load(built).tuned


def test_too_few_interactions_for_a_ranker_are_an_error(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "items.csv").write_text("item,text\na,x\nb,y\n", encoding="utf-8")
    (tmp_path / "log.csv").write_text("user,item\nu,a\nv,b\n", encoding="utf-8")
    flags = {"items": str(tmp_path / "items.csv"), "interactions": str(tmp_path / "log.csv")}
    flags |= {"output": str(tmp_path / "out"), "encoder": str(tiny_model)}
    with pytest.raises(InputError, match="too few interactions"):
        build(load_config([], flags), quiet=True)


def test_few_candidates_leave_all_other_items_below_them(built: Path) -> None:
    recommender = load(built)
    config = recommender.config.model_copy(update={"candidates": 10})
    query = recommender.split().test()
    sources = type(recommender.sources(query.train))(
        query.train, recommender.embeddings, recommender.catalogue.features, recommender.tuned, config
    )
    liked = query.liked.part(0, 5)
    scores = Ranked(sources, recommender.rankers["ranker"]).scores(liked)
    [(_, part)] = list(sources.candidates(liked))
    assert (part.sizes(5) <= 40).all()
    assert (part.sizes(5) >= 10).all()
    for user in range(5):
        chosen = part.items[part.query == user]
        assert not set(chosen) & set(liked.user(user).tolist())
        assert scores[user, chosen].min() >= 1 > np.delete(scores[user], chosen).max()


def test_files_without_times_are_measured_by_seed(tmp_path: Path, tiny_model: Path) -> None:
    items, log = write_files(tmp_path, timed=False)
    flags = {"items": items, "interactions": log, "output": str(tmp_path / "out"), "encoder": str(tiny_model)}
    build(load_config(["seed=3"], flags | SMALL | {"cold_share": 0}), quiet=True)
    metrics = evaluate(tmp_path / "out", quiet=True).metrics
    assert "drawn with seed 3" in metrics["protocol"]
    assert set(metrics["queries"]) == {"warm"}


def test_the_command_line_names_rejected_rows(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items, log = write_files(tmp_path)
    with open(log, "a", encoding="utf-8") as file:  # noqa: PTH123
        file.write("u1,nothing,5\n")
    out = str(tmp_path / "out")
    words = ["--items", items, "--interactions", log, "--output", out, f"encoder={tiny_model}", "--quiet"]
    words += [f"{key}={value}" for key, value in SMALL.items()]
    assert main(["recommend", "build", *words, "ranker.trees=5"]) == 0
    assert "rejected interactions: 1 rows (unknown item: 1)" in capsys.readouterr().out
    [refused] = [json.loads(line) for line in (Path(out) / "refused.jsonl").read_text().splitlines()]
    assert refused["row"] == 90 * 12 + 1
    assert main(["recommend", "evaluate", out, "--quiet"]) == 0
    shown = capsys.readouterr().out
    assert "NDCG@10" in shown
    assert "protocol:" in shown


def test_a_build_and_forget_wait_for_each_other(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    shutil.copytree(built, folder)
    with locked(folder):
        assert main(["recommend", "forget", str(folder), "u0"]) == InputError.exit_code
        assert "another command is changing it" in capsys.readouterr().err
        config = load(folder).config.model_copy(update={"items": "nowhere.csv", "output": str(folder)})
        with pytest.raises(InputError, match="another command"):
            build(config, quiet=True)  # before it reads
    assert main(["recommend", "forget", str(folder), "u0"]) == 0


def test_errors_say_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", "evaluate", str(tmp_path)]) == InputError.exit_code
    assert "react-ray recommend build" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="candidate_count"):
        load_config(["candidate_count=5"], {"items": "a", "interactions": "b"})
    assert main(["recommend", "build", "--items", "a.csv"]) == ConfigError.exit_code
    assert "interactions" in capsys.readouterr().err
