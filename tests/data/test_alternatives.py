"""Rows with the same input, whose targets differ and are all right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from react_ray.config.settings import DataConfig
from react_ray.data.prepare import prepare

CONTEXT = "Ada met Bob in Rome, in the year 1843."


def row(question: str, *spans: tuple[int, int], context: str = CONTEXT) -> dict[str, Any]:
    return {"context": context, "question": question, "answers": [list(span) for span in spans]}


def prepared(folder: Path, *rows: dict[str, Any], test: list[dict[str, Any]]) -> tuple[Any, list[str]]:
    """The answers of each row by part and question, and why others are rejected."""
    for name, some in (("a", rows), ("t", test)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in some))
    config = DataConfig(labeled=str(folder / "a.jsonl"), test=str(folder / "t.jsonl"))
    prepare(config, folder / "out", task="question-answering")
    kept = pq.read_table(folder / "out" / "rows.parquet").to_pylist()
    refused = [json.loads(line) for line in (folder / "out" / "refused.jsonl").read_text().splitlines()]
    answers = {(one["part"], one["question"]): one["answers"] for one in kept}
    reasons = [f"{one['row']}: {one['reason'].replace(str(folder), '')}" for one in refused]
    assert len(answers) == len(kept)
    return answers, reasons


def test_different_answers_of_a_question_are_all_right(tmp_path):
    rows = [row("where?", (15, 19)), row("when?", (33, 37)), row("where?", (12, 19)), row("where?", (15, 19))]
    test = [row("who?", (8, 11)), row("who?", (0, 3))]
    answers, reasons = prepared(tmp_path, *rows, test=test)
    assert answers == {
        ("labeled", "where?"): [[15, 19], [12, 19]],
        ("labeled", "when?"): [[33, 37]],
        ("test", "who?"): [[8, 11], [0, 3]],
    }
    kept = "merged: the same input is {}, row 1, which keeps the targets of both"
    assert reasons == [*(f"{n}: {kept.format('/a.jsonl')}" for n in (3, 4)), f"2: {kept.format('/t.jsonl')}"]


def test_an_answer_and_none_are_a_conflict_and_other_white_space_other_places(tmp_path):
    wider = CONTEXT.replace(" ", "  ")
    rows = [row("where?", (15, 19)), row("where?"), row("who?", (8, 11)), row("who?", (0, 3), context=wider)]
    answers, reasons = prepared(
        tmp_path, *rows, row("when?", (33, 37)), test=[row("when?", (24, 37)), row("who?")]
    )
    assert answers == {("labeled", "when?"): [[33, 37]], ("test", "who?"): []}
    assert [reason.partition(":")[0] for reason in reasons] == ["1", "2", "3", "4", "1"]
    assert all("two targets" in reason for reason in reasons[:4])
    assert "also labelled" in reasons[4]


def test_all_references_of_a_source_are_trained_on_and_one_is_compared_with(tmp_path):
    pairs = [("a dog", "ein Hund"), ("a dog", "der Hund"), ("a dog", "ein Hund"), ("a cat", "eine Katze")]
    test = [("a house", "ein Haus"), ("a house", "das Haus"), ("a house", "ein Haus"), ("a dog", "Hund")]
    for name, some in (("a", pairs), ("t", test)):
        lines = [json.dumps({"source": source, "target": target}) + "\n" for source, target in some]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    config = DataConfig(labeled=str(tmp_path / "a.jsonl"), test=str(tmp_path / "t.jsonl"))
    summary = prepare(config, tmp_path / "out", task="translation")
    kept = [
        (one["part"], one["text"], one["target"])
        for one in pq.read_table(tmp_path / "out" / "rows.parquet").to_pylist()
    ]
    labelled = [("labeled", *pair) for pair in (pairs[0], pairs[1], pairs[3])]
    assert kept == [*labelled, ("test", *test[0])]
    assert summary["refused"] == {"duplicate": 2, "further reference": 1, "also labelled": 1}
    assert (tmp_path / "out" / "refused.jsonl").read_text().count("t.jsonl, row 1") == 2
