from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from react_ray.config.file import load_config, load_serve_config
from react_ray.config.problems import settings_of
from react_ray.config.settings import Config
from react_ray.config.yaml_text import parse_yaml, read_yaml
from react_ray.data.label_file import read_label_file
from react_ray.errors import InputError
from react_ray.serve.models import models_of
from react_ray.tune.space import find_space

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{after}: &{after} [{','.join([f'*{name}'] * 9)}]\n"
    for name, after in zip("abcdefgh", "bcdefghi", strict=True)
)


def test_dates_stay_text_and_an_empty_file_is_nothing(tmp_path: Path) -> None:
    assert parse_yaml("{output: 2024-01-31, seed: 1}", "x") == {"output": "2024-01-31", "seed": 1}
    (tmp_path / "x.yaml").write_bytes(b"\xef\xbb\xbf")
    assert read_yaml(tmp_path / "x.yaml") is None


def test_anchors_and_merge_keys_are_read() -> None:
    assert parse_yaml("a: &a {x: 1}\nb: {<<: *a, y: 2}", "x") == {"a": {"x": 1}, "b": {"x": 1, "y": 2}}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (BOMB, "more than 200,000 values"),
        ("a: &a {b: *a}", "line 1: an alias refers to a value that contains it"),
        ("[" * 5000, "nested too deeply"),
        ("a: 1\nb: 2\na: 3", "line 3: 'a' is listed twice"),
        ("a:\n\tb: 1", "line 2, column 1: found character .* indent with spaces"),
        ('a: "x\\0y"', "line 1: text with a null byte"),
        ("a: 1\n---\nb: 2", "another document"),
        ("a: !!python/object/apply:os.system [x]", "not plain YAML: line 1"),
        ("a: !!int x", "not plain YAML"),
        ("a: !!timestamp x", "not plain YAML"),
        ("a: " + "9" * 5000, "not plain YAML"),
        ("? [a]\n: b", "not plain YAML"),
        ("a: für".encode("latin-1"), "line 1 has bytes of another encoding"),
        ("a: 1".encode("utf-16"), "another encoding"),
        (b"#" * (9 << 20), "larger than 8 MiB"),
    ],
)
def test_what_is_wrong_is_one_line(content: str | bytes, told: str, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError, match=told) as error:
        read_yaml(file)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("path", ["nowhere.yaml", ".", "a\0b", "x" * 5000])
def test_a_file_that_cannot_be_read_is_named(path: str) -> None:
    with pytest.raises(InputError, match="cannot read"):
        load_config(path)


NAMES = [part for key in settings_of(Config) for part in key.split(".")]
SCALARS: Any = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates()
    | st.sampled_from(["auto", "1e-5", "s3://a:b@c/d", "s3://***@b", "x.csv", "\0"])
)  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*NAMES, "min", "max", "finetune.lr"]) | SCALARS, inner, max_size=4)
    ),
    max_leaves=10,
)
DOCUMENTS = st.dictionaries(st.sampled_from(NAMES), TREES, max_size=4).map(
    lambda tree: yaml.dump({"data": {"labeled": "x.csv"}, **tree}, allow_unicode=True)
)
TOKENS = st.lists(
    st.sampled_from(
        ["a: ", "- ", "\n", "  ", "\t", "&a ", "*a", "{", "}", "[", "]", "!!int ", "!!float ", "!!binary ",
         "!!timestamp ", "!!set ", "!!omap ", "<<: ", "? ", ": ", "|", "'", '"', "#", "---", "%YAML 9.9",
         "finetune: ", "lr: ", "1", "2001-99-99", "0x_", "1:99", "\ufeff", "\x85", "é"]
    ),
    max_size=20,
).map("".join)  # fmt: skip


@given((DOCUMENTS | TOKENS | st.text(max_size=40)).map(str.encode) | st.binary(max_size=40))
def test_any_file_gives_a_configuration_or_an_input_error(content: bytes) -> None:
    file = Path("fuzz.yaml")
    for read in (
        lambda: find_space(load_config(file)),
        lambda: read_label_file(str(file)),
        lambda: models_of(file),
    ):
        file.write_bytes(content)
        try:
            read()
        except InputError as error:
            str(error).encode()  # what is shown can be written


@given(st.sampled_from([*settings_of(Config), "tune.space", "", "."]), TOKENS | SCALARS.map(str))
def test_any_setting_gives_a_configuration_or_an_input_error(key: str, value: str) -> None:
    for load in (load_config, load_serve_config):
        try:
            load(overrides=[f"{key}={value}"], flags={})
        except InputError as error:
            str(error).encode()  # what is shown can be written


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("yaml"))
