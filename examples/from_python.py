"""The Python API on a little data of its own: messages to a bank, three classes.

    python examples/from_python.py

Writes its files to out/example/data, the run to out/example/run. After it,
``react-ray run examples/run.yaml`` does the same from the command line, and finds
that everything is done.
"""

from __future__ import annotations

import csv
import itertools
import random
from pathlib import Path

import react_ray

FOLDER = Path("out/example")
OPENINGS = ("Hello,", "Hi there,", "Please help:", "Since yesterday", "I am worried,", "Good morning,")
MATTERS = {
    "card": (
        "my card was stolen on the train",
        "the new debit card has still not arrived",
        "I left my credit card in a shop",
        "the chip of my card is broken",
        "I need to block a lost card",
        "can you send me a replacement card",
    ),
    "transfer": (
        "the money I sent has not reached my friend",
        "I made a transfer to the wrong account",
        "a payment from abroad is missing",
        "why is my bank transfer still pending",
        "I want to cancel a transfer I made",
        "the amount that I sent was wrong",
    ),
    "login": (
        "I forgot my password",
        "the app does not let me sign in",
        "I never get the code to log in",
        "my account is locked after three tries",
        "the website does not accept my PIN",
        "I cannot get into my account on the new phone",
    ),
}


def main() -> None:
    """Make data, run, predict."""
    data = write_data(FOLDER / "data")
    result = react_ray.run(
        react_ray.Config(
            output=str(FOLDER / "run"),
            data={**data, "labels": "examples/labels.yaml"},
            finetune={"token_budget": 10_000},  # enough for so few short texts
        )
    )
    print(result.summary())

    classifier = react_ray.load(FOLDER / "run")
    for prediction in classifier.predict(["Somebody took my wallet with the card", "I can't sign in"]):
        print(f"{prediction.label}  {prediction.score:.2f}")


def write_data(folder: Path) -> dict[str, str]:
    """Write labeled, unlabeled and test files; two labels a class are kept."""
    rows = [
        (f"{opening} {matter}.", label)
        for label, matters in MATTERS.items()
        for opening, matter in itertools.product(OPENINGS, matters)
    ]
    random.Random(0).shuffle(rows)
    labeled = [row for label in MATTERS for row in [row for row in rows if row[1] == label][:2]]
    rest = [row for row in rows if row not in labeled]
    parts = {"labeled": labeled, "unlabeled": [(text, "") for text, _ in rest[:70]], "test": rest[70:]}
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *part])
    return {name: str(folder / f"{name}.csv") for name in parts}


if __name__ == "__main__":
    main()
