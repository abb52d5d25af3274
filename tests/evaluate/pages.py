"""A page as its reader sees it: elements, sections and text."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "wbr"}
HOSTILE = '<script>alert(1)</script><img src=http://evil.example/x onerror="alert(2)">'


class Page(HTMLParser):
    """Elements, sections and text of a page; fails on tags that do not match."""

    def __init__(self, source: str):
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, str] = {}
        self.text = ""
        self.feed(source)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self.sections[dict(attrs)["id"] or ""] = ""

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text += data
        if "section" in self.open:
            self.sections[list(self.sections)[-1]] += data


def assert_offline_and_inert(page: Page) -> None:
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "iframe", "object", "embed", "img", "base", "form"}
    for tag, attributes in page.elements:
        assert not [key for key in attributes if key.startswith("on")], tag
        for key in ("src", "href", "xlink:href", "action"):
            value = attributes.get(key) or "#"
            assert value.startswith(("#", "data:,")), (tag, value)
