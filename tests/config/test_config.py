from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from react_ray.config.file import load_config, load_serve_config
from react_ray.config.settings import Config
from react_ray.errors import ConfigError

LABELED = {"data.labeled": "labels.csv"}


def test_flags_beat_overrides_beat_file_beat_preset(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("finetune: {epochs: 3, batch_size: 8}\nseed: 1\n")
    config = load_config(file, ["finetune.batch_size=4", "seed=2"], {**LABELED, "seed": 5}, preset="article")
    settings = config.finetune
    assert (settings.lr, settings.epochs, settings.batch_size, config.seed) == (2e-5, 3, 4, 5)


def test_the_article_preset_has_the_article_s_settings() -> None:
    config = load_config(flags=LABELED, preset="article")
    assert config.lgan.pretrain_steps > 0, "phase 1"
    assert min(config.lgan.adversarial, config.lgan.sampled) > 0, "phase 2 with its adversarial terms"
    assert config.model == "bert-base-cased"
    settings = config.finetune
    assert (settings.lr, settings.epochs, settings.batch_size, settings.max_length) == (2e-5, 5, 16, 128)


def test_a_flag_that_was_not_given_changes_nothing() -> None:
    assert load_config(flags={**LABELED, "seed": None}).seed == 0


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("finetune.lrr=1", ["finetune.lrr", "did you mean 'finetune.lr'"]),
        ("lr=1", ["unknown setting 'lr'", "did you mean", "'finetune.lr'"]),
        ("nonsense=1", ["nonsense", "finetune", "lgan"]),
        ("finetune.lr=fast", ["finetune.lr", "fast", "number"]),
        ("finetune.lr=-1", ["finetune.lr", "-1", "greater than 0"]),
        ("lgan.loss=other", ["lgan.loss", "other", "as_written"]),
        ("data.columns.context=[1]", ["data.columns.context = [1]", "valid string"]),
        ("seed", ["seed", "key=value"]),
        ("seed.more=1", ["seed"]),
        ("serve.port=1", ["unknown setting 'serve'", "expected one of task, output"]),
        ("encode.shard_rows=1", ["unknown setting 'encode.shard_rows'", "encode.max_length"]),
        ("cluster.workers=-1", ["cluster.workers = -1: ", "greater than or equal to 0", "'auto'"]),
        ("cluster.workers=true", ["cluster.workers = True: ", "valid integer, or input should be 'auto'"]),
        ("cluster.workers=[4,1]", ["cluster.workers = [4, 1]: give the minimum first"]),
        ("cluster.workers=[0,2]", ["cluster.workers", "greater than or equal to 1"]),
        ("finetune.lora_targets=all", ["finetune.lora_targets", "'all-linear' or 'default'"]),
        ("finetune.freeze=true", ["finetune.freeze = True: ", "'none', 'embeddings' or 'encoder', or"]),
        ("finetune.freeze=-1", ["finetune.freeze = -1: ", "greater than or equal to 0"]),
        ("data.labeled=[x", ["data.labeled = [x: ", "not YAML", """'data.labeled="[x"'"""]),
        ("data.columns.text=label", ["data.columns.label", "'label'", "--text-column, --label-column"]),
        ("data.columns.truth=text", ["data.columns.truth", "'text'", "--text-column, --truth-column"]),
        ("finetune=3", ["finetune = 3: expected a group of settings", "lr, batch_size"]),
        ("finetune.lr=.inf", ["finetune.lr = inf", "finite"]),
        ("seed=99999999999", ["seed = 99999999999", "4294967296"]),
        ("output=", ["output = None", "string"]),
        ("data.test=3", ["data.test = 3", "put it in quotes"]),
        ("output=s3://bucket/out", ["output = 's3://bucket/out'", "file system", "mounted"]),
    ],
)
def test_errors_name_the_key_and_what_is_allowed(override: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(overrides=["seed=1", override], flags=LABELED)
    for word in words:
        assert word in str(error.value)


def test_a_setting_of_several_kinds_takes_each_and_errors_once() -> None:
    def load(*overrides: str) -> Config:
        return load_config(overrides=overrides, flags=LABELED)

    config = load("finetune.freeze=2", "cluster.workers=0")
    assert (config.finetune.freeze, config.cluster.workers) == (2, 0)
    config = load("finetune.freeze=encoder", "cluster.workers=auto")
    assert (config.finetune.freeze, config.cluster.workers) == ("encoder", "auto")
    assert load("cluster.workers=[1,4]").cluster.workers == (1, 4)
    with pytest.raises(ConfigError) as error:
        load("cluster.workers=many", "finetune.freeze=all")
    assert [line.partition(" = ")[0] for line in str(error.value).splitlines()] == [
        "finetune.freeze",
        "cluster.workers",
    ]


def test_the_truth_may_stand_in_the_label_column() -> None:
    assert load_config(flags=LABELED | {"data.columns.truth": "label"}).data.columns.truth == "label"


def test_the_service_takes_its_settings_by_name_and_flags_beat_them() -> None:
    settings = load_serve_config(["max_texts=64", "port=9000"], {"port": 9001, "host": None})
    assert (settings.max_texts, settings.port, settings.host) == (64, 9001, "127.0.0.1")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("max_text=64", ["unknown setting 'max_text'", "did you mean 'max_texts'"]),
        ("port=0", ["port = 0", "greater than or equal to 1"]),
        ("out.yaml", ["out.yaml", "key=value"]),
        ("serve.port=1", ["unknown setting 'serve'", "expected one of host, port"]),
    ],
)
def test_errors_in_the_settings_of_the_service(override: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        load_serve_config([override])
    for word in words:
        assert word in str(error.value)


def test_nothing_to_learn_from_names_the_flag() -> None:
    with pytest.raises(ConfigError, match="--labeled"):
        load_config()


@pytest.mark.parametrize("content", ["[1, 2]", "a: [", "just words"])
def test_a_file_that_is_not_a_configuration(tmp_path: Path, content: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=r"run\.yaml"):
        load_config(file)


def test_an_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="article"):
        load_config(flags=LABELED, preset="nope")


@given(
    lr=st.floats(1e-8, 1.0),
    seed=st.integers(0, 2**31),
    text=st.text(alphabet="abc文字_", min_size=1, max_size=8),
    strength=st.floats(0, 0.5),
)
def test_a_saved_configuration_reads_back_the_same(lr: float, seed: int, text: str, strength: float) -> None:
    import tempfile

    config = load_config(
        flags={
            **LABELED,
            "finetune.lr": lr,
            "seed": seed,
            "data.columns.text": text,
            "augment.strength": strength,
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        config.save(path)
        assert load_config(path) == config
        assert Config.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))) == config
