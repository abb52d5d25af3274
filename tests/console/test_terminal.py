"""The commands as processes: what reaches terminals and pipes."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from react_ray.cli import main
from react_ray.console.terminal import command, plain, with_exit_code
from react_ray.pipeline.publish import summarise

CHINESE = "text,label\n科技 体育,体育\n财经 娱乐,财经\n"
PLAIN_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def react_ray(*words: str, env: dict[str, str] | None = None, **options: object) -> subprocess.Popen[str]:
    paths = os.pathsep.join(sys.path)
    return subprocess.Popen(
        [sys.executable, "-m", "react_ray.cli", *words],
        env={**os.environ, "PYTHONPATH": paths, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="surrogateescape",
        **options,  # type: ignore[call-overload]
    )


def shown(stream: str, encoding: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Exit code of a command, and what a terminal of this encoding gets."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, stream, io.TextIOWrapper(written, encoding=encoding))
    code = main(words)
    return code, written.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_what_a_terminal_cannot_show_is_escaped(
    encoding: str, tiny_chinese_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("labels.csv").write_text(CHINESE, encoding="utf-8")
    words = ["check", "--labeled", "labels.csv", "--model", str(tiny_chinese_model), "data.max_unknown=1"]
    code, out = shown("stdout", encoding, words, monkeypatch)
    assert code == 0
    assert r"\u4f53\u80b2: 1 labelled" in out
    summary = next((tmp_path / "out" / "cache").glob("prepare-*/summary.json"))
    assert "体育" in summary.read_text(encoding="utf-8")


def test_an_error_is_escaped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    code, err = shown("stderr", "ascii", ["run", "财经.yaml"], monkeypatch)
    assert code == 2
    assert r"\u8d22\u7ecf.yaml" in err


def test_a_locale_without_the_characters_of_a_path_is_named(tmp_path: Path) -> None:
    process = react_ray("run", "--labeled", "财经.csv", env=PLAIN_LOCALE, cwd=tmp_path)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "set PYTHONUTF8=1" in err


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run", "--nope"], ["run", "nowhere.yaml"]])
def test_a_pipe_that_closes_early_ends_a_command_quietly(words: list[str], tmp_path: Path) -> None:
    process = react_ray(*words, cwd=tmp_path)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(60) in (0, 1, 2)
    assert "Traceback" not in err
    assert "Exception ignored" not in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output_is_one_line() -> None:
    full = f"{shlex.quote(sys.executable)} -m react_ray.cli --help > /dev/full"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(full, shell=True, stderr=subprocess.PIPE, text=True, env=env, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: cannot write the output: No space left on device\n"


def test_a_file_that_cannot_be_written_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert with_exit_code(lambda: tmp_path.write_text("x")) == 1
    assert capsys.readouterr().err == f"error: {tmp_path}: Is a directory\n"


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        with_exit_code(lambda: 1 / 0)


def test_control_characters_do_not_reach_a_terminal() -> None:
    assert plain("a\x1b[31mb\rc\u202ed\n") == "a\\x1b[31mb\\rc\\u202ed\n"


@pytest.mark.parametrize(
    "path", ["/a/aus gabe #1", "/a/it's", '/a/"x"', "/a/$HOME", "/a/`id`", "/a;b", "/a/x\ny", "/a/é 财"]
)
def test_printed_commands_can_be_pasted_into_a_shell(path: str, tmp_path: Path) -> None:
    assert shlex.split(command("serve", path)) == ["react-ray", "serve", path]
    metrics = {"test": None, "validation": None, "arms": {}, "chosen": "", "why": "", "unused": 0}
    metrics["cut"] = {"rows": 4, "texts": 0.5, "tokens": 0.25, "max_length": 128, "windows": 2}
    refused = {"empty text": 2, "no label": 1}
    told = summarise(
        Path(path), {**metrics, "headline": "macro_f1", "refused": refused, "warnings": ["look at this"]}
    )
    assert command("serve", path) in told
    assert command("clean", path) in told
    assert "warning: look at this" in told
    assert "rejected: 3 rows (empty text: 2, no label: 1), see " in told
    assert "cut: 50.0% of the texts, 25.0% of their tokens, are beyond the 256 tokens" in told
