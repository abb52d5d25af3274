"""Table and page of the figures of recommenders."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

__all__ = ["as_page", "as_table"]

SHOWN = {
    "ndcg_at_10": "NDCG@10",
    "hr_at_10": "HR@10",
    "mrr": "MRR",
    "auc": "AUC",
    "coverage": "coverage@10",
    "novelty": "novelty",
}
TITLES = {
    "warm": "Known users, all items",
    "new_users": "New users, whose history comes with the question",
    "new_items": "New items, among all items",
    "new_items_among_new": "New items, among the new items",
}
NAMES = {
    "ours": "this recommender",
    "ranker": "the ranker",
    "ranker_blend": "the ranker with the sum",
    "without_text": "the ranker without text",
    "blend": "a weighted sum of scores",
    "item_knn": "item neighbours",
    "als": "matrix factorization (ALS)",
    "popularity": "popularity",
    "text": "text embeddings alone",
    "text_mapped": "text embeddings mapped to likes",
}
HEADLINE = "ndcg_at_10"
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;width:100%;margin:.5rem 0 2rem}"
    "td,th{padding:.3rem .6rem;text-align:right;border-bottom:1px solid #ddd}"
    "td:first-child,th:first-child{text-align:left}tr.first td{font-weight:600}small{color:#666}"
    ".bar{background:#d7e3f4;height:.9rem}.box{width:12rem}"
)


def as_table(metrics: Mapping[str, Any]) -> str:
    """Return the figures as text, and the protocol."""
    lines = []
    for name, results in metrics["queries"].items():
        lines += [f"{TITLES[name]} ({_users(results)} users)", _line("", SHOWN.values())]
        lines += [_line(NAMES[method], _cells(figures)) for method, figures in results.items()]
        lines.append("")
    return "\n".join([*lines, f"protocol: {metrics['protocol']}"])


def as_page(metrics: Mapping[str, Any]) -> str:
    """Return the figures as an HTML page: a table with bars for each set of questions."""
    body = [f"<h1>Recommendation</h1><p>{escape(metrics['protocol'])}.</p>"]
    for name, results in metrics["queries"].items():
        body.append(f"<h2>{escape(TITLES[name])} <small>{_users(results)} users</small></h2>")
        body.append(_html_table(results))
        body += [_lead(method, lead[HEADLINE]) for method, lead in metrics["leads"][name].items() if lead]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Recommendation</title>'
        f"<style>{STYLE}</style><body>{''.join(body)}</body></html>\n"
    )


def _html_table(results: Mapping[str, Any]) -> str:
    largest = max((figures.get(HEADLINE, 0) for figures in results.values()), default=0) or 1
    head = "".join(f"<th>{title}</th>" for title in ("", SHOWN[HEADLINE], *SHOWN.values()))
    rows = []
    for method, figures in results.items():
        width = 100 * figures.get(HEADLINE, 0) / largest
        cells = "".join(f"<td>{cell}</td>" for cell in _cells(figures))
        bar = f'<td class="box"><div class="bar" style="width:{width:.0f}%"></div></td>'
        first = ' class="first"' if method == "ours" else ""
        rows.append(f"<tr{first}><td>{escape(NAMES[method])}</td>{bar}{cells}</tr>")
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _lead(method: str, lead: Mapping[str, Any]) -> str:
    low, high = lead["interval"]
    return (
        f"<p><small>NDCG@10 against {escape(NAMES[method])}: {lead['lead']:+.4f} "
        f"(95 % interval {low:+.4f} to {high:+.4f})</small></p>"
    )


def _cells(figures: Mapping[str, Any]) -> list[str]:
    cells = []
    for name in SHOWN:
        if name not in figures:
            cells.append("-")
        elif name == HEADLINE:
            low, high = figures["intervals"][name]
            cells.append(f"{figures[name]:.4f} ({low:.4f}-{high:.4f})")
        else:
            cells.append(f"{figures[name]:.4f}")
    return cells


def _line(name: str, cells: Any) -> str:
    first, *remaining = cells
    return f"  {name:<28}{first:>24}" + "".join(f"{cell:>13}" for cell in remaining)


def _users(results: Mapping[str, Any]) -> str:
    return f"{next(iter(results.values()))['users']:,}"
