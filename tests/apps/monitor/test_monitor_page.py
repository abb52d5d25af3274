"""The page of the monitor in a real browser.

With PICTURES=docs/pictures its picture in the documents is made as well.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Page, expect, sync_playwright
from tiny_opinions import make_items, write_jsonl

from react_ray import create_app
from react_ray.apps.monitor.run import load_config, run
from react_ray.apps.monitor.settings import MonitorServeConfig

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)


@pytest.fixture(scope="module")
def address(filled: Path) -> Iterator[str]:
    app = create_app(
        "react_ray.apps.monitor.hosted:load",
        filled,
        MonitorServeConfig(access_log=False),
        owner="react_ray.apps.monitor.hosted:open_service",
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
def test_trend_texts_of_a_bar_filters_and_alerts(page: Page) -> None:
    bars = page.locator("#chart .bar")
    expect(bars).to_have_count(60)
    surge = page.get_by_role("button", name="2024-02-25: 23 texts")
    surge.click()
    expect(page.get_by_role("heading", name="Texts of 2024-02-25")).to_be_visible()
    texts = page.locator("#texts > li")
    expect(texts).to_have_count(23)
    expect(texts.first).to_contain_text("negative")
    alert = page.locator("#alerts > li").filter(has_text="forum").first
    expect(alert).to_contain_text("Surge of negative texts: forum")
    alert.locator("summary").click()
    expect(alert.locator("ul > li").first).to_have_text("bad")
    if folder := os.environ.get("PICTURES"):
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=Path(folder) / "monitor.png")
    page.get_by_label("Source").select_option("shop")
    expect(page.locator("#shown")).to_be_hidden()
    expect(page.get_by_role("button", name="2024-02-25: 4 texts")).to_be_visible()
    page.get_by_label("To", exact=True).fill("2024-01-10")
    expect(bars).to_have_count(10)
    page.get_by_label("From").fill("2025-01-01")
    expect(page.locator("#none")).to_be_visible()


@pytest.mark.ray
def test_names_and_texts_of_users_are_no_html(opinions: Path, tmp_path: Path, page: Page) -> None:
    items = [{**one, "source": "<img src=x onerror=alert(1)>"} for one in make_items(2)]
    items.append({"id": "x", "text": "bad <b>bold</b>", "time": "2024-01-01", "source": "a"})
    config = load_config((), {"sentiment": str(opinions)})
    run(config, write_jsonl(tmp_path / "in.jsonl", items), tmp_path / "s", until_end=True, quiet=True)
    app = create_app(
        "react_ray.apps.monitor.hosted:load",
        tmp_path / "s",
        MonitorServeConfig(access_log=False),
        owner="react_ray.apps.monitor.hosted:open_service",
    )
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        assert page.context.browser is not None
        other = page.context.browser.new_page()
        other.goto(f"http://127.0.0.1:{listening.getsockname()[1]}")
        other.locator("#chart .bar").first.click()
        expect(other.locator("#texts")).to_contain_text("bad <b>bold</b>")
        expect(other.locator("#texts")).to_contain_text("<img src=x onerror=alert(1)>")
        assert other.locator("#texts b, img").count() == 0
    finally:
        server.should_exit = True
        thread.join()
