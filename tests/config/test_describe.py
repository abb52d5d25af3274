"""Descriptions of settings, the command that lists them, and errors that show them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from react_ray import cli
from react_ray.config.describe import as_text, as_yaml
from react_ray.config.file import load_config, load_serve_config
from react_ray.config.problems import groups_of, settings_of
from react_ray.config.sections.pretraining import PretrainConfig
from react_ray.config.service import ServeConfig
from react_ray.config.settings import Config
from react_ray.errors import ConfigError


def fields(root: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    for group, model in groups_of(root).items():
        yield from ((f"{group}.{name}".lstrip("."), field) for name, field in model.model_fields.items())


@pytest.mark.parametrize("root", [Config, ServeConfig, PretrainConfig])
def test_every_setting_has_a_description(root: type[BaseModel]) -> None:
    for key, field in fields(root):
        text = field.description or ""
        assert text[:1].isupper(), f"{key}: starts with a capital letter"
        assert not text.endswith("."), f"{key}: no full stop at the end"
        assert len(text) <= 130, f"{key}: short enough for a message"


@pytest.mark.parametrize("root", [Config, ServeConfig, PretrainConfig])
def test_descriptions_say_what_none_means(root: type[BaseModel]) -> None:
    for key, field in fields(root):
        if field.default is None:
            assert "None" in (field.description or ""), key


def test_the_command_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["settings"]) == 0
    printed = capsys.readouterr().out
    listed = [line.split("  ")[0] for line in printed.splitlines() if " = " in line and line[0] != " "]
    pretraining = [key for key in settings_of(PretrainConfig) if not key.startswith("cluster.")]
    assert listed == settings_of(Config) + settings_of(ServeConfig) + pretraining
    assert "finetune.lr  number = 5.0e-05\n    Learning rate" in printed


def test_one_section_is_listed_with_those_inside_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["settings", "data"]) == 0
    printed = capsys.readouterr().out
    assert "data.pool  int = 50000" in printed
    assert "data.columns.text  text = text" in printed
    assert "finetune" not in printed
    assert cli.main(["settings", "serve"]) == 0
    assert "port  int = 8000" in capsys.readouterr().out


def test_the_defaults_as_yaml_are_a_file_that_a_run_reads() -> None:
    defaults = Config(data={"labeled": "labels.csv"}).model_dump(mode="json")
    defaults["data"]["labeled"] = None
    assert yaml.safe_load(as_yaml()) == defaults
    for group in groups_of(Config):
        part = yaml.safe_load(as_yaml(group))
        whole = defaults
        for name in filter(None, group.split(".")):
            part, whole = part[name], whole[name]
        assert part == whole
    commented = "\n".join(line.removeprefix("# ") for line in as_yaml("serve").splitlines())
    assert "max_texts: 256" in commented.splitlines()


def test_an_unknown_section_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no section 'lr'; expected one of data, .*, serve"):
        as_text("lr")


def test_errors_show_the_description_of_the_setting() -> None:
    with pytest.raises(ConfigError) as error:
        load_config(overrides=["finetune.lr=-1", "cluster.workers=[4,1]"], flags={"data.labeled": "a.csv"})
    first, second = sorted(str(error.value).splitlines(), reverse=True)
    assert first.endswith(f"greater than 0 ({dict(fields(Config))['finetune.lr'].description})")
    assert second.endswith(f"({dict(fields(Config))['cluster.workers'].description})")
    with pytest.raises(ConfigError, match=r"port = 0: .* \(HTTP port\)$"):
        load_serve_config(["port=0"])
