"""Questions, answers and intents of a small shop, for the tests of the assistant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

ANSWERS = {
    "delivery": "A parcel arrives within five days.",
    "return": "Send it back within thirty days; the label is in the parcel.",
    "payment": "We take credit cards and invoices.",
    "account": "Change your password under settings.",
}
WORDS = {
    "delivery": "parcel arrive delivery shipping late courier",
    "return": "return refund money back exchange broken",
    "payment": "pay credit card invoice bank charge",
    "account": "account password login settings email user",
}
TEMPLATES = """\
delivery:
  text: "Your order {order} arrives within {days} days."
  slots:
    order: {pattern: "[0-9]{5}", ask: "Which order is it?"}
    days: {value: "five"}
payment: We take credit cards and invoices, as our page says.
"""


def rows(count: int, seed: int) -> pd.DataFrame:
    """``count`` questions of each intent, of words of its own."""
    generator = np.random.default_rng(seed)
    found = [
        {"question": " ".join(generator.choice(WORDS[intent].split(), 4)), "answer": answer, "intent": intent}
        for intent, answer in ANSWERS.items()
        for _ in range(count)
    ]
    return pd.DataFrame(found).drop_duplicates("question")


def write_files(folder: Path) -> None:
    """Write history.csv, test.csv with questions out of scope, templates.yaml, and docs/."""
    rows(14, 0).to_csv(folder / "history.csv", index=False)
    outside = pd.DataFrame(
        [{"question": f"zebra volcano galaxy {n}", "answer": "", "intent": "other"} for n in range(12)]
    )
    pd.concat([rows(5, 1), outside]).to_csv(folder / "test.csv", index=False)
    (folder / "templates.yaml").write_text(TEMPLATES, encoding="utf-8")
    (folder / "docs").mkdir()
    (folder / "docs" / "warranty.md").write_text(
        "# Warranty\n\nEvery kettle has a warranty of two years.\n", encoding="utf-8"
    )
