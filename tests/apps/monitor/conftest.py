from __future__ import annotations

from pathlib import Path

import pytest
from tiny_opinions import make_items, save_classifier, write_jsonl

from react_ray.apps.monitor.run import load_config, run


@pytest.fixture(scope="session")
def opinions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier: a text 'bad' is negative, 'good' positive."""
    return save_classifier(tmp_path_factory.mktemp("opinions"), {"good": "positive", "bad": "negative"})


@pytest.fixture(scope="session")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of topics of the same texts."""
    return save_classifier(tmp_path_factory.mktemp("subjects"), {"good": "praise", "bad": "complaint"})


@pytest.fixture(scope="session")
def filled(opinions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 60 days; a surge on the last ones."""
    folder = tmp_path_factory.mktemp("filled")
    items = make_items(60, per_day=8)
    items += [
        {"id": f"surge-{day}-{number}", "text": "bad", "time": f"2024-02-{day}T12:00:00Z", "source": "forum"}
        for day in range(24, 28)
        for number in range(15)
    ]
    path = write_jsonl(folder / "in.jsonl", sorted(items, key=lambda item: item["time"]))
    config = load_config((), {"sentiment": str(opinions), "surge": {"history": 28, "simulations": 40}})
    run(config, path, folder / "store", until_end=True, quiet=True)
    return folder / "store"
