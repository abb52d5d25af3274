"""Passages of documents: plain text, Markdown and HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from react_ray import InputError, split_sentences
from react_ray.apps.assist.read import Entry
from react_ray.apps.files import RejectedRows

__all__ = ["read_documents"]

ENDINGS = {".txt", ".md", ".markdown", ".html", ".htm"}
MAX_BYTES = 20_000_000
HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*")
BLOCKS = {"p", "li", "td", "th", "pre", "div", "section", "article", "blockquote", "dd", "dt", "br", "tr"}
HIDDEN = {"script", "style", "noscript", "template", "svg"}

Section = tuple[str, str]
"""Headings above a part of a document, and its text."""


def read_documents(folder: str, passage_chars: int) -> tuple[list[Entry], RejectedRows]:
    """Return the passages of all documents in ``folder``, at most ``passage_chars`` characters each.

    Files that cannot be read are rejected. Raises InputError if there is no folder or no passage.
    """
    root, rejected, entries = Path(folder).expanduser(), RejectedRows(), []
    if not root.is_dir():
        raise InputError(f"--documents {folder}: no such folder")
    for path in sorted(path for path in root.rglob("*") if path.suffix.lower() in ENDINGS):
        name = path.relative_to(root).as_posix()
        try:
            text = _read(path, root)
        except (OSError, ValueError) as error:
            rejected.add(name, 0, f"unreadable: {error}")
            continue
        for title, part in sections(text, path.suffix.lower()):
            for passage in passages(part, passage_chars):
                entries.append(Entry("", passage, None, f"{name} ({title})" if title else name, title))
    if not entries:
        raise InputError(f"--documents {folder}: no text in files that end in {', '.join(sorted(ENDINGS))}")
    return entries, rejected


def sections(text: str, ending: str) -> list[Section]:
    r"""Divide a document at its headings; ``ending`` is that of its file.

    >>> sections("# Fees\nNone.", ".md")
    [('Fees', 'None.')]
    >>> sections("<h1>Fees</h1><p>None.", ".html")
    [('Fees', 'None.')]
    """
    if ending in (".html", ".htm"):
        parser = _Html()
        parser.feed(text)
        parser.close()
        parser.end_section()
        return parser.sections
    parts = _markdown(text) if ending in (".md", ".markdown") else [("", text)]
    return [section for section in parts if section[1].strip()]


def passages(text: str, most: int) -> Iterator[str]:
    r"""Yield whole paragraphs, or sentences of longer ones, joined to at most ``most`` characters.

    >>> list(passages("One.\n\nTwo.\n\nA longer one. And more.", 13))
    ['One.\nTwo.', 'A longer one.', 'And more.']
    """
    passage = ""
    for piece, joint in _pieces(text, most):
        if passage and len(passage) + len(joint) + len(piece) > most:
            yield passage
            passage = ""
        passage += (joint if passage else "") + piece
    if passage:
        yield passage


def _pieces(text: str, most: int) -> Iterator[tuple[str, str]]:
    """Yield pieces no longer than ``most``, each with what joins it to the one before."""
    for paragraph in filter(None, map(str.strip, re.split(r"\n\s*\n", text))):
        if len(paragraph) <= most:
            yield paragraph, "\n"
            continue
        for number, (start, end) in enumerate(split_sentences(paragraph)):
            for first in range(start, end, most):
                yield paragraph[first : min(first + most, end)], " " if number else "\n"


def _read(path: Path, root: Path) -> str:
    if not path.resolve().is_relative_to(root.resolve()):
        raise ValueError("it is a link to a file outside of the folder")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES:,} bytes")
    try:
        return path.read_text(encoding="utf-8-sig").replace("\0", " ")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start:,})") from None


def _markdown(text: str) -> Iterator[Section]:
    titles: list[tuple[int, str]] = []
    lines: list[str] = []
    fenced = False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith("```")
        heading = None if fenced else HEADING.fullmatch(line)
        if heading is None:
            lines.append(line)
            continue
        yield _joined(titles), "\n".join(lines)
        titles, lines = _below(titles, len(heading[1]), heading[2]), []
    yield _joined(titles), "\n".join(lines)


def _below(titles: list[tuple[int, str]], level: int, title: str) -> list[tuple[int, str]]:
    return [*(heading for heading in titles if heading[0] < level), (level, title)]


def _joined(titles: list[tuple[int, str]]) -> str:
    return " > ".join(title for _, title in titles if title)


class _Html(HTMLParser):
    """Collects the visible text of a page by its headings."""

    def __init__(self) -> None:
        super().__init__()
        self.sections: list[Section] = []
        self._titles: list[tuple[int, str]] = []
        self._text: list[str] = []
        self._heading: list[str] | None = None
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Start a heading, a block or a hidden part."""
        if tag in HIDDEN:
            self._hidden += 1
        elif re.fullmatch("h[1-6]", tag):
            self.end_section()
            self._heading = []
        elif tag in BLOCKS:
            self._text.append("\n\n")

    def handle_endtag(self, tag: str) -> None:
        """End it."""
        if tag in HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif self._heading is not None and re.fullmatch("h[1-6]", tag):
            self._titles = _below(self._titles, int(tag[1]), " ".join("".join(self._heading).split()))
            self._heading = None
        elif tag in BLOCKS:
            self._text.append("\n\n")

    def handle_data(self, data: str) -> None:
        """Keep visible text."""
        if not self._hidden:
            (self._text if self._heading is None else self._heading).append(re.sub(r"\s+", " ", data))

    def end_section(self) -> None:
        """Keep the section that ends here."""
        text = re.sub(r"[ ]*\n\n[\s]*", "\n\n", "".join(self._text)).strip()
        if text:
            self.sections.append((_joined(self._titles), text))
        self._text = []
