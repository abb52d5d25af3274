from __future__ import annotations

from pathlib import Path

import pytest
from tiny_opinions import save_classifier


@pytest.fixture(scope="session")
def opinions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier: a text 'bad' is negative, 'good' positive."""
    return save_classifier(tmp_path_factory.mktemp("opinions"), {"good": "positive", "bad": "negative"})


@pytest.fixture(scope="session")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of topics of the same texts."""
    return save_classifier(tmp_path_factory.mktemp("subjects"), {"good": "praise", "bad": "complaint"})
