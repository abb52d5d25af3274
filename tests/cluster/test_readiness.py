"""What a node says of a run's files and packages, and what the driver makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from react_ray.cluster.preflight import check_node, versions
from react_ray.cluster.readiness import compare
from react_ray.cluster.resources import Node

NODES = [Node("a", "1", 4, 0), Node("b", "2", 4, 0)]


@pytest.fixture
def order(tmp_path: Path, tiny_model: Path) -> dict[str, Any]:
    folder = tmp_path / ".probe"
    folder.mkdir()
    (folder / "driver").write_text("mark")
    (tmp_path / "labels.csv").write_text("text,label\n")
    return {
        "output": str(tmp_path),
        "folder": str(folder),
        "mark": "mark",
        "inputs": [(str(tmp_path / "labels.csv"), 11), (str(tmp_path), None)],
        "models": [("embedded", "--model", "embedded"), (str(tiny_model), "--encoder", "folder")],
        "packages": [("torch", "always there")],
    }


def test_a_node_that_sees_everything(order: dict[str, Any]) -> None:
    answer = check_node(order, "node")
    assert (answer["problems"], answer["wrote"]) == ([], True)
    assert (Path(order["folder"]) / "node").read_text() == "mark"
    assert all(answer["versions"].values())
    assert {"python", "react-ray", "ray", "torch", "transformers"} == answer["versions"].keys()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"folder": "/nowhere/.probe"}, "is not that of the driver"),
        ({"mark": "of another run"}, "not the same folder"),
        ({"inputs": [("/nowhere/labels.csv", 11)]}, "the input /nowhere/labels.csv is missing"),
        ({"models": [("/nowhere/model", "--model", "folder")]}, "--model /nowhere/model is missing"),
        ({"models": [("no/such", "--encoder", "hub")]}, "--encoder no/such cannot be downloaded"),
        ({"packages": [("no_such", "pip install it")]}, "no_such is not installed: pip install it"),
    ],
)
def test_what_a_node_does_not_see_is_named(
    order: dict[str, Any], changed: dict[str, Any], words: str
) -> None:
    problems = check_node({**order, **changed}, "node")["problems"]
    assert [words in problem for problem in problems] == [True]


def test_an_input_with_other_content_is_noticed(order: dict[str, Any]) -> None:
    Path(order["inputs"][0][0]).write_text("text,label\na,x\n")
    assert "not the same file" in check_node(order, "node")["problems"][0]


def answer(problems: tuple[str, ...] = (), **other: str | None) -> dict[str, Any]:
    return {"versions": {**versions(), **other}, "wrote": True, "problems": list(problems)}


def test_a_problem_names_the_nodes_that_have_it() -> None:
    assert compare(NODES, versions(), {"1": answer(), "2": answer()}) == ([], [])
    found, _ = compare(NODES, versions(), {"1": answer(("no storage",)), "2": answer(("no storage",))})
    assert found == ["no storage (on a, b)"]
    found, _ = compare(NODES, versions(), {"1": {"failed": "it broke"}})
    assert found[0].startswith("no answer in time from b")
    assert found[1] == "it broke (on a)"


def test_another_react_ray_is_a_problem_and_another_torch_a_note() -> None:
    other = answer(**{"react-ray": None, "torch": "1.0"})
    problems, notes = compare(NODES, versions(), {"1": answer(), "2": other})
    assert [problem.partition(",")[0] for problem in problems] == ["no react-ray"]
    assert "(on b)" in problems[0]
    assert [note.partition(",")[0] for note in notes] == ["b has torch 1.0"]
    same = answer(torch=f"{str(versions()['torch']).partition('+')[0]}+cu128")
    assert compare(NODES, versions(), {"1": answer(), "2": same}) == ([], []), "builds may differ"
