"""An assistant of a small shop, built once."""

from __future__ import annotations

from pathlib import Path

import pytest
from shop import write_files

from react_ray.cli import main


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """Folder with the files of a shop, and its assistant in out/; tests that change it work on a copy."""
    folder = tmp_path_factory.mktemp("assist")
    write_files(folder)
    words = ["assist", "build", "precision=0.8", f"encoder={tiny_model}", "--quiet"]
    for name in ("history.csv", "templates.yaml", "docs", "out"):
        option = {"out": "--output", "docs": "--documents"}.get(name, f"--{name.partition('.')[0]}")
        words += [option, str(folder / name)]
    assert main(words) == 0
    return folder
