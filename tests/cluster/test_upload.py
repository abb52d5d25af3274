"""What travels with a job: code and settings, and no data, junk or secrets."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from react_ray.cluster import upload
from react_ray.cluster.upload import EXCLUDES, check_size, check_words, files_to_send
from react_ray.errors import InputError

KEPT = ["run.yaml", "labels.yaml", "code/part.py", "notes.md"]
LEFT = [
    ".env",
    ".git/config",
    ".venv/lib/x.so",
    ".ssh/id_ed25519",
    "server.pem",
    "out/report.html",
    "build/lib/a.py",
    "code/__pycache__/part.pyc",
    "labels.csv",
    "pile/part.parquet",
    "model/model.safetensors",
    "ignored.txt",
    "code/own.txt",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in [*KEPT, *LEFT]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    (tmp_path / ".gitignore").write_text("ignored.txt\n")
    (tmp_path / "code" / ".rayignore").write_text("own.txt\n")
    return tmp_path


def test_code_and_settings_travel_and_nothing_else(folder: Path) -> None:
    assert files_to_send(folder) == dict.fromkeys(KEPT, 4)


def test_what_is_counted_is_what_ray_packs(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    from ray._private.runtime_env.packaging import create_package

    package = tmp_path_factory.mktemp("package") / "package.zip"
    create_package(str(folder), package, include_gitignore=True, excludes=list(EXCLUDES))
    packed = {name for name in zipfile.ZipFile(package).namelist() if not name.endswith("/")}
    assert packed == set(files_to_send(folder))


def test_a_folder_that_is_too_large_is_refused_with_its_largest_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "video.mp4").write_bytes(b"0" * 2_000_000)
    assert check_size(folder, files_to_send(folder)) == "5 files, 2.0 MB"
    monkeypatch.setattr(upload, "MAX_BYTES", 1_000_000)
    with pytest.raises(
        InputError, match=r"(?s)5 files, 2.0 MB.*2.0 MB  video.mp4.*\.rayignore.*--working-dir"
    ):
        check_size(folder, files_to_send(folder))


def test_a_folder_that_leads_back_into_itself_ends(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "code" / "back").symlink_to(folder)
    monkeypatch.setattr(upload, "MAX_FILES", 30)
    with pytest.raises(InputError, match="more than 30 files"):
        check_size(folder, files_to_send(folder))


@pytest.mark.parametrize(
    "word",
    ["labels.csv", "--labeled=labels.csv", "data.labeled=./labels.csv", "pile", "pile/*.parquet", "../{}"],
)
def test_a_word_for_a_file_that_stays_here_is_refused(folder: Path, word: str) -> None:
    word = word.format(folder.name + "/labels.csv")
    with pytest.raises(InputError, match="storage that every node"):
        check_words(folder, files_to_send(folder), ["--labeled", word])


def test_words_for_what_travels_or_lies_on_the_cluster_are_taken(folder: Path) -> None:
    words = [
        "run.yaml",
        "--labels",
        "labels.yaml",
        "/mnt/data/labels.csv",
        "s3://bucket/labels.csv",
        "seed=1",
    ]
    check_words(folder, files_to_send(folder), [*words, "a {} word" * 100, "code/part.py", "nowhere.csv"])


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--working-dir .*no such folder"):
        files_to_send(tmp_path / "nowhere")
