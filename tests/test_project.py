"""The project's own rules: layout, imports, safe loading, documents that hold."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.util
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import react_ray
from react_ray.cli import app
from react_ray.config.file import load_config
from react_ray.errors import ConfigError
from react_ray.tasks import get_task, task_names

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "react_ray").rglob("*.py"))
JOBS = sorted((ROOT / "jobs").glob("*.py"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("[a-z]*/**/*.md")])
DOCUMENTS = [path for path in DOCUMENTS if path.relative_to(ROOT).parts[0] not in ("out", "build")]

ASKED_FOR = {"pyproject.toml", "react_ray", "jobs", "cluster.yaml", "tests", "README.md"}
BESIDE = {
    "docs", "benchmarks", "deploy", "examples", "Makefile", "constraints.txt",
    "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md",
}  # fmt: skip

GROUND = {"cluster", "client", "config", "console"}
MAY_IMPORT = {
    "config": set(),
    "console": {"config"},
    "cluster": {"config", "console", "models", "training"},
    "client": {"inference"},
    "models": {"config"},
    "tasks": {"config", "models"},
    "data": {"config", "console", "models", "tasks"},
    "lgan": {"config", "console", "data", "models", "training"},
    "labelers": {"config", "console", "data", "evaluate", "lgan", "tasks"},
    "training": {"config", "console", "models", "tasks", "cluster"},
    "pretraining": {"config", "data", "models", "tasks", "training"},
    "inference": {"config", "console", "data", "models", "tasks"},
    "evaluate": {"config", "console", "tasks"},
    "pipeline": {
        *GROUND,
        "data",
        "evaluate",
        "inference",
        "labelers",
        "lgan",
        "models",
        "pretraining",
        "tasks",
        "training",
    },
    "tune": {"config", "console", "cluster", "evaluate", "lgan", "pipeline", "tasks"},
    "serve": {"config", "console", "cluster", "inference", "models", "tasks"},
    "apps": {"config", "console"},
}
"""Folder -> folders it may import beside itself; modules at the top level are open to all."""
SERVE_MAY_IMPORT = {
    "ingress": {"ingress", "limits"},
    "engine": {"engine"},
    "watch": {"watch"},
    "limits": {"limits", "watch"},
    "protocols": {"protocols", "service", "limits", "engine", "watch"},
    "service": {"limits", "engine", "watch"},
    "frame": {"protocols", "limits", "watch"},
    "web": {"protocols", "service", "limits", "frame"},
    "deployment": {"watch"},
    "app": {"protocols", "service", "web", "watch", "deployment"},
    "application": {"protocols", "limits", "frame", "watch"},
    "application_deployment": {"application", "deployment", "limits", "watch"},
    "deploy": {"cluster_file", "models", "protocols"},
    "readiness": {"replicas"},
    "host": {"cluster_file", "ingress", "limits", "readiness", "replicas", "supervise"},
    "run": {"app", "deploy", "engine", "host", "models", "protocols", "readiness"},
    "serve_app": {"application", "application_deployment", "cluster_file", "host", "readiness"},
    "supervise": {"replicas"},
}
"""Parts of ``serve`` -> parts of it that they may import."""


def stages() -> dict[str, tuple[str, ...]]:
    """Names of the stages, each with the stages that it reads."""
    from react_ray.pipeline.graph import LABEL_GAN  # imports torch, which the other tests here do without

    return {stage.name: stage.needs or ("input files",) for stage in LABEL_GAN}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def syntax(path: Path) -> list[Any]:
    """All nodes of the syntax tree of a file."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@cache
def imports(path: Path) -> list[str]:
    """Dotted names of all that a file imports, inside functions too."""
    names: list[str] = []
    for node in syntax(path):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def calls(path: Path) -> list[ast.Call]:
    return [node for node in syntax(path) if isinstance(node, ast.Call)]


def test_top_level_is_as_asked() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    tracked = {line.split("/")[0] for line in listed.stdout.splitlines()}
    visible = {name for name in tracked if not name.startswith(".")}
    assert visible == ASKED_FOR | BESIDE


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_ray_is_imported_at_its_edge_only(path: Path) -> None:
    if path.relative_to(ROOT / "react_ray").parts[0] not in ("cluster", "serve"):
        assert [name for name in imports(path) if name.split(".")[0] == "ray"] == []


def test_a_name_stands_for_one_class() -> None:
    """In the package, and within each application; applications see public names only."""
    places: dict[tuple[str, str], list[str]] = {}
    for path in MODULES:
        parts = path.relative_to(ROOT / "react_ray").parts
        part = "/".join(parts[:2]) if parts[0] == "apps" else "package"
        for node in syntax(path):
            if isinstance(node, ast.ClassDef):
                places.setdefault((part, node.name), []).append(relative(path))
                assert part == "package" or node.name not in react_ray.__all__
    assert [found for found in places.values() if len(found) > 1] == []


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_what_ray_keeps_to_itself_is_used_in_one_module(path: Path) -> None:
    if path.name != "ray_private.py":
        assert [name for name in imports(path) if re.match(r"ray\..*\b_|ray\._", name)] == []
        assert "_fetch_" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_folders_import_what_the_architecture_allows(path: Path) -> None:
    folder = path.relative_to(ROOT / "react_ray").parts[0]
    if folder not in MAY_IMPORT:
        return  # the top level
    used = {name.split(".")[1] for name in imports(path) if name.startswith("react_ray.")}
    assert used & MAY_IMPORT.keys() <= MAY_IMPORT[folder] | {folder}
    assert "cli" not in used


TASK_FREE = {"data", "evaluate", "labelers", "lgan", "pipeline", "pretraining", "serve", "training"}
"""Folders that know tasks by their interface alone, so that a task is added in a file of its own.

Others may name one: ``config`` has the default, and ``inference/folder.py`` says which task a model is for
that was not made here, from what transformers writes into its configuration.
"""


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_task_is_named_outside_of_the_tasks(path: Path) -> None:
    if path.relative_to(ROOT / "react_ray").parts[0] not in TASK_FREE:
        return
    names = {*task_names(), *(type(get_task(name)).__name__ for name in task_names())}
    text = path.read_text(encoding="utf-8")
    assert [name for name in sorted(names) if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)] == []


@pytest.mark.parametrize("path", sorted((ROOT / "react_ray" / "serve").rglob("*.py")), ids=relative)
def test_parts_of_the_service_import_what_the_architecture_allows(path: Path) -> None:
    part = path.relative_to(ROOT / "react_ray" / "serve").parts[0].removesuffix(".py")
    own = {name.split(".")[2] for name in imports(path) if name.startswith("react_ray.serve.")}
    assert own <= SERVE_MAY_IMPORT.get(part, set())


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_modules_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350


@pytest.mark.parametrize("path", [*MODULES, *JOBS], ids=relative)
def test_nothing_loaded_can_run_code(path: Path) -> None:
    names = {name.split(".")[0] for name in imports(path)}
    assert not names & {"pickle", "cloudpickle", "dill", "joblib", "shelve"}
    for call in calls(path):
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert given.get("trust_remote_code") != "True"
        assert given.get("allow_pickle") != "True"
        if ast.unparse(call.func) == "torch.load":
            assert given.get("weights_only") == "True", f"line {call.lineno}"
        assert ast.unparse(call.func) != "yaml.load"


@pytest.mark.parametrize("path", JOBS, ids=relative)
def test_jobs_are_thin(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert path.name.startswith("run_")  # its folder comes first on sys.path: no name of a library
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 70
    assert f"python jobs/{path.name}" in (ast.get_docstring(ast.parse(text)) or "")
    spec = importlib.util.spec_from_file_location(f"job_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))  # importing it does nothing
    assert capsys.readouterr() == ("", "")


def test_a_job_ends_with_the_exit_code_of_its_command(tmp_path: Path) -> None:
    given = [sys.executable, ROOT / "jobs" / "run_pipeline.py", "missing.yaml"]
    job = subprocess.run(given, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert job.returncode == ConfigError.exit_code
    assert "missing.yaml" in job.stderr


def job_command(path: Path) -> list[str]:
    """The words that a job script puts before its own arguments."""
    found = [call.args[0] for call in calls(path) if ast.unparse(call.func) == "main"]
    assert len(found) == 1
    assert isinstance(found[0], ast.List)
    assert ast.unparse(found[0].elts[-1]) == "*sys.argv[1:]"
    return [str(word.value) for word in found[0].elts if isinstance(word, ast.Constant)]


def test_every_job_calls_a_command() -> None:
    assert {path.stem for path in JOBS} == {
        f"run_{name}" for name in ("demo", "pipeline", "predict", "pretrain", "serve", "tune")
    }
    for path in JOBS:
        assert job_command(path)[0] in COMMANDS


def test_modules_of_tests_have_names_of_their_own() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names)), "pytest imports them by their names alone"


@pytest.mark.parametrize("name", sorted(set(react_ray.__all__) - {"__version__"}))
def test_public_names_have_an_example(name: str) -> None:
    module = react_ray._LAZY.get(name) or getattr(react_ray, name).__module__.removeprefix("react_ray.")
    path = ROOT / "react_ray" / f"{module.replace('.', '/')}.py"
    found = [
        node
        for node in syntax(path)
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name
    ]
    assert ">>> " in (ast.get_docstring(found[0]) or "")


@pytest.mark.parametrize(
    "path", [path for path in MODULES if ">>> " in path.read_text("utf-8")], ids=relative
)
def test_examples_in_docstrings_run(path: Path) -> None:
    name = relative(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_few_modules_are_loose() -> None:
    loose = {path.stem for path in MODULES if path.parent == ROOT / "react_ray"}
    assert loose == {"__init__", "answer", "cli", "errors", "folders", "version"}


COMMANDS = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_documents_name_commands_that_exist(path: Path) -> None:
    pattern = r"```.*?```|`[^`\n]+`|^ {4}[^\n]*$"
    code = re.findall(pattern, path.read_text(encoding="utf-8"), re.S | re.M)
    named = {name for text in code for name in re.findall(r"(?:^|[\s`/])react-ray ([a-z]\w*)", text)}
    assert named <= COMMANDS
    targets = {name for text in code for name in re.findall(r"(?:^|[\s`])make ([a-z]\w*)", text)}
    assert targets <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    for link in links:
        if not re.match(r"[a-z]+:", link):
            assert (path.parent / link).exists(), link


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_files_that_documents_name_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"\b((?:benchmarks|jobs|examples|deploy|docs|react_ray)/[\w/.-]+\.\w+)", text):
        assert (ROOT / name).exists(), name


def test_the_architecture_names_every_stage_and_folder() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\| ([\w, ]+) \|", text, re.M))
    assert {name: tuple(reads.split(", ")) for name, reads in rows.items()} == stages()
    folders = {path.parent.name for path in MODULES if path.parent.parent == ROOT / "react_ray"}
    assert folders == set(re.findall(r"^\| `(\w+)/` \|", text, re.M))
    assert folders == MAY_IMPORT.keys()
    parts = {path.parent.name for path in MODULES if path.parent.parent == ROOT / "react_ray" / "serve"}
    assert parts == set(re.findall(r"^\| `serve/(\w+)/` \|", text, re.M))
    assert parts <= SERVE_MAY_IMPORT.keys()


def test_actions_are_pinned_by_commit_and_may_read_only() -> None:
    for path in (ROOT / ".github" / "workflows").glob("*"):
        text = path.read_text(encoding="utf-8")
        workflow = yaml.safe_load(text)
        assert workflow["permissions"] == {"contents": "read"}
        assert "concurrency" in workflow
        assert all("timeout-minutes" in job for job in workflow["jobs"].values())
        used = re.findall(r"uses: (.+)$", text, re.M)
        assert used
        assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", name) for name in used)
        assert text.count("actions/checkout@") == text.count("persist-credentials: false")


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert listed == sorted(path.name for path in folder.glob("[0-9]*.md"))


def test_the_example_configuration_is_valid() -> None:
    config = load_config(ROOT / "examples" / "run.yaml")
    assert (ROOT / str(config.data.labels)).exists()


def test_pins_fit_the_ranges() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    for requirement in map(Requirement, requirements()):
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is not pinned in constraints.txt"
        assert requirement.specifier.contains(pins[name]), f"{requirement} against {pins[name]}"


def requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    return [line for line in [*project["dependencies"], *extras] if not line.startswith("react-ray")]


def test_files_of_tests_have_names_of_their_own() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names)), "pytest imports them by their names"
