"""What starts clusters: the launcher's file, the Kubernetes manifests, job uploads."""

from __future__ import annotations

import copy
import importlib
import json
import os
import re
import shlex
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import ray.autoscaler
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[2]
LAUNCHER = ROOT / "cluster.yaml"
MANIFESTS = sorted((ROOT / "deploy" / "kuberay").glob("*.yaml"))
CRDS = Path(__file__).parent / "kuberay_crds.yaml"


def launcher() -> dict[str, Any]:
    return yaml.safe_load(LAUNCHER.read_text(encoding="utf-8"))


def clouds() -> dict[str, dict[str, Any]]:
    """The blocks for clouds that the file has as comments."""
    lines = LAUNCHER.read_text(encoding="utf-8").splitlines()
    first = lines.index("# aws:")
    block = [line[2:] for line in lines[first : lines.index("", first)]]
    return yaml.safe_load("\n".join(block))


def commands(config: dict[str, Any]) -> list[str]:
    return [line for key, lines in config.items() if key.endswith("_commands") for line in lines]


def test_it_fits_the_schema_of_ray() -> None:
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    jsonschema.validate(launcher(), schema)


def test_the_launcher_takes_it() -> None:
    prepared = prepare_config(launcher())
    validate_config(prepared)
    node = prepared["available_node_types"][prepared["head_node_type"]]
    assert node["min_workers"] == len(prepared["provider"]["worker_ips"])


@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_the_launcher_takes_the_commented_cloud(cloud: str) -> None:
    prepared = prepare_config({**copy.deepcopy(launcher()), **clouds()[cloud]})
    validate_config(prepared)
    assert prepared["provider"]["type"] == cloud
    assert len(prepared["available_node_types"]) >= 2


def test_every_node_asks_for_the_token_and_no_dashboard_is_open() -> None:
    config = launcher()
    starts = [line for line in commands(config) if " ray start " in f" {line} "]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in line for line in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]
    assert any(path.endswith(".ray/auth_token") for path in config["file_mounts"])


def test_the_token_is_closed_to_other_users_on_every_node(tmp_path: Path) -> None:
    config = launcher()
    for key in ("initialization_commands", "head_start_ray_commands", "worker_start_ray_commands"):
        folder = tmp_path / key / ".ray"
        folder.mkdir(parents=True)
        token = folder / "auth_token"
        token.touch()
        folder.chmod(0o777)
        token.chmod(0o666)
        environ = {"HOME": str(folder.parent), "PATH": os.environ["PATH"]}
        subprocess.run(["bash", "-c", config[key][0]], env=environ, check=True)
        assert (folder.stat().st_mode & 0o777, token.stat().st_mode & 0o777) == (0o700, 0o600)
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        assert config[key][-1] == "chmod 700 /tmp/ray/session_latest/"


def test_documents_make_the_token_for_its_owner_alone() -> None:
    for path in (LAUNCHER, *ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/*.md")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if "get-auth-token --generate" in line:
                assert "umask 077" in line, f"{path.name}: {line}"
    steps = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    assert "chmod 700 ~/.ray; chmod 600 ~/.ray/auth_token" in steps
    assert steps.count("chmod 700 /tmp/ray/session_latest/") == 2


def test_what_is_mounted_is_there_and_is_enough_to_install() -> None:
    mounts = launcher()["file_mounts"]
    own = {path for path in mounts.values() if not path.startswith("~")}
    assert all((ROOT / path).exists() for path in own)
    assert {"pyproject.toml", "constraints.txt", "react_ray", "README.md", "LICENSE"} <= own


def test_commands_are_shell() -> None:
    for config in (launcher(), *clouds().values()):
        for line in commands(config):
            subprocess.run(["bash", "-n", "-c", line], check=True)


def violations(manifest: dict[str, Any]) -> list[str]:
    """What KubeRay would not take in a manifest."""
    schemas = yaml.safe_load(CRDS.read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator({**schemas, "$ref": f"#/{manifest['kind']}"})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_kuberay_takes_the_manifests(path: Path) -> None:
    manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert violations(manifest) == []
    manifest["spec"]["shutdownAfterJobFinished"] = True  # a slip that Kubernetes would drop in silence
    cluster = manifest["spec"].get("rayClusterSpec") or manifest["spec"]["rayClusterConfig"]
    cluster["workerGroupSpecs"][0]["replicas"] = "2"
    found = "\n".join(violations(manifest))
    assert "shutdownAfterJobFinished" in found
    assert "workerGroupSpecs[0].replicas" in found


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_name_what_exists(path: Path) -> None:
    manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert manifest["apiVersion"] == "ray.io/v1"
    spec = manifest["spec"]
    cluster = spec.get("rayClusterSpec") or spec["rayClusterConfig"]
    assert cluster["rayVersion"] == ray.__version__
    assert cluster["authOptions"] == {"mode": "token"}
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    assert all(group["template"]["spec"]["volumes"] for group in groups)
    if manifest["kind"] == "RayJob":
        script = shlex.split(spec["entrypoint"])[1]
        assert (ROOT / "jobs" / Path(script).name).exists()
        assert spec["shutdownAfterJobFinishes"] is True
    else:
        for application in yaml.safe_load(spec["serveConfigV2"])["applications"]:
            module, name = application["import_path"].split(":")
            built = getattr(importlib.import_module(module), name)(application["args"])
            assert type(built).__name__ == "Application"


def test_the_image_has_the_pinned_ray_and_all_that_is_copied_exists() -> None:
    text = (ROOT / "deploy" / "Containerfile").read_text(encoding="utf-8")
    assert set(re.findall(r"rayproject/ray:([\d.]+)-", text)) == {ray.__version__}
    for line in re.findall(r"^COPY --chown=\S+ (.+)$", text, re.M):
        assert all((ROOT / name).exists() for name in line.split()[:-1])


def test_an_upload_carries_code_and_no_data(tmp_path: Path) -> None:
    from ray._private.runtime_env.packaging import create_package

    (tmp_path / ".rayignore").write_text((ROOT / ".rayignore").read_text())
    kept = ["react_ray/cli.py", "jobs/run_check.py", "examples/run.yaml"]
    left = [
        ".git/objects/ab",
        ".venv/lib/x.so",
        "out/demo/report.html",
        "docs/a.md",
        "pile.parquet",
        "m/model.safetensors",
    ]
    for name in [*kept, *left]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    package = tmp_path.parent / "package.zip"
    create_package(str(tmp_path), package, include_gitignore=True)
    names = {name for name in zipfile.ZipFile(package).namelist() if not name.endswith("/")}
    assert {name for name in names if Path(name).name != ".rayignore"} == set(kept)
