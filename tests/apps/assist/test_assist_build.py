"""react-ray assist build and evaluate, from files to figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from shop import rows, write_files

from react_ray.apps.assist.build import build, load_config
from react_ray.apps.assist.evaluate import evaluate
from react_ray.apps.assist.folder import load_assistant, load_built
from react_ray.apps.assist.index import FEATURES
from react_ray.apps.assist.tuning import lowest_sure
from react_ray.cli import main
from react_ray.errors import InputError


def test_figures_of_a_test_file_are_beside_those_of_simple_methods(shop: Path) -> None:
    assert main(["assist", "evaluate", str(shop / "out"), "--input", str(shop / "test.csv"), "--quiet"]) == 0
    metrics = json.loads((shop / "out" / "metrics.json").read_text(encoding="utf-8"))
    test = metrics["test"]
    assert set(metrics["compared"]) == {"ours", "bm25", "embeddings", "ngrams"}
    for name in ("mrr_at_10", "recall_at_1", "recall_at_5", "intent_macro_f1"):
        assert test[name] > 0.8, name
    assert test["out_of_scope_auroc"] > 0.8
    low, high = test["intervals"]["mrr_at_10"]
    assert 0 <= low <= test["mrr_at_10"] <= high <= 1
    assert metrics["questions"] == {"all": 32, "in_scope": 20, "with_answer": 20}
    assert sum(metrics["replies"][kind] for kind in ("template", "answer", "handover")) == 32
    wrong = [point["wrong"] for point in metrics["solved_curve"]]
    assert wrong == sorted(wrong, reverse=True)


def test_a_template_answers_a_sure_intent_and_asks_for_what_is_missing(shop: Path) -> None:
    _, assistant = load_assistant(shop / "out")
    question = "delivery parcel late arrive"
    asked = assistant.reply(question)
    assert (asked.kind, asked.text, asked.intent) == ("template", "Which order is it?", "delivery")
    filled = assistant.reply("courier 12345 parcel shipping", [question])
    assert filled.text == "Your order 12345 arrives within five days."


def test_an_answer_comes_with_its_source_and_strange_messages_go_to_a_person(shop: Path) -> None:
    _, assistant = load_assistant(shop / "out")
    history = pd.read_csv(shop / "history.csv")
    question = history[history["intent"] == "return"]["question"].iloc[0]
    reply = assistant.reply(question)
    assert (reply.kind, reply.text) == (
        "answer",
        "Send it back within thirty days; the label is in the parcel.",
    )
    assert str(reply.source).startswith("history.csv:")
    assert reply.entry is not None
    strange = assistant.reply("§§ 9999 ####")
    assert (strange.kind, strange.text, strange.source) == ("handover", "", None)


def test_an_intent_of_one_question_gets_its_template_by_the_question_that_is_found(shop: Path) -> None:
    _, assistant = load_assistant(shop / "out")
    never = replace(assistant, thresholds=replace(assistant.thresholds, intent=2.0))
    question = pd.read_csv(shop / "history.csv").query("intent == 'payment'")["question"].iloc[0]
    reply = never.reply(question)
    assert (reply.kind, reply.intent) == ("template", "payment")


def test_a_follow_up_is_understood_by_the_message_before_it(shop: Path) -> None:
    _, assistant = load_assistant(shop / "out")
    alone = assistant.reply("12345")
    after = assistant.reply("12345", ["where is my delivery parcel, courier late"])
    assert alone.kind == "handover"
    assert (after.kind, after.text) == ("template", "Your order 12345 arrives within five days.")


def test_the_folder_has_no_pickle_and_is_written_last(shop: Path) -> None:
    endings = {path.suffix for path in (shop / "out").rglob("*") if path.is_file()}
    assert endings == {".json", ".jsonl", ".safetensors", ".sqlite", ".yaml"}
    record = json.loads((shop / "out" / "build.json").read_text(encoding="utf-8"))
    assert record["counts"]["passages"] == 1
    assert record["held_out"]["held_out_out_of_scope"] > 0


def test_a_passage_without_a_question_is_found_by_its_words(shop: Path) -> None:
    index = load_built(shop / "out").finder.index
    found = index.search("a warranty?", np.zeros(32, np.float32))
    best = found.numbers[found.features[:, FEATURES.index("answer_bm25")].argmax()]
    assert index.entry(int(best)).source == "warranty.md (Warranty)"


def test_without_intents_there_is_no_classifier_and_chinese_is_found(
    tmp_path: Path, make_tiny_model: Callable[..., Path]
) -> None:
    pairs = {"如何重置密码": "在设置中修改。", "包裹什么时候到": "五天之内。", "可以退货吗": "三十天内可以。"}
    frame = pd.DataFrame([{"question": q, "answer": a} for q, a in pairs.items()])
    frame.to_csv(tmp_path / "faq.csv", index=False)
    frame.assign(question=["重置我的密码", "包裹何时到", "能退货吗"]).to_csv(
        tmp_path / "test.csv", index=False
    )
    model = make_tiny_model(tmp_path / "model", sorted(set("".join([*pairs, *pairs.values()]) + "我能何")))
    flags = {"history": str(tmp_path / "faq.csv"), "output": str(tmp_path / "out"), "encoder": str(model)}
    build(load_config([], flags), quiet=True)
    assert load_built(tmp_path / "out").finder.intents is None
    test = evaluate(tmp_path / "out", str(tmp_path / "test.csv"), quiet=True).metrics["test"]
    assert test["recall_at_1"] == 1
    assert test["intent_macro_f1"] is None
    assert test["out_of_scope_auroc"] is None


def test_questions_without_answers_make_a_classifier_and_the_nearest_question_is_compared(
    tmp_path: Path, tiny_model: Path
) -> None:
    write_files(tmp_path)
    for name in ("history.csv", "test.csv"):
        pd.read_csv(tmp_path / name).drop(columns="answer").to_csv(tmp_path / name, index=False)
    flags = {"history": str(tmp_path / "history.csv"), "output": str(tmp_path / "out")}
    build(load_config([], flags | {"encoder": str(tiny_model)}), quiet=True)
    compared = evaluate(tmp_path / "out", str(tmp_path / "test.csv"), quiet=True).metrics["compared"]
    for figures in compared.values():
        assert [figures[name] for name in ("mrr_at_10", "recall_at_1", "recall_at_5")] == [None] * 3
    assert all(found["out_of_scope_auroc"] > 0.6 for found in compared.values())


def test_errors_say_what_to_do(tmp_path: Path, shop: Path, tiny_model: Path) -> None:
    with pytest.raises(InputError, match="react-ray assist build"):
        load_built(tmp_path)
    rows(5, 0).to_csv(tmp_path / "faq.csv", index=False)
    flags = {
        "history": str(tmp_path / "faq.csv"),
        "output": str(tmp_path / "out"),
        "encoder": str(tiny_model),
    }
    with pytest.raises(InputError, match="no such folder"):
        build(load_config([], flags | {"documents": str(tmp_path / "none")}), quiet=True)
    (tmp_path / "test.csv").write_text("question,answer\n,a\n", encoding="utf-8")
    with pytest.raises(InputError, match="no row has a question"):
        evaluate(shop / "out", str(tmp_path / "test.csv"), quiet=True)


def test_a_threshold_is_never_below_its_precision_and_ties_stand_together() -> None:
    scores = np.array([0.9, 0.8, 0.8, 0.7])
    assert lowest_sure(scores, np.array([True, True, True, False]), 0.9) == 0.8
    assert lowest_sure(scores, np.array([True, True, False, False]), 0.9) == 0.9
    assert lowest_sure(scores, np.zeros(4, bool), 0.9) > 1
