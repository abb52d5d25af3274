"""Reports and model cards of tasks that do not give one class to one text: what their readers see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from made_runs import entity_run, pair_run, relation_run, set_run
from pages import HOSTILE, Page, assert_offline_and_inert
from sklearn.metrics import average_precision_score

from react_ray.evaluate.marks import cut_into_pieces
from react_ray.evaluate.model_card import write_model_card
from react_ray.evaluate.report import write_report
from react_ray.pipeline.publish import complete_model
from react_ray.tasks.entity_sections import confused_types, excerpt
from react_ray.tasks.labels import LabelMap
from react_ray.tasks.set_sections import average_precision
from react_ray.tasks.tagging import Span

RUNS = {"entities": entity_run, "sets": set_run, "relations": relation_run, "pairs": pair_run}
Show = Callable[[Any], Page]


@pytest.fixture
def show(tmp_path: Path) -> Show:
    def write(content: Any) -> Page:
        write_report(tmp_path / "report.html", content)
        page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
        assert_offline_and_inert(page)
        return page

    return write


def plain(text: str) -> str:
    return " ".join(text.split())


def card(content: Any, folder: Path, **more: Any) -> tuple[dict[str, Any], str]:
    write_model_card(folder, content["metrics"], name="m", **more)
    _, front, body = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), body


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_every_section_is_there_and_none_speaks_of_a_label_gan_that_was_not(show: Show, run: Any) -> None:
    content = run()
    page = show(content)
    assert len(page.sections) == 10
    assert "None to show" not in page.text
    if content["metrics"]["task"] in ("token-classification", "multi-label-classification"):
        assert "GAN" not in page.text
        assert "classifier on frozen features" in page.sections["labels"]
        assert "Balance of" not in page.sections["labels"]


@pytest.mark.parametrize(
    ("run", "lede", "headline"),
    [
        (
            entity_run,
            "Token classification with 3 types of entity, from 165 labelled texts and 3,126 unlabelled texts",
            "entity F1 on 3 test rows",
        ),
        (
            set_run,
            "Multi-label classification with 3 labels, from 165 labelled texts and 3,126 unlabelled texts.",
            "macro-F1 on 4 test rows",
        ),
        (
            relation_run,
            "Relation extraction with 4 relations, from 165 labels and 3,126 unlabelled pairs of entities.",
            "macro-F1 on 3 test rows",
        ),
        (
            pair_run,
            "Text pair classification into 2 classes, from 165 labels and 3,126 unlabelled pairs of texts.",
            "macro-F1 on 2 test rows",
        ),
    ],
)
def test_the_words_are_those_of_the_task(show: Show, run: Any, lede: str, headline: str) -> None:
    text = plain(show(run()).text)
    assert lede in text
    assert headline in text


def test_the_report_on_entities(show: Show) -> None:
    page = show(entity_run())
    types, mistakes = plain(page.sections["classes"]), plain(page.sections["mistakes"])
    assert types.startswith("Types of entity")
    for kind, n in {"type": 1, "boundary": 1, "both": 0, "spurious": 1, "missed": 2}.items():
        assert f"{kind}" in types
        assert entity_run()["metrics"]["test"]["errors"][kind] == n
    assert "other words of the right type count as right here" in types
    assert "no entity" in types
    assert "said ORG “met”, is no entity" in mistakes
    assert "said LOC “Acme Corp”, is ORG “Acme Corp”" in mistakes
    assert "said LOC “New York”, is LOC “New York City”" in mistakes
    assert "missed PER “Bob”" in mistakes
    assert "entity precision" in page.text
    assert "share of texts with exactly the right entities" in page.sections["confidence"]


def test_what_is_wrong_in_a_text_is_seen_without_colours(show: Show) -> None:
    mistakes = plain(show(entity_run()).sections["mistakes"])
    assert "PERAda Lovelace✓ PER met" in mistakes, "right: the truth above, a tick below"
    assert "metORG ✗" in mistakes
    assert "ORGAcme CorpLOC ✗" in mistakes
    assert "LOCNew YorkLOC ✗ City" in mistakes
    assert "PERBob of" in mistakes, "missed: nothing below"


def test_of_a_long_text_the_wrong_part_is_shown(show: Show) -> None:
    mistakes = plain(show(entity_run()).sections["mistakes"])
    assert "so PERAda on" in mistakes
    assert mistakes.count(" on") < 200
    assert "…" in mistakes


def test_the_report_on_sets_of_labels(show: Show) -> None:
    page = show(set_run())
    labels, mistakes = plain(page.sections["classes"]), plain(page.sections["mistakes"])
    assert labels.startswith("Labels ")
    assert "Average precision" in labels
    for pair in ("loverage1", "rage–1", "–joy1"):
        assert pair in labels.replace(" ", ""), "missed, predicted but wrong, rows"
    assert "Predicted joy, rage (50.0%), truth joy, lovemissed lovetoo much: rage" in mistakes
    assert "Predicted no label (40.0%), truth rage" in mistakes
    assert "subset accuracy" in page.text
    assert "label ranking average precision" in page.text
    assert "mean F1 of the labels of a text" in page.sections["labels"]


def test_the_report_on_relations(show: Show) -> None:
    page = show(relation_run())
    relations, mistakes = plain(page.sections["classes"]), plain(page.sections["mistakes"])
    assert "Direction wrong" in relations
    assert "Cause0.0000.0000.00011" in relations.replace(" ", ""), "both directions in one row"
    assert "Confusion matrix" in relations
    assert "the e1smoke of the e2fire" in mistakes, "both entities are marked in the text"
    assert "Predicted Cause(e1,e2) (80.0%), truth Cause(e2,e1) (20.0%)" in mistakes


def test_both_texts_of_a_pair_are_shown(show: Show) -> None:
    mistakes = plain(show(pair_run()).sections["mistakes"])
    assert "textmy card is lost text_pairclose my account" in mistakes


def test_hostile_texts_and_names_are_shown_and_never_run(show: Show) -> None:
    entities = show(entity_run(HOSTILE + " a b c d e f g h i j k", (HOSTILE, "b", '"><svg onload=x>')))
    assert HOSTILE in entities.sections["mistakes"]
    assert HOSTILE in entities.sections["classes"]
    sets = show(set_run((HOSTILE, '" onclick="x', "z"), HOSTILE))
    relations = show(relation_run((HOSTILE, "'b", "o", "p"), f"{HOSTILE} <e1>a</e1> <e2>b</e2>"))
    for page in (sets, relations):
        assert HOSTILE in page.sections["mistakes"]
        assert HOSTILE in page.sections["classes"]


def test_all_right_is_said_plainly(show: Show) -> None:
    content = relation_run()
    content["sections"][-1]["data"]["items"] = []
    assert "None: all 3 rows are correct." in show(content).sections["mistakes"]


@pytest.mark.parametrize(
    ("run", "made", "called"),
    [
        (
            entity_run,
            'pipeline("token-classification", \'out/my run/model\', aggregation_strategy="simple")',
            'model("a new text")',
        ),
        (set_run, "pipeline(\"text-classification\", 'out/my run/model')", "top_k=None"),
        (
            relation_run,
            "pipeline(\"text-classification\", 'out/my run/model')",
            "the * smoke * of the # fire #",
        ),
        (pair_run, "pipeline(\"text-classification\", 'out/my run/model')", '"text_pair": "another text"'),
    ],
)
def test_the_code_to_copy_is_python_and_fits_the_task(show: Show, run: Any, made: str, called: str) -> None:
    use = show(run()).sections["use"]
    assert made in use
    assert called in use
    start = use.index("import react_ray")
    code = use[start:].split("from transformers")[0]
    compile(code, "use", "exec")


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_a_card_has_all_metrics_of_its_task(tmp_path: Path, run: Any) -> None:
    content = run()
    front, body = card(content, tmp_path)
    test = content["metrics"]["test"]
    assert front["pipeline_tag"] == front["model-index"][0]["results"][0]["task"]["type"]
    for name in ("macro_f1", "micro_f1", "subset_accuracy", "entity_f1", "entity_precision", "entity_recall"):
        if name in test:
            low, high = test[f"{name}_interval"]
            assert f"| {test[name]:.3f} | {low:.3f} to {high:.3f} |" in body, name
    values = [result["value"] for result in front["model-index"][0]["results"][0]["metrics"]]
    assert round(test[content["metrics"]["headline"]], 4) == values[0]


def test_the_card_of_a_token_classifier(tmp_path: Path) -> None:
    front, body = card(entity_run(), tmp_path, descriptions={"PER": "people | <b>"})
    assert front["pipeline_tag"] == "token-classification"
    assert "A token classifier with 3 types of entity" in body
    assert r"| PER | people \| \<b\> |" in body
    assert 'aggregation_strategy="simple"' in body
    assert "Only entities of these types are found" in body
    assert "Every text gets one of these labels" not in body
    assert "GAN" not in body
    assert "were proposed by the model that was fine-tuned" in body
    assert "Where the truth is known, the mean entity F1 of a text is" in body


def test_a_card_of_a_run_without_test_rows(tmp_path: Path) -> None:
    content = set_run()
    content["metrics"] |= {"test": None, "label_quality": None}
    front, body = card(content, tmp_path)
    assert "model-index" not in front
    assert "**Not measured**" in body


def test_types_are_confused_by_entities_that_overlap() -> None:
    truth = [[Span(0, 3, "LOC"), Span(5, 6, "PER")], []]
    said = [[Span(0, 1, "PER"), Span(1, 3, "LOC"), Span(7, 8, "ORG")], [Span(0, 1, "ORG")]]
    found = confused_types(truth, said, ["LOC", "ORG", "PER"])
    assert found == {(0, 0): 1, (2, 3): 1, (3, 1): 2}


def test_average_precision_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    truth, scores = random.random(200) < 0.3, random.integers(0, 20, 200) / 20
    assert average_precision(truth, scores) == pytest.approx(average_precision_score(truth, scores))
    assert average_precision(np.zeros(3, bool), np.ones(3)) is None


def test_pieces_are_the_text_again() -> None:
    text = {
        "text": "New York City hall",
        "above": [[0, 13, "LOC"]],
        "below": [[0, 8, "LOC"], [14, 18, "ORG"]],
    }
    found = cut_into_pieces(text, ["LOC", "ORG"])
    assert [piece.text for piece in found] == ["New York", " City", " ", "hall"]
    assert [(piece.above.label if piece.above else None) for piece in found] == ["LOC", "", None, None]
    assert not any(piece.below.matched for piece in found if piece.below)


def test_marks_move_with_the_part_of_a_text_that_is_shown() -> None:
    text = "x " * 500 + "Ada" + " y" * 500
    shown, marks, _ = excerpt(text, 1000, [(1000, 1003, "PER")])
    assert [shown[start:end] for start, end, _ in marks] == ["Ada"]
    assert shown.startswith("… ")
    assert shown.endswith(" …")


def test_marks_of_entities_that_are_not_compared_are_not_called_wrong(tmp_path: Path) -> None:
    for run, dashed in ((relation_run, False), (entity_run, True)):
        write_report(tmp_path / "report.html", run())
        assert ("piece over s0 gone" in (tmp_path / "report.html").read_text(encoding="utf-8")) is dashed


def test_descriptions_of_classes_go_from_the_run_to_the_card(tmp_path: Path) -> None:
    done = {name: tmp_path / name for name in ("prepare", "export", "model")}
    for folder in done.values():
        folder.mkdir()
    labels = LabelMap(("LOC", "ORG", "PER"), {"PER": "people, also in stories"})
    labels.save(done["prepare"] / "labels.json")
    complete_model(done["model"], done, entity_run()["metrics"])
    card = (done["model"] / "README.md").read_text(encoding="utf-8")
    assert "| PER | people, also in stories |" in card
