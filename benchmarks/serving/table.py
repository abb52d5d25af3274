"""The figures of the speed of serving as a table, made from the records alone."""

from __future__ import annotations

import statistics
from typing import Any

ENGINES = {"react-ray": "fp32", "react-ray int8": "int8"}
NOT_MODELS = ("no-op Serve", "uvicorn + FastAPI")


def print_table(kept: dict[str, Any]) -> None:
    """Ratios first, then what every server did; medians over the rounds."""
    rounds = kept["rounds"]
    print(f"\n{kept['cores']} cores, {len(rounds)} rounds in turn, {kept['made']}\n")
    print("| ratio | value |\n|---|---|")
    for name, values in ratios(rounds, kept["tokens"]).items():
        print(f"| {name} | {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f}) |")
    print("\n| server | texts | requests/s, c=32 | p99 ms | median ms, c=1 |\n|---|---|---|---|---|")
    for name in rounds[0]:
        if name != "engine":
            for kind in ("equal", "mixed", "noop"):
                if f"{kind} c=32" in rounds[0][name]:
                    print(_row(name, kind, rounds))


def ratios(rounds: list[dict[str, Any]], tokens: dict[str, float]) -> dict[str, list[float]]:
    """Name -> value of each round."""
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    for figures in rounds:
        engine = figures["engine"]
        note("engine, fp32 / matrix products alone", engine["fp32 equal"] / engine["limit"])
        for server, precision in ENGINES.items():
            for kind in ("equal", "mixed"):
                rate = figures[server][f"{kind} c=32"]["rps"]
                note(
                    f"{server}, {kind} lengths: tokens served / by the engine alone",
                    rate * tokens[kind] / engine[f"{precision} {kind}"],
                )
                for peer in figures:
                    if peer not in ("engine", *ENGINES, *NOT_MODELS):
                        there = figures[peer][f"{kind} c=32"]["rps"]
                        if there:  # none at all: a call of 32 texts, padded to the longest, took longer
                            note(f"{server} / {peer}, {kind} lengths, requests at c=32", rate / there)
        noop, bare = (figures[name]["noop c=32"]["rps"] for name in NOT_MODELS)
        note("no-op Serve / uvicorn + FastAPI, c=32", noop / bare)
        alone = figures["react-ray"]["equal c=1"]["p50_ms"] - engine["fp32 equal one text ms"]
        note("react-ray, c=1: median ms added to the engine's own", alone)
    return found


def _row(name: str, kind: str, rounds: list[dict[str, Any]]) -> str:
    def median(connections: int, key: str) -> float:
        return statistics.median(figures[name][f"{kind} c={connections}"][key] for figures in rounds)

    failed = sum(figures[name][f"{kind} c={c}"]["failed"] for figures in rounds for c in (1, 32))
    note = f", {failed:.0f} failed" if failed else ""
    return (
        f"| {name} | {kind}{note} | {median(32, 'rps'):.0f} | {median(32, 'p99_ms'):.0f} "
        f"| {median(1, 'p50_ms'):.1f} |"
    )
