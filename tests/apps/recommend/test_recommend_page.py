"""The page of the recommender in a real browser.

With PICTURES=docs/pictures its picture in the documents is made as well, of the recommender in the folder
PICTURED, which examples/recommend_movies.py makes.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Page, expect, sync_playwright

from react_ray import create_app
from react_ray.apps.recommend.settings import RecommendServeConfig

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a service in a thread of this process."""
    app = create_app(
        "react_ray.apps.recommend.service:load_service", folder, RecommendServeConfig(access_log=False)
    )
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def address(built: Path) -> Iterator[str]:
    with served(built) as url:
        yield url


@pytest.fixture
def page(address: str) -> Iterator[Page]:
    """The page as it is when opened; it must not complain, or load from elsewhere."""
    if CHROMIUM is None:
        pytest.skip("no Chromium or Chrome on the PATH: the page is not tested")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda one: None if one.url.startswith(address) else complaints.append(one.url))
        page.goto(address)
        yield page
        browser.close()
    assert complaints == []


@pytest.mark.ray
def test_items_for_a_user_their_reasons_and_more_like_one(page: Page) -> None:
    expect(page.locator("#about")).to_have_text("90 items")
    page.get_by_label("User", exact=True).fill("u0")
    page.get_by_label("Number of items").fill("4")
    page.get_by_role("button", name="Recommend").click()
    expect(page.get_by_role("heading", name="For u0")).to_be_visible()
    items = page.locator("#items > li")
    expect(items).to_have_count(4)
    expect(items.first.locator(".item")).to_contain_text("space-")
    expect(items.first.locator("ul")).to_contain_text("liked by those who liked space-")
    liked = str(items.first.locator(".item").text_content())
    items.first.get_by_role("button", name="More like this").click()
    expect(page.get_by_role("heading", name=f"Like {liked}")).to_be_visible()
    page.get_by_text("Filter and key").click()
    page.get_by_label("Filter, JSON").fill('{"topic": "sport"}')
    page.get_by_role("button", name="Recommend").click()
    expect(items.first.locator(".item")).to_contain_text("sport-")
    page.get_by_label("Liked items, one a line").fill("<b>nothing</b>")
    page.get_by_role("button", name="Recommend").click()
    expect(page.get_by_role("alert")).to_contain_text("unknown item '<b>nothing</b>'")


@pytest.mark.ray
def test_the_documentation_lists_the_fields(page: Page, address: str) -> None:
    page.goto(f"{address}/docs")
    expect(page.get_by_role("heading", name="POST /recommend")).to_be_visible()
    expect(page.get_by_role("cell", name="history", exact=True)).to_be_visible()


@pytest.mark.skipif("PICTURES" not in os.environ, reason="makes the picture of the documents")
def test_picture_of_the_documents() -> None:
    with served(Path(os.environ["PICTURED"])) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1000, "height": 1150})
        page.goto(url)
        page.get_by_label("Number of items").fill("4")
        page.get_by_label("Liked items, one a line").fill("1\n3114\n2355")
        page.get_by_role("button", name="Recommend").click()
        expect(page.locator("#items > li")).to_have_count(4)
        page.screenshot(path=Path(os.environ["PICTURES"]) / "recommend.png")
        browser.close()
