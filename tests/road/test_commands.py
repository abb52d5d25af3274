"""Exit codes and words of the command line; what is found out before any training."""

from __future__ import annotations

from importlib import util
from pathlib import Path

import pytest

from react_ray.cli import main
from react_ray.version import __version__


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--version"], 0, [__version__]),
        (["--help"], 0, ["run", "demo", "check", "predict", "serve", "submit", "clean"]),
        (["run"], 2, ["--labeled"]),
        (["run", "--labeled", "nowhere.csv"], 2, ["nowhere.csv"]),
        (["run", "--labeled", "x.csv", "finetune.lrr=1"], 2, ["finetune.lr"]),
        (["run", "--labeled", "x.csv", "--output", "s3://bucket/out"], 2, ["s3://bucket/out", "file system"]),
        (["run", "--labeled", "x.csv", "--until", "nothing"], 2, ["nothing", "encode"]),
        (["run", "--nope"], 2, ["--nope"]),
        (["run", "one.yaml", "two.yaml"], 2, ["one.yaml", "two.yaml"]),
        (["run", "--labeled", "a.csv", "b.csv", "c.csv"], 2, ["--labeled takes one", "2 more", "'*.csv'"]),
        (["check", "--unlabeled", "d/a.csv", "d/b.csv"], 2, ["--unlabeled takes one", "'d/*.csv'"]),
        (["predict", "out", "--input", "a.csv", "b.csv", "--output", "c.csv"], 2, ["--input takes one"]),
        (["run", "--labeled", "--unlabeled", "x.csv"], 2, ["--labeled needs a value", "--unlabeled follows"]),
        (["predict", "out", "--input", "--output", "x.csv"], 2, ["--input needs a value"]),
        (["run", "a.csv"], 2, ["a.csv: pass data with --labeled"]),
        (["clean", "a", "https://u:SECRET@h/x"], 2, ["https://***@h/x"]),
        (["suggest", "nowhere"], 2, ["nowhere", "not a finished run"]),
        (["suggest", "nowhere", "--output", "s3://bucket/a.csv"], 2, ["s3://bucket/a.csv", "file system"]),
        (["suggest", "nowhere", "--count", "0"], 2, ["--count"]),
        (["demo", "--labels-per-class", "0"], 2, ["labels-per-class"]),
        (["serve", "nowhere"], 2, ["nowhere"]),
        (["serve", "nowhere", "--port", "70000"], 2, ["--port", "65535"]),
        (["serve", "nowhere", "--replicas", "0"], 2, ["--replicas"]),
        (["serve", "nowhere", "max_text=64"], 2, ["unknown setting 'max_text'", "'max_texts'"]),
        (["serve", "nowhere", "port=0", "--port", "8001"], 2, ["nowhere"]),
    ],
)
def test_exit_codes_and_messages(
    arguments: list[str],
    code: int,
    words: list[str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == code
    printed = capsys.readouterr()
    assert all(word in printed.out + printed.err for word in words)
    assert "Traceback" not in printed.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text,label\na,x\nb,x\n", ["there is only one class, 'x': at least two are needed"]),
        ("text,label\n", ["--labeled: none of its rows is usable", "1 × empty file", "labeled.csv)"]),
        (
            "body,label\na,x\n",
            ["labeled.csv has no column 'text' (it has: 'body', 'label'); name it with --text-column"],
        ),
        ("text,text,label\na,b,x\n", ["labeled.csv has 2 columns 'text'; rename all but one"]),
        (
            "text,label\n,x\n ,y\n",
            ["--labeled: none of its rows is usable", "2 × empty text", "labeled.csv, row 1)"],
        ),
    ],
)
def test_unusable_data_is_an_error_before_training(
    content: str, words: list[str], tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "labeled.csv"
    file.write_text(content)
    output = tmp_path / "out"
    assert main(["run", "--labeled", str(file), "--model", str(tiny_model), "--output", str(output)]) == 2
    error = capsys.readouterr().err
    assert all(word in error for word in words)
    assert not list((output / "cache").glob("encode-*"))


def test_a_package_that_the_settings_need_is_missed_before_the_work(
    files: dict[str, Path],
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == "peft" else found(name))
    arguments = [
        "run",
        "finetune.lora_rank=4",
        "--labeled",
        str(files["labeled"]),
        "--model",
        str(tiny_model),
    ]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 2
    assert "peft is not installed: finetune.lora_rank needs it" in capsys.readouterr().err
    assert not list((tmp_path / "out" / "cache").glob("prepare-*"))


def test_check_counts_and_estimates_without_training(
    files: dict[str, Path], word_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    arguments = ["check", "--quiet", "--model", str(word_model), "--output", str(output)]
    for name, path in files.items():
        arguments += [f"--{name}", str(path)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "12 labeled" in printed
    assert "120 unlabeled" in printed
    assert "rejected: 3" in printed
    assert "minutes" in printed
    assert not list((output / "cache").glob("encode-*"))
