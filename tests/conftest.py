from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from benchmarks.tiny_model import save_tiny_model

settings.register_profile("steady", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("steady")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models: a second thread only waits for the first

CHINESE = (
    "科技体育财经娱乐股市上涨下跌比赛球队冠军手机电脑软件电影"
    "明星歌手导演银行基金投资联赛进球新发布公司今日的了在是不大"
)


@pytest.fixture(scope="session")
def make_tiny_model() -> Callable[..., Path]:
    """For tests that need a vocabulary of their own."""
    return save_tiny_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """English: lower-case letters and pieces of them, so that no word is unknown."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'-&:;()/\"$%"
    pieces = [*letters, *(f"##{c}" for c in letters)]
    return save_tiny_model(tmp_path_factory.mktemp("tiny-en"), pieces)


@pytest.fixture(scope="session")
def tiny_chinese_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny-zh"), list(CHINESE))


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One Ray on this machine for the whole session; a test that asks for it is slow."""
    import ray

    from react_ray.serve.limits.edge import VARIABLES

    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # workers import loops that tests define
    os.environ.update(VARIABLES)
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of the service last: its replicas hold cores of the shared cluster until the end."""
    items.sort(key=lambda item: "serve" in Path(item.path).parts)
