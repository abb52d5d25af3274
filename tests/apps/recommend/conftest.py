from __future__ import annotations

from pathlib import Path

import pytest
from shop_of_topics import SMALL, write_files

from react_ray.apps.recommend.build import build, load_config


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A built recommender; tests that change it copy it."""
    folder = tmp_path_factory.mktemp("recommend")
    items, log = write_files(folder)
    flags = {"items": items, "interactions": log, "output": str(folder / "out"), "encoder": str(tiny_model)}
    build(load_config(["features=[price]", "filters=[price,topic]"], flags | SMALL), quiet=True)
    return folder / "out"
