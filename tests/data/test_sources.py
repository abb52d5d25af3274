from __future__ import annotations

import gzip
from dataclasses import asdict
from pathlib import Path

import pytest

from react_ray.data.lines import read_lines
from react_ray.data.sources import Source, filesystem_of, find_files, fingerprint, open_source
from react_ray.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "b.csv",
        "a.csv",
        "notes.md",
        "deep/c.jsonl",
        "deep/er/d.parquet",
        ".hidden.csv",
        "_temporary/e.csv",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text,label\na,b\n")
    return tmp_path


def names(given: str | Path, folder: Path) -> list[str]:
    return [str(Path(source.path).relative_to(folder)) for source in find_files(str(given))]


def test_a_folder_means_all_readable_files_in_it_sorted(folder: Path) -> None:
    assert names(folder, folder) == ["a.csv", "b.csv", "deep/c.jsonl", "deep/er/d.parquet"]


def test_a_glob_matches_like_a_shell_does(folder: Path) -> None:
    assert names(folder / "*.csv", folder) == ["a.csv", "b.csv"]
    assert names(folder / "[!a].csv", folder) == ["b.csv"]
    assert names(folder / "d*/*", folder) == ["deep/c.jsonl"]
    assert names(folder / "**/?.*", folder) == ["a.csv", "b.csv", "deep/c.jsonl", "deep/er/d.parquet"]


def test_a_uri_means_the_same_as_the_path(folder: Path) -> None:
    assert names(f"file://{folder}/a.csv", folder) == ["a.csv"]
    assert names(f"file://{folder}", folder) == names(folder, folder)
    assert names(f"file://{folder}/*.csv", folder) == ["a.csv", "b.csv"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "part[1].csv").write_text("text\na\n")
    (tmp_path / "part1.csv").write_text("text\na\n")
    assert names(tmp_path / "part[1].csv", tmp_path) == ["part[1].csv"]


def test_relative_paths_stay_relative_and_can_be_opened_from_elsewhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    [source] = find_files("deep/c.jsonl")
    assert source.path == "deep/c.jsonl"
    monkeypatch.chdir("/")
    assert Source(**asdict(source)).open_unpacked().read() == b"text,label\na,b\n"


@pytest.mark.parametrize(
    ("name", "kind", "tabs"),
    [
        ("a.csv", "csv", False),
        ("A.TSV.GZ", "csv", True),
        ("a.ndjson", "jsonl", False),
        ("a.parquet", "parquet", False),
    ],
)
def test_the_ending_tells_the_kind(name: str, kind: str, tabs: bool) -> None:
    source = Source(name, "", name)
    assert (source.kind, source.is_tsv) == (kind, tabs)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("nowhere.csv", "no such file or folder"),
        ("nowhere/*.csv", "no file to read"),
        ("notes.md", "unknown file extension, expected .csv"),
        ("deep/er/*.csv", "it is empty"),
        ("notes.*", "it has: notes.md"),
        ("gs:/x.csv", "no such file"),
        ("nothing://x/y.csv", "cannot be read"),
    ],
)
def test_an_input_that_is_not_there_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, given: str, told: str
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match=told) as error:
        find_files(given)
    assert given in str(error.value)


@pytest.mark.parametrize(("name", "told"), [("a.pdf", "expected .csv"), ("a.xlsx", "save it as CSV UTF-8")])
def test_common_wrong_endings_come_with_the_fix(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(InputError, match=told):
        find_files(str(tmp_path / name))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf16_is_refused_with_the_fix(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("text,label\n今日股市大涨,finance\nhello,greeting\n".encode(encoding))
    with pytest.raises(InputError, match="convert it to UTF-8"):
        open_source(str(path)).open_unpacked()


@pytest.mark.parametrize(
    "content",
    [
        bytes(range(256)) * 20,
        b"\0" * 500,
        b"PK\x03\x04 spreadsheet",
        b"PAR1 rows",
        gzip.compress(b"text", mtime=0),
    ],
)
def test_binary_content_is_refused_whatever_the_ending(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.jsonl is .*(binary|UTF-16)"):
        open_source(str(path)).open_unpacked()


def test_text_in_another_8_bit_encoding_is_not_taken_for_binary(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("text,label\n今日股市大涨,财经\n".encode("gbk"))
    assert "\udcbd" in list(read_lines(open_source(str(path)).open_unpacked()))[1]


def test_a_character_across_the_end_of_the_inspected_head_is_fine(tmp_path: Path) -> None:
    for shift in range(3):
        path = tmp_path / "a.csv"
        path.write_bytes(b"x" * shift + "涨涨\x02涨".encode() * 10_000)
        assert open_source(str(path)).open_unpacked().read().decode().count("涨") == 30_000


def test_the_fingerprint_follows_the_content_not_the_time(folder: Path) -> None:
    before = fingerprint(str(folder))
    (folder / "a.csv").write_text("text,label\na,b\n")
    assert fingerprint(str(folder)) == before
    (folder / "a.csv").write_text("text,label\na,c\n")
    changed = fingerprint(str(folder))
    assert [new for new, old in zip(changed, before, strict=True) if new != old] == [changed[0]]
    assert len(fingerprint(str(folder / "notes.md"))) == 1


def test_files_behind_a_uri_that_is_not_this_machine() -> None:
    remote = filesystem_of("mock:///bucket")
    remote.create_dir("bucket/deep")
    for name, content in {"b.csv": b"text\nb\n", "a.csv": b"text\na\n", "deep/c.jsonl": b"{}"}.items():
        with remote.open_output_stream(f"bucket/{name}") as file:
            file.write(content)
    paths = ["mock://bucket/a.csv", "mock://bucket/b.csv", "mock://bucket/deep/c.jsonl"]
    found = find_files("mock:///bucket")
    assert [source.path for source in found] == paths
    assert [source.path for source in find_files("mock:///bucket/*.csv")] == paths[:2]
    assert Source(**asdict(found[0])).open_unpacked().read() == b"text\na\n"
    assert found[1].size() == 7
    assert [path for path, _ in fingerprint("mock:///bucket/*.csv")] == paths[:2]
