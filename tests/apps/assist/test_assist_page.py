"""The pages of the chat and of agents in a real browser.

With PICTURES=docs/pictures their picture in the documents is made as well.
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
from playwright.sync_api import Browser, Page, expect, sync_playwright

from react_ray import create_app
from react_ray.apps.assist.settings import ChatConfig

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)


@pytest.fixture
def address(shop: Path, tmp_path: Path) -> Iterator[str]:
    folder = Path(shutil.copytree(shop / "out", tmp_path / "out"))
    names = [f"react_ray.apps.assist.hosted:{name}" for name in ("load", "open_store")]
    app = create_app(names[0], folder, ChatConfig(access_log=False), owner=names[1])
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
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium or Chrome on the PATH: the pages are not tested")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def open_page(browser: Browser, address: str, path: str, complaints: list[str]) -> Page:
    page = browser.new_page(viewport={"width": 800, "height": 900})
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda one: None if one.url.startswith(address) else complaints.append(one.url))
    page.goto(address + path)
    return page


@pytest.mark.ray
def test_a_customer_and_an_agent_talk(browser: Browser, address: str) -> None:
    complaints: list[str] = []
    customer = open_page(browser, address, "/", complaints)
    expect(customer.get_by_label("Key of this service")).to_be_hidden()
    say(customer, "delivery parcel late courier")
    replies = customer.locator(".bubble.assistant")
    expect(replies.last).to_contain_text("Which order is it?")
    say(customer, "12345")
    expect(replies.last).to_contain_text("Your order 12345 arrives within five days.")
    replies.last.get_by_role("button", name="Helpful", exact=True).click()
    expect(replies.last).to_contain_text("Thank you.")
    say(customer, "§§ <b>9999</b> ####")
    expect(replies.last).to_have_text("A person will answer here.")
    agent = open_page(browser, address, "/agent", complaints)
    agent.get_by_role("button", name="§§ <b>9999</b> ####").click()
    expect(agent.locator("#messages .bubble")).to_have_count(6)
    agent.get_by_label("Your answer").fill("Hello, this is Ann.")
    agent.get_by_label("Intent of the question").select_option("account")
    agent.get_by_label("this is the right answer").check()
    agent.get_by_role("button", name="Send").click()
    expect(customer.locator(".bubble.agent")).to_have_text("Hello, this is Ann.", timeout=20_000)
    if os.environ.get("PICTURES"):
        customer.screenshot(path=Path(os.environ["PICTURES"]) / "assist.png")
        agent.screenshot(path=Path(os.environ["PICTURES"]) / "assist-agent.png")
    customer.reload()
    expect(customer.locator(".bubble")).to_have_count(7)
    agent.get_by_role("button", name="Let the assistant go on").click()
    expect(agent.get_by_text("Nobody waits.")).to_be_visible()
    question = agent.locator("#questions li").first
    question.get_by_label("Intent").select_option("delivery")
    count = agent.locator("#questions li").count()
    question.get_by_role("button", name="Label").click()
    expect(agent.locator("#questions li")).to_have_count(count - 1)
    assert complaints == []


def say(page: Page, text: str) -> None:
    page.get_by_label("Your message").fill(text)
    page.get_by_role("button", name="Send").click()
