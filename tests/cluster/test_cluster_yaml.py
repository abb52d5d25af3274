"""What starts clusters: the launcher's file, the Kubernetes manifests, job uploads."""

from __future__ import annotations

import copy
import importlib
import json
import os
import re
import shlex
import subprocess
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import ray.autoscaler
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[2]
LAUNCHER = ROOT / "cluster.yaml"
MANIFESTS = sorted((ROOT / "deploy" / "kuberay").glob("*.yaml"))
ISOLATION = ROOT / "deploy" / "isolation.yaml"
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


def templates(path: Path) -> list[dict[str, Any]]:
    """The pod templates of a manifest: head, workers, and what submits a job."""
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
    cluster = spec.get("rayClusterSpec") or spec["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    submitter = [spec["submitterPodTemplate"]] if "submitterPodTemplate" in spec else []
    return [*(group["template"] for group in groups), *submitter]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_pods_run_without_privileges(path: Path) -> None:
    for template in templates(path):
        pod = template["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["runAsGroup"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == container["resources"]["limits"].keys()


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_pods_can_write_where_they_must_and_no_secret_is_in_their_environment(path: Path) -> None:
    for template in templates(path):
        pod = template["spec"]
        (container,) = pod["containers"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
        environ = {entry["name"]: entry["value"] for entry in container["env"]}
        writable = {place for place, volume in mounts.items() if "emptyDir" in volume}
        assert {"/tmp", environ["HOME"]} <= writable
        assert all(
            "sizeLimit" in volumes[name]["emptyDir"] for name in volumes if "emptyDir" in volumes[name]
        )
        assert mounts.get("/dev/shm", {"emptyDir": {"medium": "Memory"}})["emptyDir"]["medium"] == "Memory"
        assert all(v["secret"]["defaultMode"] == 0o400 for v in volumes.values() if "secret" in v)
        assert not [name for name in environ if re.search("TOKEN|KEY|SECRET|PASSWORD", name)]


def test_the_service_asks_for_the_keys_of_a_secret() -> None:
    manifest = yaml.safe_load((ROOT / "deploy" / "kuberay" / "rayservice.yaml").read_text(encoding="utf-8"))
    (application,) = yaml.safe_load(manifest["spec"]["serveConfigV2"])["applications"]
    keys = Path(application["args"]["api_keys"])
    for template in templates(ROOT / "deploy" / "kuberay" / "rayservice.yaml"):
        mounts = {
            mount["mountPath"]: mount["name"] for mount in template["spec"]["containers"][0]["volumeMounts"]
        }
        (volume,) = [v for v in template["spec"]["volumes"] if v["name"] == mounts[str(keys.parent)]]
        secret = volume["secret"]["secretName"]
        readme = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
        assert f"kubectl create secret generic {secret} --from-file={keys.name}" in readme


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_pods_of_ray_are_probed(path: Path) -> None:
    from ray.dashboard import http_server_agent, http_server_head

    for template in templates(path):
        (container,) = template["spec"]["containers"]
        if container["name"] == "ray":
            probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")]
            assert {(probe["path"], probe["port"]) for probe in probes} <= {
                ("/api/healthz", 52365),
                ("/-/healthz", 8000),
            }
    for module in (http_server_agent, http_server_head):  # it asks for no token
        assert "/api/healthz" in Path(str(module.__file__)).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [*MANIFESTS, ISOLATION], ids=lambda path: path.name)
def test_manifests_need_no_merge_keys(path: Path) -> None:
    """Tools differ in what they make of them; anchors are understood by all."""
    assert "<<" not in path.read_text(encoding="utf-8")


def test_every_pod_is_isolated() -> None:
    policies = list(yaml.safe_load_all(ISOLATION.read_text(encoding="utf-8")))
    chosen = [
        tuple(policy["spec"]["podSelector"]["matchLabels"].items())
        for policy in policies
        if policy["kind"] == "NetworkPolicy"
    ]
    for path in MANIFESTS:
        for template in templates(path):
            labels = template["metadata"]["labels"].items()
            assert sum(set(choice) <= set(labels) for choice in chosen) == 1
    for policy in policies:
        if policy["kind"] == "NetworkPolicy":
            assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
            for rule in [*policy["spec"]["ingress"], *policy["spec"]["egress"]]:
                peers = rule.get("from") or rule["to"]
                assert peers
                assert all("podSelector" in peer or peer["namespaceSelector"] for peer in peers), (
                    "not everybody"
                )


def test_images_are_pinned_and_the_docs_say_where_the_digest_is_from() -> None:
    readme = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    for path in MANIFESTS:
        for template in templates(path):
            (container,) = template["spec"]["containers"]
            assert re.fullmatch(r"[\w.-]+/[\w-]+@sha256:[0-9a-f]{64}", container["image"])
    assert "docker push" in readme
    given = re.search(r"sed -i '(s#.*#)'", readme)
    assert given is not None
    _, pattern, new, _ = given[1].split("#")
    for path in MANIFESTS:
        changed, count = re.subn(pattern, new, path.read_text(encoding="utf-8"), flags=re.M)
        assert count >= 1
        assert all("DIGEST" in line for line in changed.splitlines() if "image: " in line and "@" in line)


def test_the_image_runs_as_a_user_from_a_base_that_is_given_by_digest() -> None:
    text = (ROOT / "deploy" / "Containerfile").read_text(encoding="utf-8")
    steps = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert steps[:2] == ["ARG BASE", "FROM ${BASE}"], "a tag is no digest, so there is no default"
    users = [line.split()[1] for line in steps if line.startswith("USER ")]
    pod = templates(MANIFESTS[0])[0]["spec"]["securityContext"]
    assert users[-1] == f"{pod['runAsUser']}:{pod['runAsGroup']}"
    assert "--require-hashes -r requirements.lock" in text
    assert "imagetools inspect" in (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")


def test_the_lock_has_the_pinned_versions_and_a_hash_for_each() -> None:
    entries = (ROOT / "deploy" / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line.split() for line in entries.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", word) for line in lines for word in line[1:])
    assert all(len(line) > 1 for line in lines)
    locked = dict(line[0].split("==") for line in lines)
    pins = dict(
        re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M)
    )
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    assert {name: pinned.get(name) for name in locked if name != "setuptools"} == {
        name: version for name, version in locked.items() if name != "setuptools"
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    needed = [*project["project"]["dependencies"], *project["build-system"]["requires"], "react-ray[demo]"]
    names = set()
    for line in needed:  # grows by what each extra names
        requirement = Requirement(line)
        if requirement.name == "react-ray":
            for extra in requirement.extras:
                needed += project["project"]["optional-dependencies"][extra]
        else:
            names.add(canonicalize_name(requirement.name))
    assert names - set(locked) == {"torch"}, "run python deploy/lock.py"


def test_the_image_has_the_pinned_ray_and_all_that_is_copied_exists() -> None:
    text = (ROOT / "deploy" / "Containerfile").read_text(encoding="utf-8")
    assert set(re.findall(r"rayproject/ray:([\d.]+)-", text)) == {ray.__version__}
    for line in re.findall(r"^COPY --chown=\S+ (.+)$", text, re.M):
        assert all((ROOT / name).exists() for name in line.split()[:-1])


def test_an_upload_carries_code_and_no_data(tmp_path: Path) -> None:
    from ray._private.runtime_env.packaging import create_package

    (tmp_path / ".rayignore").write_text((ROOT / ".rayignore").read_text())
    kept = ["react_ray/cli.py", "jobs/run_pipeline.py", "examples/run.yaml"]
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
