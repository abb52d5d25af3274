"""Preflight check of a cluster: every node and the resources, in seconds, before any work.

A small task on every node looks at the files, the model and the versions there. It
asks for no cores, so that a full cluster answers too.
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
from react_ray.cluster.resources import Demand, Node, in_words, lacking, room
from react_ray.cluster.session import Session
from react_ray.config.settings import EMBEDDED, Config
from react_ray.console.reporter import Reporter
from react_ray.errors import ClusterError, InputError
from react_ray.folders import make_private_folder

__all__ = ["Asked", "Readiness", "check_cluster", "compare"]

SAY_AFTER_S = 5.0
"""When the nodes that have not answered yet are named."""
SETTLE_S = 5.0
"""Network storage may show a file of another node so late."""
ALIKE = ("ray", "react-ray")
"""Packages that must be the same everywhere; others may differ, which is said."""

log = logging.getLogger(__name__)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """Requirements of a run: an output folder, input files, models (name -> flag), packages.

    A package is its name, and what it is for and how to get it.
    """

    output: Path
    inputs: tuple[str, ...] = ()
    models: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, config: Config) -> Asked:
        """Collect the requirements of a run."""
        data = config.data
        inputs = (data.labeled, data.unlabeled, data.validation, data.test)
        models = {**({config.encoder: "--encoder"} if config.encoder else {}), config.model: "--model"}
        lora = ("peft", "finetune.lora_rank needs it, pip install 'react-ray[lora]' on every node")
        packages = (lora,) if config.finetune.lora_rank else ()
        return cls(Path(config.output), tuple(given for given in inputs if given), models, packages)


@dataclass(frozen=True)
class Readiness:
    """Result of the check: nodes with versions, problems, notes."""

    lines: list[str]
    problems: list[str]
    notes: list[str]

    def summary(self) -> str:
        """Describe the cluster, and the notes."""
        return "\n".join([*self.lines, *(f"note: {note}" for note in self.notes)])

    def require(self) -> None:
        """Raise ClusterError with all problems."""
        if self.problems:
            raise ClusterError("the cluster cannot do this:\n" + "\n".join(f"- {p}" for p in self.problems))


def check_cluster(session: Session, asked: Asked, demand: Demand, reporter: Reporter) -> Readiness:
    """Check every node; ClusterError with all problems and the nodes that have them."""
    with reporter.step("ask the nodes"):
        ready = _ask_all(session, asked, demand, reporter.say)
    log.info(ready.summary())
    for note in ready.notes:
        reporter.say(f"  {note}")
    ready.require()
    return ready


def _ask_all(session: Session, asked: Asked, demand: Demand, say: Say) -> Readiness:
    nodes = session.nodes()
    where = f", dashboard http://{session.dashboard}" if session.dashboard else ""
    lines = [f"cluster: {len(nodes)} nodes{where}", f"  {in_words(demand)}; room for {room(nodes, demand)}"]
    missing = lacking(nodes, demand)
    if missing:  # said at once: asking the nodes would take longer
        return Readiness([*lines, *(f"  {node.size()}" for node in nodes)], [missing], [])
    answers = _probe(nodes, asked, session.cluster.answer_s, say)
    still = {node.id for node in session.nodes()}
    lost = [f"{node.name} was lost while it was asked" for node in nodes if node.id not in still]
    nodes = [node for node in nodes if node.id in still]
    lines += [f"  {node.size()}: {_in_words(answers.get(node.id))}" for node in nodes]
    problems, notes = compare(nodes, preflight.versions(), answers)
    return Readiness(lines, problems, [*lost, *notes])


def _in_words(answer: Mapping[str, Any] | None) -> str:
    if answer is None:
        return "no answer"
    if "failed" in answer:
        return f"failed: {answer['failed']}"
    return ", ".join(f"{name} {version or 'missing'}" for name, version in answer["versions"].items())


def compare(
    nodes: Sequence[Node], here: Mapping[str, str | None], answers: Mapping[str, Mapping[str, Any]]
) -> tuple[list[str], list[str]]:
    """(problems, notes) from the answers of the nodes, by id, and the driver's own versions."""
    problems, notes = [], []
    silent = [node.name for node in nodes if node.id not in answers]
    if silent:
        problems.append(
            f"no answer in time from {', '.join(silent)}: overloaded, or its storage hangs; look at ray "
            "status and the logs there, or wait longer (cluster.answer_s)"
        )
    seen_from: dict[str, list[str]] = {}
    for node in nodes:
        answer = answers.get(node.id, {})
        found = [answer["failed"]] if "failed" in answer else answer.get("problems", [])
        for problem in [*found, *_versions(here, answer, problems_only=True)]:
            seen_from.setdefault(problem, []).append(node.name)
        notes += [f"{node.name} has {note}" for note in _versions(here, answer, problems_only=False)]
    problems += [f"{problem} (seen from {', '.join(names)})" for problem, names in seen_from.items()]
    return problems, notes


def _versions(here: Mapping[str, str | None], answer: Mapping[str, Any], problems_only: bool) -> list[str]:
    """List the packages that a node has in another version than the driver."""
    differing = []
    for name, version in answer.get("versions", {}).items():
        own = here[name]
        if _plain(version) != _plain(own) and (name in ALIKE) == problems_only:
            is_there = f"{name} {version}" if version else f"no {name}"
            advice = "; install the same on every node" if problems_only else ""
            differing.append(f"{is_there}, the driver has {own}{advice}")
    return differing


def _plain(version: str | None) -> str | None:
    """Drop the build: 2.13.0+cpu and 2.13.0+cu128 are the same torch."""
    return version and version.partition("+")[0]


def _probe(nodes: Sequence[Node], asked: Asked, limit_s: float, say: Say) -> dict[str, dict[str, Any]]:
    """Run the check on each node, and return the answers by id; the output folder is left unchanged."""
    mark = secrets.token_hex(8)
    folder = asked.output / f".react-ray-probe-{mark}"
    order = {
        "output": str(asked.output),
        "folder": str(folder),
        "mark": mark,
        "inputs": [place for given in asked.inputs if (place := _place(given))],
        "packages": asked.packages,
        "models": [(name, flag, kind) for name, flag in asked.models.items() if (kind := _kind(name))],
    }
    try:
        make_private_folder(folder)  # as stages are kept: nodes that work as another user are found out
        (folder / "driver").write_text(mark)
    except OSError as error:
        raise InputError(f"{asked.output}: the output folder cannot be written: {error.strerror}") from None
    try:
        answers = _ask(nodes, order, limit_s, say)
        for node in nodes:
            answer = answers.get(node.id, {})
            if answer.get("wrote") and not _arrives(folder / node.id, mark):
                answer["problems"].append(f"what it writes to {asked.output} does not arrive at the driver")
        return answers
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _kind(model: str) -> str | None:
    """Classify a model for the nodes; None for a folder that does not exist here."""
    if model == EMBEDDED:
        return "embedded"
    if Path(model).is_dir():
        return "folder"
    return None if model.startswith((".", "/", "~")) else "hub"


def _place(given: str) -> tuple[str, int | None] | None:
    """Return what every node must see of an input: the file and its size, or its folder.

    None for what is remote, and for what is not here either, which is no fault of the nodes.
    """
    path = Path(given).expanduser()
    if path.is_file():
        return str(path), path.stat().st_size
    while any(mark in str(path) for mark in "*?["):
        path = path.parent
    return (str(path), None) if path.is_dir() else None


def _arrives(file: Path, mark: str) -> bool:
    deadline = time.monotonic() + SETTLE_S
    while True:
        try:
            if file.read_text() == mark:
                return True
        except OSError:
            pass
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)


def _ask(
    nodes: Sequence[Node], order: Mapping[str, Any], limit_s: float, say: Say
) -> dict[str, dict[str, Any]]:
    """Collect answers by node id; a failed task is an answer too, one without response is missing."""
    import ray
    import ray.cloudpickle
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    waiting = {}
    ray.cloudpickle.register_pickle_by_value(preflight)
    try:
        remote = ray.remote(num_cpus=0, max_retries=0)(preflight.check_node)
        for node in nodes:
            there = NodeAffinitySchedulingStrategy(node_id=node.id, soft=False)
            waiting[remote.options(scheduling_strategy=there).remote(order, node.id)] = node
    finally:
        ray.cloudpickle.unregister_pickle_by_value(preflight)
    answers: dict[str, dict[str, Any]] = {}
    started, said = time.monotonic(), False
    while waiting and time.monotonic() - started < limit_s:
        done, _ = ray.wait(list(waiting), timeout=0.5)
        for ref in done:
            answers[waiting.pop(ref).id] = _result(ref)
        if waiting and not said and time.monotonic() - started > SAY_AFTER_S:
            said = True
            say("  waiting for an answer from " + ", ".join(node.name for node in waiting.values()))
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
