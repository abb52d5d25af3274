"""The page in a real browser, against the real service.

With PICTURES=docs/pictures the pictures of the documents are made as well, of the model
in the folder PICTURED.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, ViewportSize, expect, sync_playwright
from service_client import LABELS, LIMITS, POISON, Client

pytestmark = pytest.mark.ray

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
QUIET = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-lcd-text",
]
PHONE: ViewportSize = {"width": 360, "height": 780}
STORY = (
    "The striker scored twice in the final minutes as the champions came from behind to win the cup. "
    "The club's shares rose four per cent on the stock exchange the next morning."
)


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


@pytest.fixture
def page(browser: Browser, client: Client) -> Iterator[Page]:
    """The page as it is when opened; it may load from its own origin only and must not complain."""
    context = browser.new_context()
    page = context.new_page()
    origin = f"127.0.0.1:{client.port}"
    elsewhere: list[str] = []
    complaints: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request", lambda request: elsewhere.append(request.url) if is_foreign(request.url, origin) else None
    )
    page.goto(f"http://{origin}/")
    expect(page.locator("#subtitle")).to_contain_text("5 labels")
    yield page
    context.close()
    assert (elsewhere, complaints) == ([], [])


def is_foreign(url: str, origin: str) -> bool:
    return urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).netloc != origin


def ask(page: Page, text: str) -> None:
    page.get_by_label("Text to classify").fill(text)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#status")).to_contain_text(re.compile("Answered in|abstains"))


def shown_labels(page: Page) -> list[str]:
    return page.locator("#scores .label").all_inner_texts()


def upload(page: Page, content: str | bytes, name: str = "rows.csv") -> None:
    data = content.encode() if isinstance(content, str) else content
    page.get_by_label("CSV in UTF-8").set_input_files({"name": name, "mimeType": "text/csv", "buffer": data})


def classified(page: Page) -> str:
    """What the download holds, line ends as they are."""
    page.get_by_role("button", name="Classify the file").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the result").click()
    assert download.value.suggested_filename == "rows-labelled.csv"
    return Path(download.value.path()).read_bytes().decode()


@pytest.mark.parametrize(
    "text", ["goal in the last minute", "股市上涨, 球队夺得冠军", "مرحبا بالعالم", 'a<b>c & "d"\n🚀']
)
def test_a_text_gets_the_labels_that_the_service_gives(page: Page, client: Client, text: str) -> None:
    ask(page, text)
    ranking = client.predict(text).json
    assert shown_labels(page) == [entry["label"] for entry in ranking]
    scores = page.locator("#scores .number").all_inner_texts()
    assert [float(score.removesuffix("\u00a0%")) for score in scores] == pytest.approx(
        [100 * entry["score"] for entry in ranking], abs=0.051
    )


def test_text_from_right_to_left_is_set_so(page: Page) -> None:
    ask(page, "مرحبا بالعالم")
    page.get_by_role("button", name=re.compile("^Why")).first.click()
    for name in ("#text", "#why-text"):
        expect(page.locator(name)).to_have_css("direction", "rtl")
    expect(page.locator("html")).to_have_css("direction", "ltr")


def test_below_the_threshold_the_page_says_that_it_abstains(page: Page, client: Client) -> None:
    ask(page, "goal")
    slider = page.get_by_label("Leave out labels below")
    slider.fill("100")
    best = client.predict("goal").json[0]["label"]
    expect(page.locator("#status")).to_contain_text(f"No label: the best one, {best}, has")
    expect(page.locator("#scores li.kept")).to_have_count(0)
    slider.fill("0")
    expect(page.locator("#status")).to_contain_text(f"{best}, ")
    expect(page.locator("#scores li.kept")).to_have_count(len(LABELS))


def test_why_marks_the_words_with_more_than_colour(page: Page, client: Client) -> None:
    text = "🚀 goal 股市 late minute"
    ask(page, text)
    best = client.predict(text).json[0]["label"]
    page.get_by_role("button", name=f"Why {best}?").click()
    region = page.get_by_role("region", name=re.compile(f"^Why {re.escape(best)}, "))
    expect(region).to_be_focused()
    assert page.locator("#why-text").inner_text() == text
    body = {"input": text, "label": best}
    words = client.send(
        "POST", "/explain", json.dumps(body).encode(), {"Content-Type": "application/json"}
    ).json["words"]
    most = max(abs(word["weight"]) for word in words)
    marks = [word for word in words if abs(word["weight"]) >= 0.2 * most]
    found = page.locator("#why-text mark")
    assert found.all_inner_texts() == [word["text"] for word in marks]
    for index, word in enumerate(marks):
        mark = found.nth(index)
        assert mark.get_attribute("class") == ("for" if word["weight"] > 0 else "against")
        assert f"{abs(100 * word['weight']):.1f} percentage points" in (mark.get_attribute("title") or "")
        line = mark.evaluate("e => getComputedStyle(e).textDecorationStyle")
        assert line == ("solid" if word["weight"] > 0 else "wavy")


def test_a_label_like_a_script_is_text(page: Page) -> None:
    ask(page, "goal")
    assert "a<b>c" in shown_labels(page)
    assert "a<b>c" in page.locator("#labels li").all_inner_texts()
    page.get_by_text("Model card", exact=True).click()
    expect(page.locator("#card")).to_contain_text("<script>alert(1)</script>")
    assert page.locator("#card h3").all_inner_texts() == ["A tiny classifier 体育"]
    assert page.locator("#card script, #labels b").count() == 0


def test_a_file_comes_back_with_label_and_score(page: Page, client: Client) -> None:
    texts = ['say "goal", twice', "two\nlines", "股市上涨", "", " spaces ", "crlf\r\nwithin", f"bad {POISON}"]
    texts += [f"row {i} of many" for i in range(LIMITS["max_texts"] + 40)]
    written = io.StringIO()
    csv.writer(written).writerows(
        [["id", "Text", "label"], *([i, text, "x,y"] for i, text in enumerate(texts))]
    )
    upload(page, "\ufeff" + written.getvalue())
    content = classified(page)
    assert content.startswith("\ufeffid,Text,label,predicted_label,score\r\n")
    _, *rows = csv.reader(io.StringIO(content.removeprefix("\ufeff"), newline=""))
    assert [row[:3] for row in rows] == [[str(i), text, "x,y"] for i, text in enumerate(texts)]
    assert rows[6][3:] == ["", ""]
    for index, text in [(0, texts[0]), (1, texts[1]), (2, texts[2]), (3, ""), (5, texts[5]), (-1, texts[-1])]:
        best = client.predict(text).json[0]
        assert (rows[index][3], float(rows[index][4])) == (
            best["label"],
            pytest.approx(best["score"], abs=1e-5),
        )
    assert all(row[3] in LABELS for row in rows[:6] + rows[7:])
    expect(page.locator("#file-status")).to_have_text(f"Done: {len(texts)} rows.")
    expect(page.locator("#counts")).to_contain_text("the model failed")


def test_a_file_names_no_text_and_has_long_rows(page: Page) -> None:
    upload(page, '"a,b,c";Bericht\n1;' + "股" * 400 + "\n2;goal;more\n\n3;")
    assert page.get_by_role("button", name="Classify the file").is_disabled()
    expect(page.locator("#file-status")).to_contain_text("choose the one with the text")
    page.get_by_label("Column with the text").select_option("Bericht")
    page.get_by_label("Leave out labels below").fill("100")
    assert classified(page).split("\r\n") == [
        "a,b,c;Bericht;;label;score", f"1;{'股' * 400};;;", "2;goal;more;;", ";;;;", "3;;;;", "",
    ]  # fmt: skip
    expect(page.locator("#counts")).to_contain_text("below the threshold")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("text\n股".encode("gbk"), "not in UTF-8"),
        (b"text\n", "no rows"),
        (b'text\nok\n"open\nrow', "a quotation mark in row 3 has no end"),
    ],
)
def test_files_that_cannot_be_read_are_told_why(page: Page, content: bytes, says: str) -> None:
    upload(page, content)
    expect(page.locator("#file-status")).to_contain_text(says)
    assert page.get_by_role("button", name="Classify the file").is_disabled()


def test_a_file_is_cancelled_and_goes_on(page: Page) -> None:
    asked: list[Route] = []

    def leave_the_second(route: Route) -> None:
        asked.append(route)
        if len(asked) != 2:
            route.continue_()

    upload(page, "text\n" + "goal\n" * (2 * LIMITS["max_texts"]))
    page.route("**/predict", leave_the_second)
    page.get_by_role("button", name="Classify the file").click()
    expect(page.locator("#progress-text")).to_contain_text("128 of 256 rows")
    page.keyboard.press("Escape")
    expect(page.locator("#file-status")).to_have_text("Cancelled after 128 rows.")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#file-status")).to_have_text("Done: 256 rows.")
    assert len(asked) == 3
    page.get_by_label("Leave out labels below").fill("50")  # what is done was done with another
    expect(page.get_by_role("link", name="Download the result")).to_be_hidden()
    expect(page.get_by_role("button", name="Classify the file")).to_be_enabled()


def refuse_once(status: int, headers: dict[str, str], body: str) -> Callable[[Route], None]:
    asked: list[Route] = []

    def handle(route: Route) -> None:
        asked.append(route)
        if len(asked) == 1:
            route.fulfill(status=status, headers=headers, body=body)
        else:
            route.continue_()

    return handle


def test_a_busy_service_is_asked_again(page: Page) -> None:
    page.route("**/predict", refuse_once(429, {"Retry-After": "1"}, "busy"))
    upload(page, "text\ngoal\n")
    assert classified(page).startswith("text,label,score\r\ngoal,")


def test_a_key_is_asked_for_when_the_service_wants_one(page: Page) -> None:
    expect(page.get_by_label("API key")).to_be_hidden()
    page.route("**/predict", refuse_once(401, {}, '{"error": "a key is needed"}'))
    page.get_by_label("Text to classify").fill("goal")
    page.get_by_role("button", name="Classify", exact=True).click()
    expect(page.get_by_label("API key")).to_be_focused()
    expect(page.locator("#status")).to_have_text("No answer: a key is needed")
    page.keyboard.type("secret")
    with page.expect_request("**/predict") as request:
        page.keyboard.press("Enter")
    assert request.value.headers["authorization"] == "Bearer secret"
    expect(page.locator("#status")).to_contain_text("Answered")
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]


def test_the_keyboard_is_enough(page: Page) -> None:
    expect(page.get_by_label("Text to classify")).to_be_focused()
    page.keyboard.type("goal")
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    expect(page.locator("#threshold-value")).to_have_text("100 %")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("abstains")
    page.keyboard.press("Tab")
    focus = "[document.activeElement.textContent, getComputedStyle(document.activeElement).outlineStyle]"
    assert page.evaluate(focus) == ["Why?", "solid"]
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name=re.compile("^Why"))).to_be_focused()


def test_the_traffic_of_all_callers_is_shown(page: Page, client: Client) -> None:
    expect(page.locator("#requests")).not_to_have_text("–", timeout=15_000)
    for _ in range(20):
        client.predict(["a", "b", "c"])
    expect(page.locator("#requests")).not_to_have_text("0.0", timeout=15_000)
    assert float(page.locator("#texts").inner_text()) > float(page.locator("#requests").inner_text())
    for name in ("median", "p95"):
        assert re.fullmatch(r"\d+ ms|\d+\.\d s", page.locator(f"#{name}").inner_text())
    assert page.locator("#spark").get_attribute("points")


def test_a_hidden_page_asks_for_no_metrics(page: Page) -> None:
    page.evaluate("Object.defineProperty(document, 'visibilityState', { get: () => 'hidden' })")
    page.wait_for_timeout(500)
    polls: list[str] = []
    page.on("request", lambda request: polls.append(request.url))
    page.wait_for_timeout(4500)
    assert polls == []


def test_the_page_for_programs_describes_every_route(page: Page, client: Client) -> None:
    page.get_by_role("link", name="For programs").click()
    for path, methods in client.get("/openapi.json").json["paths"].items():
        for method in methods:
            expect(page.get_by_role("heading", name=f"{method.upper()} {path}", exact=True)).to_be_visible()
    expect(page.locator("main")).to_contain_text('--data-binary \'{"input":"The striker')


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(page: Page, scheme: str) -> None:
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    ask(page, "goal " + "wide" * 40)
    page.get_by_role("button", name=re.compile("^Why")).first.click()
    expect(page.locator("#why")).to_be_visible()
    page.get_by_text("Model card", exact=True).click()
    upload(page, "text," + "long_name_" * 9 + "\ngoal,1\n")
    classified(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert contrast_of(page, "body", "body") > 12
    assert contrast_of(page, ".quiet", "section") > 4.5


def contrast_of(page: Page, text: str, ground: str) -> float:
    """The ratio of luminances, as accessibility guidelines define it."""

    def luminance(selector: str, style: str) -> float:
        given = page.locator(selector).first.evaluate(f"e => getComputedStyle(e).{style}")
        parts = [int(number) / 255 for number in re.findall(r"\d+", given)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([luminance(text, "color"), luminance(ground, "backgroundColor")])
    return (high + 0.05) / (low + 0.05)


def test_everything_has_a_name_and_a_place(page: Page) -> None:
    ask(page, "goal")
    page.get_by_role("button", name=re.compile("^Why")).first.click()
    expect(page.locator("#why")).to_be_visible()
    upload(page, "text\ngoal\n")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("input, textarea, select, button, progress")]
             .filter((e) => !(e.labels?.length || e.getAttribute("aria-label") || e.textContent.trim()))
             .map((e) => e.outerHTML)"""
    )
    assert nameless == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
    seen = page.locator("body").aria_snapshot()
    for line in (
        "- banner:", "- main:", '- complementary "The service":', '- heading "Text classifier" [level=1]',
        '- region "A text":', '- textbox "Text to classify"', '- slider "Leave out labels below"',
        "- status:", '- region "Traffic":', '- list "Labels, best first":',
        '- combobox "Column with the text"',
    ):  # fmt: skip
        assert line in seen, seen


@pytest.fixture
def pictured(client: Client) -> Iterator[str]:
    """Where a model whose labels make sense is served, beside the other and under a prefix."""
    from ray import serve

    from react_ray.serve.app import build

    model = str(Path(os.environ["PICTURED"]).resolve())
    serve.run(build({"model": model, "cpus_per_replica": 1}), name="pictured", route_prefix="/pictured")
    yield f"http://127.0.0.1:{client.port}/pictured/"
    serve.delete("pictured")


@pytest.mark.skipif("PICTURES" not in os.environ, reason="pictures are made when PICTURES says where to")
def test_pictures(browser: Browser, pictured: str) -> None:
    folder = Path(os.environ["PICTURES"])
    folder.mkdir(parents=True, exist_ok=True)
    sizes: dict[str, ViewportSize] = {"page": {"width": 1024, "height": 980}, "page-mobile": PHONE}
    for name, size in sizes.items():
        page = browser.new_page(viewport=size)
        page.goto(pictured)
        ask(page, STORY)
        page.get_by_role("button", name=re.compile("^Why")).first.click()
        expect(page.locator("#why")).to_be_visible()
        page.wait_for_timeout(9000)  # some traffic to show
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        if size == PHONE:
            page.evaluate("document.getElementById('status').scrollIntoView()")
        page.screenshot(path=folder / f"{name}.png")
        assert (folder / f"{name}.png").stat().st_size < 150_000
        page.close()
