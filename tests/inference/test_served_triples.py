"""A saved entity model and a saved relation model, as they are served together."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path

import pytest
from tiny_tagger import save_relations, save_tagger

from react_ray import InputError, load_triples
from react_ray.config.file import load_serve_config
from react_ray.config.service import ServeConfig
from react_ray.inference.inputs import parse_input
from react_ray.serve.deploy import serve_config
from react_ray.serve.models import with_relations
from react_ray.serve.service import Service

TEXT = "Ada lives in Paris, and ada likes Rome."


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    return save_tagger(folder / "tagger"), save_relations(folder / "relations")


def test_a_saved_pair_of_models_is_served(folders: tuple[Path, Path]) -> None:
    settings = load_serve_config((), {"relations": str(folders[1])})
    service = Service.load(str(folders[0]), with_relations({"": folders[0]}, settings), 1)
    (expected,) = load_triples(*folders).predict([TEXT])
    assert expected
    (found,) = asyncio.run(service.triples([service._engine.model.row(TEXT)]))
    assert found == [pytest.approx(asdict(one)) for one in expected]


def test_the_relation_model_and_its_version_are_told_to_replicas(folders: tuple[Path, Path]) -> None:
    models = {"": folders[0]}
    config = with_relations(models, ServeConfig(relations=str(folders[1])))
    (application,) = serve_config(models, config)["applications"]
    assert application["args"]["relations"] == str(folders[1].resolve())
    assert application["args"]["relations_version"] == config.relations_version is not None


def test_a_replica_loads_no_other_model(folders: tuple[Path, Path]) -> None:
    tagger, relations = map(str, folders)
    with pytest.raises(InputError, match="version"):
        Service.load(tagger, ServeConfig(relations=relations, relations_version="another"), 1)
    with pytest.raises(InputError, match="the entity model"):
        Service.load(relations, ServeConfig(relations=relations), 1)
    with pytest.raises(InputError, match="the relation model"):
        Service.load(tagger, ServeConfig(relations=tagger), 1)


def test_models_of_the_wrong_kind_and_lists_of_models_are_refused(folders: tuple[Path, Path]) -> None:
    tagger, relations = folders
    with pytest.raises(InputError, match=r"the relation model .* is one for token classification"):
        with_relations({"": tagger}, ServeConfig(relations=str(tagger)))
    with pytest.raises(InputError, match=r"the entity model .* is one for relation extraction"):
        with_relations({"": relations}, ServeConfig(relations=str(relations)))
    with pytest.raises(InputError, match="not with a list"):
        with_relations({"a": tagger}, ServeConfig(relations=str(relations)))
    assert with_relations({"a": tagger}, ServeConfig()).relations is None


def test_a_relation_model_is_served_alone_though_a_text_without_marks_is_no_input(
    folders: tuple[Path, Path],
) -> None:
    service = Service.load(str(folders[1]), ServeConfig(), 1)
    row = parse_input(service.task, "<e1>Ada</e1> likes <e2>Rome</e2>")

    async def ask() -> tuple[bool, list[list[dict[str, object]]]]:
        return await service.ready(), await service.predict([row])

    ready, (answer,) = asyncio.run(ask())
    assert ready
    assert {entry["label"] for entry in answer} == set(service.labels)
