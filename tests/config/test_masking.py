from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

import pytest

from react_ray.cluster.submit import entry_command
from react_ray.config.file import load_config
from react_ray.config.masking import is_masked, mask, mask_address
from react_ray.console.reporter import Reporter, log_to
from react_ray.data.sources import find_files
from react_ray.errors import ClusterError, ConfigError, InputError, ServiceError
from react_ray.pipeline import graph

SECRETS = [
    ("s3://AKIA5:S3CR3T@bucket/a.csv", "s3://***@bucket/a.csv"),
    ("s3://AKIA5:S3/CR+3T@bucket/a.csv", "s3://***@bucket/a.csv"),
    ("https://S3CR3T@host/x", "https://***@host/x"),
    ("https://user:S3@CR3T@host/x", "https://***@host/x"),
    ("https://user:S3#CR?3T@host/x", "https://***@host/x"),
    ("https://host/x.csv?sv=2024&sig=S3CR3T%3D", "https://host/x.csv?sv=***&sig=***"),
    ("https://host/x.csv?sas=S3CR3T", "https://host/x.csv?sas=***"),
    ("https://host/x.csv?S3CR3T", "https://host/x.csv?***"),
    (
        "https://b.s3.amazonaws.com/x?X-Amz-Credential=A&X-Amz-Signature=S3CR3T&region=eu",
        "https://b.s3.amazonaws.com/x?X-Amz-Credential=***&X-Amz-Signature=***&region=eu",
    ),
    ("gs://b/x?X-Goog-Signature=S3CR3T", "gs://b/x?X-Goog-Signature=***"),
    (
        "s3://b/x?access_key=A&secret_key=S3CR3T&scheme=http",
        "s3://b/x?access_key=***&secret_key=***&scheme=http",
    ),
    ("s3://b/x?region=eu#access_token=S3CR3T", "s3://b/x?region=eu#access_token=***"),
    ("s3://b/x?endpoint_override=http://u:S3CR3T@h:9000", "s3://b/x?endpoint_override=***"),
    ("abfss://container:S3CR3T@account.dfs.core.windows.net/x", None),
    ("user:S3CR3T@host:6379", "***@host:6379"),
    ("S3CR3T@host:6379", "***@host:6379"),
    ("ray://S3CR3T@host:10001", "ray://***@host:10001"),
    ("DefaultEndpointsProtocol=https;AccountKey=S3CR3T==;X=1", None),
]
PLAIN = [
    "s3://bucket/a@2x/b.csv",
    "s3://bucket/data/*.csv?region=eu-west-1&endpoint_override=127.0.0.1:9000",
    "http://127.0.0.1:8265/a@b",
    "http://[::1]:8000/x",
    "abfss://container@account.dfs.core.windows.net/x",
    "/data/a b@c.csv",
    "host:6379",
    "file:///data/a.csv",
    "write to me@example.com: thank you",
    "finetune.token_budget=80000",
]


@pytest.mark.parametrize(("address", "shown"), SECRETS)
def test_secrets_are_masked_alone_and_in_sentences(address: str, shown: str | None) -> None:
    found = mask_address(address)
    assert "S3" not in found
    assert shown in (None, found)
    sentence = mask(f"cannot read {address}: no access ('{address}')")
    assert "S3" not in sentence
    assert sentence.startswith("cannot read ")
    assert mask_address(found) == found
    assert is_masked(found) or "AccountKey=***" in found


@pytest.mark.parametrize("address", PLAIN)
def test_what_is_no_secret_stays(address: str) -> None:
    assert mask_address(address) == mask(address) == address
    assert not is_masked(address)


def test_a_password_with_a_space_is_masked_where_the_whole_address_is_known() -> None:
    assert mask_address("https://user:my S3CR3T@host/x") == "https://***@host/x"


@pytest.mark.parametrize("kind", [InputError, ClusterError, ConfigError, ServiceError])
def test_no_error_shows_a_secret(kind: type[Exception]) -> None:
    assert str(kind("no s3://K:S3CR3T@b/x")) == "no s3://***@b/x"


@pytest.mark.parametrize("given", ["unknown://K:S3CR3T@b/x.csv", "https://h/x?sig=S3CR3T", "s3://K:S3 C@[b"])
def test_an_address_that_cannot_be_read_is_named_without_its_secret(given: str) -> None:
    with pytest.raises(InputError, match="cannot be read") as error:
        find_files(given)
    assert "S3C" not in str(error.value)
    assert "S3 C" not in str(error.value)


def test_a_setting_that_is_wrong_is_named_without_its_secret() -> None:
    with pytest.raises(ConfigError) as error:
        load_config(flags={"data.labeled": ["s3://K:S3CR3T@b/x"], "output": "s3://K:S3CR3T@b/out"})
    assert "S3CR3T" not in str(error.value)
    assert "s3://***@b/out" in str(error.value)


ADDRESSES = {
    "data.labeled": "s3://K:S3CR3T@b/labels.csv",
    "data.unlabeled": "s3://b/pile/?session_token=S3CR3T&region=eu",
    "cluster.address": "S3CR3T@head:6379",
}


def test_a_saved_configuration_names_the_variables_that_repeat_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, file = load_config(flags=ADDRESSES), tmp_path / "config.yaml"
    config.save(file)
    saved = file.read_text(encoding="utf-8")
    assert "S3CR3T" not in saved
    assert "labeled: s3://***@b/labels.csv" in saved
    for key, address in ADDRESSES.items():
        variable = f"REACT_RAY_{key.upper().replace('.', '_')}"
        assert f"# {key} was saved without its secret: to repeat the run, set {variable}" in saved
        with pytest.raises(ConfigError, match=f"{key} = .*{variable}"):
            load_config(file)
        monkeypatch.setenv(variable, address)
    assert load_config(file) == config
    monkeypatch.delenv("REACT_RAY_CLUSTER_ADDRESS")
    assert load_config(file, flags={"cluster.address": "other:1"}).cluster.address == "other:1"


def test_cache_records_and_logs_hold_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "fingerprint_files", lambda given: [(mask_address(given), "state")])
    prepare = next(stage for stage in graph.LABEL_GAN if stage.name == "prepare")
    assert "S3CR3T" not in str(prepare.settings(load_config(flags=ADDRESSES)))
    with suppress(ValueError), log_to(tmp_path / "run.log", Reporter(quiet=True)):
        logging.getLogger("react_ray.test").warning("reading %s", ADDRESSES["data.labeled"])
        raise ValueError(ADDRESSES["data.labeled"])
    log = (tmp_path / "run.log").read_text(encoding="utf-8")
    assert "Traceback" in log
    assert "S3CR3T" not in log


def test_progress_lines_hold_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    Reporter().say("reading s3://K:S3CR3T@b/x")
    assert capsys.readouterr().err == "reading s3://***@b/x\n"


@pytest.mark.parametrize(("address", "shown"), SECRETS)
def test_no_job_is_sent_whose_command_shows_a_secret(address: str, shown: str | None) -> None:
    with pytest.raises(InputError, match="all users of the cluster can see") as error:
        entry_command(["run", "--labeled", address])
    assert "S3" not in str(error.value).replace("s3://", "")
