from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def marks_model(tmp_path_factory: pytest.TempPathFactory, make_tiny_model: Callable[..., Path]) -> Path:
    """A tiny model whose vocabulary has the signs that mark entities, as real ones have."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,*#"
    return make_tiny_model(tmp_path_factory.mktemp("marks"), [*letters, *(f"##{c}" for c in letters)])
