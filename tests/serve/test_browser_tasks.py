"""The page of services of other tasks than one label a text, in a real browser.

With SCREENSHOTS=folder a picture of each is kept there.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from fakes import FakeModel, FakeTokenizer
from playwright.sync_api import Browser, Page, expect, sync_playwright
from ports import free_port
from test_browser import CHROMIUM, PHONE, QUIET
from test_entities import Tagger
from test_triples_service import Relater

from react_ray.config.service import ServeConfig
from react_ray.inference.saved import SavedModel
from react_ray.models.tokenizer import Window
from react_ray.serve.engine.about import About
from react_ray.serve.engine.model import Engine
from react_ray.serve.engine.relations import Relations
from react_ray.serve.service import Service
from react_ray.serve.web import build_app
from react_ray.tasks import get_task
from react_ray.tasks.task import Example, Outputs

LABELS = ["art", "business", "politics", "sport <b>", "体育"]
TEXT = "Ada met Bob in Paris"


class Sets(FakeModel):
    """Finds the second and the fourth label in every text."""

    def __init__(self) -> None:
        super().__init__(LABELS, task=get_task("multi-label-classification"))

    def run(self, examples: Sequence[Example]) -> Outputs:
        return [np.array([-3, 2, -1, 0.5, -6], np.float32)] * len(examples)


class PairTokens(FakeTokenizer):
    def pairs(self, texts: Sequence[str], others: Sequence[str]) -> list[Window]:
        return [
            Window([len(text), len(other)], [0, 1], [], []) for text, other in zip(texts, others, strict=True)
        ]


class Pairs(FakeModel):
    """Says whether two texts are as long as each other."""

    def __init__(self) -> None:
        super().__init__(["other", "same"], PairTokens(8, "right"), get_task("text-pair-classification"))

    def run(self, examples: Sequence[Example]) -> Outputs:
        return [np.array([0, 3 if one.ids[0] == one.ids[1] else -3], np.float32) for one in examples]


class Places(FakeTokenizer):
    """A token a character of the context."""

    def pair_windows(self, texts: Sequence[str], others: Sequence[str], stride: int) -> list[list[Window]]:
        return [
            [
                Window(
                    [0, *map(ord, context)],
                    [0, *[1] * len(context)],
                    [(0, 0), *((n, n + 1) for n in range(len(context)))],
                    [None, *[1] * len(context)],
                )
            ]
            for context in others
        ]


class Finder(FakeModel):
    """Answers with the first run of digits; without one, the context has no answer."""

    def __init__(self) -> None:
        super().__init__([], Places(8, "right"), get_task("question-answering"))

    def run(self, examples: Sequence[Example]) -> Outputs:
        return [self._logits("".join(map(chr, example.ids[1:]))) for example in examples]

    def _logits(self, text: str) -> Any:
        context = re.sub(r"\s", "", text)  # white space is no place of an answer
        logits = np.full((2, len(context) + 1), -5, np.float32)
        number = re.search(r"\d+", context)
        logits[0, number.start() + 1 if number else 0] = 4
        logits[1, number.end() if number else 0] = 4
        return logits


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium or Chrome on the PATH: the page is not tested")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", *QUIET]
        )
        yield browser
        browser.close()


@contextmanager
def served(model: SavedModel, relations: SavedModel | None) -> Iterator[str]:
    """The address of a service in a thread of this process."""
    config = ServeConfig(access_log=False)
    beside = Relations(Engine(relations), config) if relations else None
    service = Service(Engine(model), config, About("1", None, "none"), relations=beside)

    async def scrape() -> bytes:
        return b""

    port = free_port()
    config = uvicorn.Config(build_app(service, scrape), host="127.0.0.1", port=port, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join(10)


@contextmanager
def opened(browser: Browser, model: SavedModel, relations: SavedModel | None = None) -> Iterator[Page]:
    """The page of a service, which must not complain."""
    complaints: list[str] = []
    with served(model, relations) as address:
        page = browser.new_page(viewport={"width": 1024, "height": 900})
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto(address)
        expect(page.locator("#subtitle")).to_contain_text("labels")
        yield page
        page.close()
    assert complaints == []


def ask(page: Page, text: str) -> None:
    page.get_by_label("Text to classify").fill(text)
    page.get_by_role("button", name="Classify", exact=True).click()
    expect(page.locator("#status")).to_contain_text("Answered")


def picture(page: Page, name: str) -> None:
    if "SCREENSHOTS" in os.environ:
        Path(os.environ["SCREENSHOTS"]).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / f"{name}.png")


def colour(page: Page, selector: str, place: int) -> Any:
    return page.locator(selector).nth(place).evaluate("e => getComputedStyle(e).backgroundColor")


def test_entities_are_marked_in_the_text_with_a_colour_for_each_type(browser: Browser) -> None:
    with opened(browser, Tagger()) as page:
        text = f"🚀 <i>股市</i> {TEXT}"
        ask(page, text)
        expect(page.get_by_role("heading", level=1)).to_have_text("Token classification")
        marks = page.locator("#entities mark")
        assert marks.all_inner_texts() == ["AdaPER", "BobPER", "ParisLOC"]
        assert page.locator("#entities").inner_text() == "🚀 <i>股市</i> AdaPER met BobPER in ParisLOC"
        assert colour(page, "#entities mark", 0) == colour(page, "#entities mark", 1)
        assert colour(page, "#entities mark", 0) != colour(page, "#entities mark", 2)
        assert page.locator("#legend li").all_inner_texts() == ["PER 2", "LOC 1"]
        assert colour(page, "#legend li", 1) == colour(page, "#entities mark", 2)
        expect(page.locator("#file-section")).to_be_hidden()
        picture(page, "entities")
        page.get_by_label("Leave out entities below").fill("50")
        assert marks.all_inner_texts() == ["AdaPER", "ParisLOC"]
        expect(page.locator("#status")).to_contain_text("2 entities")
        ask(page, "nobody")
        expect(page.locator("#status")).to_contain_text("No entities")
        page.set_viewport_size(PHONE)
        ask(page, "wide" * 60 + " " + TEXT)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_relations_between_entities_are_a_table_beside_them(browser: Browser) -> None:
    with opened(browser, Tagger(), Relater()) as page:
        expect(page.locator("#facts")).to_contain_text("Home(e1,e2), Home(e2,e1), Other")
        ask(page, TEXT)
        expect(page.locator("#status")).to_contain_text("3 entities, 2 relations.")
        table = page.get_by_role("table", name="Relations between entities")
        assert table.get_by_role("columnheader").all_inner_texts() == ["Head", "Relation", "Tail", "Score"]
        found = [row.split("\t") for row in table.locator("tbody tr").all_inner_texts()]
        assert [row[:3] for row in found] == [["Ada", "Home", "Paris"], ["Paris", "Home", "Bob"]]
        assert all(row[3].endswith("%") for row in found)
        picture(page, "triples")
        page.get_by_label("Leave out entities below").fill("50")
        assert table.locator("tbody tr").count() == 1
        expect(page.locator("#status")).to_contain_text("2 entities, 1 relation.")
        ask(page, "Ada alone")
        expect(page.locator("#status")).to_contain_text("1 entity, no relations.")
        expect(table).to_be_hidden()


def test_the_two_entities_of_a_relation_are_marked_in_the_text(browser: Browser) -> None:
    with opened(browser, Relater()) as page:
        box = page.get_by_label("Text to classify")
        expect(box).to_have_accessible_description(
            re.compile("first entity with <e1> and </e1>, the second with <e2> and </e2>")
        )
        page.get_by_role("button", name="Show an example").click()
        expect(box).to_have_value("the <e1>smoke</e1> of the <e2>fire</e2>")
        expect(box).to_be_focused()
        ask(page, "<e1>Ada</e1> lives in <e2>Paris</e2>")
        expect(page.locator("#status")).to_contain_text("Home(e1,e2), ")
        assert page.locator("#scores .label").all_inner_texts() == ["Home(e1,e2)", "Home(e2,e1)", "Other"]
        picture(page, "relation")


def test_several_labels_are_bars_of_which_those_in_the_set_stand_out(browser: Browser) -> None:
    with opened(browser, Sets()) as page:
        ask(page, TEXT)
        expect(page.get_by_role("heading", level=1)).to_have_text("Multi-label classification")
        assert page.locator("#scores .label").all_inner_texts() == [
            "business", "sport <b>", "politics", "art", "体育",
        ]  # fmt: skip
        assert page.locator("#scores li.kept .label").all_inner_texts() == ["business", "sport <b>"]
        expect(page.locator("#status")).to_contain_text("business, sport <b>. Answered")
        expect(page.locator("#scores button").first).to_be_hidden()
        picture(page, "labels")
        page.get_by_label("Leave out labels below").fill("80")
        assert page.locator("#scores li.kept .label").all_inner_texts() == ["business"]


def test_a_pair_has_two_boxes(browser: Browser) -> None:
    with opened(browser, Pairs()) as page:
        page.get_by_label("Second text (text_pair)").fill("four")
        ask(page, "five")
        expect(page.locator("#status")).to_contain_text("same, ")
        page.get_by_label("Second text (text_pair)").fill("fourteen")
        ask(page, "five")
        expect(page.locator("#status")).to_contain_text("other, ")
        picture(page, "pair")


def test_the_answer_to_a_question_is_marked_in_its_context(browser: Browser) -> None:
    with opened(browser, Finder()) as page:
        expect(page.get_by_role("heading", level=1)).to_have_text("Question answering")
        question, context = page.get_by_label("Question (question)"), page.get_by_label("Text (context)")
        answer = page.get_by_role("button", name="Answer", exact=True)
        context.fill("🚀 <i>李白</i> 于 1843 年写诗。")
        answer.click()
        assert page.locator("#status").inner_text() == "", "a question is needed"
        question.fill("什么时候？")
        answer.click()
        expect(page.locator("#status")).to_contain_text("1843, ")
        marked = page.get_by_role("group", name="The text with the answer marked")
        assert marked.inner_text() == "🚀 <i>李白</i> 于 1843 年写诗。"
        assert marked.locator("mark").all_inner_texts() == ["1843"]
        expect(page.locator("#file-section")).to_be_hidden()
        picture(page, "answer")
        page.get_by_label("Leave out answers below").fill("100")
        assert marked.locator("mark").count() == 0
        expect(page.locator("#status")).to_contain_text("below the threshold")
        page.get_by_label("Leave out answers below").fill("0")
        context.fill("nobody knows")
        answer.click()
        expect(page.locator("#status")).to_contain_text("The context has no answer")
        assert marked.inner_text() == "nobody knows"
