"""Preflight check of a cluster: all nodes and the resources, in seconds, before any work.

A small task on every node checks files, models and versions. It requests no cores, so that it also runs on
a busy cluster.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from react_ray.cluster import preflight
from react_ray.cluster.resources import Demand, Node, capacity, describe, shortage
from react_ray.cluster.session import Session
from react_ray.config.settings import EMBEDDED, MULTILINGUAL, SCRATCH, Config
from react_ray.console.reporter import Reporter
from react_ray.errors import ClusterError, InputError
from react_ray.folders import make_private_folder
from react_ray.models.choices import encoder_choices, model_choices

__all__ = ["Readiness", "Requirements", "check_cluster", "compare"]

NAME_AFTER_S = 5.0
"""Seconds after which the nodes that have not answered are named."""
ARRIVAL_S = 5.0
"""Seconds until a file that a node wrote must be visible on network storage."""
SAME_EVERYWHERE = ("ray", "react-ray")
"""Packages that must have the same version on all nodes; differences of others are noted."""

log = logging.getLogger(__name__)

Printer = Callable[[str], None]


@dataclass(frozen=True)
class Requirements:
    """Requirements of a run: output folder, input files, models (name -> flag) and packages.

    A package is its name and a hint for its installation.
    """

    output: Path
    inputs: tuple[str, ...] = ()
    models: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, config: Config) -> Requirements:
        """Collect the requirements of a run."""
        data = config.data
        inputs = (data.labeled, data.unlabeled, data.validation, data.test, data.targets)
        models = dict.fromkeys(encoder_choices(config.encoder, config.model), "--encoder")
        models |= dict.fromkeys(model_choices(config.model), "--model")
        models.pop(SCRATCH, None)  # the run makes it
        lora = ("peft", "finetune.lora_rank needs it, pip install 'react-ray[lora]' on every node")
        packages = (lora,) if config.finetune.lora_rank else ()
        return cls(Path(config.output), tuple(path for path in inputs if path), models, packages)


@dataclass(frozen=True)
class Readiness:
    """Result of the check: description of the nodes, problems and notes."""

    lines: list[str]
    problems: list[str]
    notes: list[str]

    def summary(self) -> str:
        """Describe the cluster, with notes."""
        return "\n".join([*self.lines, *(f"note: {note}" for note in self.notes)])

    def require(self) -> None:
        """Raise ClusterError with all problems."""
        if self.problems:
            raise ClusterError("the cluster is not ready:\n" + "\n".join(f"- {p}" for p in self.problems))


def check_cluster(
    session: Session, requirements: Requirements, demand: Demand, reporter: Reporter
) -> Readiness:
    """Check every node. Raises ClusterError with all problems and the nodes that have them."""
    with reporter.step("check the nodes"):
        readiness = _check_nodes(session, requirements, demand, reporter.say)
    log.info(readiness.summary())
    for note in readiness.notes:
        reporter.say(f"  {note}")
    readiness.require()
    return readiness


def _check_nodes(
    session: Session, requirements: Requirements, demand: Demand, print_line: Printer
) -> Readiness:
    nodes = session.nodes()
    dashboard = f", dashboard http://{session.dashboard}" if session.dashboard else ""
    lines = [
        f"cluster: {len(nodes)} nodes{dashboard}",
        f"  {describe(demand)}; capacity for {capacity(nodes, demand)}",
    ]
    missing = shortage(nodes, demand)
    if missing:  # no need to query the nodes
        return Readiness([*lines, *(f"  {node.size()}" for node in nodes)], [missing], [])
    answers = _query_nodes(nodes, requirements, session.cluster.answer_s, print_line)
    alive = {node.id for node in session.nodes()}
    lost = [f"{node.name} was lost during the check" for node in nodes if node.id not in alive]
    nodes = [node for node in nodes if node.id in alive]
    lines += [f"  {node.size()}: {_describe_answer(answers.get(node.id))}" for node in nodes]
    problems, notes = compare(nodes, preflight.versions(), answers)
    return Readiness(lines, problems, [*lost, *notes])


def _describe_answer(answer: Mapping[str, Any] | None) -> str:
    if answer is None:
        return "no answer"
    if "failed" in answer:
        return f"failed: {answer['failed']}"
    return ", ".join(f"{name} {version or 'missing'}" for name, version in answer["versions"].items())


def compare(
    nodes: Sequence[Node], expected: Mapping[str, str | None], answers: Mapping[str, Mapping[str, Any]]
) -> tuple[list[str], list[str]]:
    """Return (problems, notes) from the nodes' answers by id and the versions on the driver."""
    problems, notes = [], []
    unanswered = [node.name for node in nodes if node.id not in answers]
    if unanswered:
        problems.append(
            f"no answer in time from {', '.join(unanswered)}: overloaded, or its storage hangs; check ray "
            "status and the logs there, or wait longer (cluster.answer_s)"
        )
    nodes_by_problem: dict[str, list[str]] = {}
    for node in nodes:
        answer = answers.get(node.id, {})
        reported = [answer["failed"]] if "failed" in answer else answer.get("problems", [])
        for problem in [*reported, *_version_differences(expected, answer, problems_only=True)]:
            nodes_by_problem.setdefault(problem, []).append(node.name)
        differences = _version_differences(expected, answer, problems_only=False)
        notes += [f"{node.name} has {note}" for note in differences]
    problems += [f"{problem} (on {', '.join(names)})" for problem, names in nodes_by_problem.items()]
    return problems, notes


def _version_differences(
    expected: Mapping[str, str | None], answer: Mapping[str, Any], problems_only: bool
) -> list[str]:
    """Describe the packages whose version on a node differs from that on the driver."""
    differing = []
    for name, version in answer.get("versions", {}).items():
        same = _without_build(version) == _without_build(expected[name])
        if same or (name in SAME_EVERYWHERE) != problems_only:
            continue
        description = f"{name} {version}" if version else f"no {name}"
        advice = "; install the same on every node" if problems_only else ""
        differing.append(f"{description}, the driver has {expected[name]}{advice}")
    return differing


def _without_build(version: str | None) -> str | None:
    """Remove the build tag: 2.13.0+cpu and 2.13.0+cu128 are the same torch."""
    return version and version.partition("+")[0]


def _query_nodes(
    nodes: Sequence[Node], requirements: Requirements, timeout_s: float, print_line: Printer
) -> dict[str, dict[str, Any]]:
    """Run the check on each node and return the answers by node id; the output folder is left unchanged."""
    mark = secrets.token_hex(8)
    folder = requirements.output / f".react-ray-probe-{mark}"
    request = {
        "output": str(requirements.output),
        "folder": str(folder),
        "mark": mark,
        "inputs": [item for path in requirements.inputs if (item := _input_to_check(path))],
        "packages": requirements.packages,
        "models": [
            (name, flag, kind) for name, flag in requirements.models.items() if (kind := _model_kind(name))
        ],
    }
    try:
        make_private_folder(folder)  # like a run's cache: detects nodes that run as another user
        (folder / "driver").write_text(mark)
    except OSError as error:
        raise InputError(
            f"{requirements.output}: the output folder cannot be written: {error.strerror}"
        ) from None
    try:
        answers = _collect_answers(nodes, request, timeout_s, print_line)
        for node in nodes:
            answer = answers.get(node.id, {})
            if answer.get("wrote") and not _arrives(folder / node.id, mark):
                answer["problems"].append(
                    f"what it writes to {requirements.output} is not visible to the driver"
                )
        return answers
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _model_kind(model: str) -> str | None:
    """Return the kind of a model; None for a folder that does not exist here."""
    if model in (EMBEDDED, MULTILINGUAL):
        return "embedded"
    if Path(model).is_dir():
        return "folder"
    return None if model.startswith((".", "/", "~")) else "hub"


def _input_to_check(pattern: str) -> tuple[str, int | None] | None:
    """Return the path and size of an input that every node must have; a folder or glob has no size.

    None for remote inputs, and for those that are missing here too, which is not a problem of the nodes.
    """
    path = Path(pattern).expanduser()
    if path.is_file():
        return str(path), path.stat().st_size
    while any(character in str(path) for character in "*?["):
        path = path.parent
    return (str(path), None) if path.is_dir() else None


def _arrives(file: Path, mark: str) -> bool:
    deadline = time.monotonic() + ARRIVAL_S
    while True:
        try:
            if file.read_text() == mark:
                return True
        except OSError:
            pass
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)


def _collect_answers(
    nodes: Sequence[Node], request: Mapping[str, Any], timeout_s: float, print_line: Printer
) -> dict[str, dict[str, Any]]:
    """Return the answers by node id, without nodes that do not respond; failed tasks have "failed"."""
    import ray
    import ray.cloudpickle
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    waiting = {}
    ray.cloudpickle.register_pickle_by_value(preflight)
    try:
        remote = ray.remote(num_cpus=0, max_retries=0)(preflight.check_node)
        for node in nodes:
            strategy = NodeAffinitySchedulingStrategy(node_id=node.id, soft=False)
            waiting[remote.options(scheduling_strategy=strategy).remote(request, node.id)] = node
    finally:
        ray.cloudpickle.unregister_pickle_by_value(preflight)
    answers: dict[str, dict[str, Any]] = {}
    started, named = time.monotonic(), False
    while waiting and time.monotonic() - started < timeout_s:
        done, _ = ray.wait(list(waiting), timeout=0.5)
        for ref in done:
            answers[waiting.pop(ref).id] = _result(ref)
        if waiting and not named and time.monotonic() - started > NAME_AFTER_S:
            named = True
            print_line("  waiting for an answer from " + ", ".join(node.name for node in waiting.values()))
    for ref in waiting:
        ray.cancel(ref, force=True)
    return answers


def _result(ref: Any) -> dict[str, Any]:
    import ray

    try:
        answer: dict[str, Any] = ray.get(ref)
        return answer
    except Exception as error:
        lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
        return {"failed": lines[-1] if lines else type(error).__name__}
