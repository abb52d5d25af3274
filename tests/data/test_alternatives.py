"""Rows with the same question and context, whose answers differ."""

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
