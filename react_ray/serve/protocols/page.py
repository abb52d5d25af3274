"""The HTML pages: each one file without external resources."""

from __future__ import annotations

from functools import cache
from importlib import resources

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

__all__ = ["add_page", "add_static_page"]

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


STYLE = '<link rel="stylesheet" href="style.css">'
"""Stands in pages for the styles that all of them share."""


def add_page(app: FastAPI, path: str, html: str) -> None:
    """Add the page ``html`` under ``path``, which may load nothing from elsewhere.

    A link to style.css is replaced by the shared styles, so that the page is one file.
    """
    html = html.replace(STYLE, f"<style>\n{_static('style.css')}</style>")

    @app.get(path, include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(html, headers=PAGE_HEADERS)


def add_static_page(app: FastAPI, path: str, name: str) -> None:
    """Add the page ``name`` of ``static/`` under ``path``."""
    add_page(app, path, _static(name))


@cache
def _static(name: str) -> str:
    file = resources.files("react_ray.serve.protocols") / "static" / name
    return file.read_text(encoding="utf-8")
