"""Customer service from StackFAQ: 125 questions about web applications with answers, and paraphrases of them.

    curl -LO https://raw.githubusercontent.com/ML-Recipes/BERT-FAQ/master/data/StackFAQ/stackExchange-FAQ.json
    python examples/assist_web_applications.py stackExchange-FAQ.json
    react-ray assist evaluate out/assist --input out/assist-test.csv
    react-ray assist serve out/assist

Writes the questions and answers to out/assist-faq.csv, the paraphrases to out/assist-test.csv, a template for
one intent to out/assist-templates.yaml, and the assistant to out/assist.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd

from react_ray.cli import main as react_ray

OUTPUT = Path("out")
TEMPLATE = """\
{intent}:
  text: "{{site}} has a page for this: see its help, under {{part}}."
  slots:
    site: {{pattern: "(?i)facebook|github|gmail|google docs", ask: "Which site is it about?"}}
    part: {{value: "account"}}
"""
GONE = "*"
"""Stands for a paraphrase that was removed from the set."""


def main(file: Path) -> int:
    """Build the assistant from the file of the set."""
    pairs = json.loads(file.read_text(encoding="utf-8"))["root"]["qapair"]
    OUTPUT.mkdir(exist_ok=True)
    faq = pd.DataFrame(
        {"question": pair["question"], "answer": pair["answer"][0], "intent": f"faq{number:03d}"}
        for number, pair in enumerate(pairs)
    )
    paraphrases = [[one for one in pair["rephr"] if one != GONE] for pair in pairs]
    faq.to_csv(OUTPUT / "assist-faq.csv", index=False)
    test = faq.assign(question=paraphrases).explode("question").dropna()
    test.to_csv(OUTPUT / "assist-test.csv", index=False)
    template = TEMPLATE.format(intent=faq["intent"][1])  # deleting an account
    (OUTPUT / "assist-templates.yaml").write_text(template, encoding="utf-8")
    files = [
        "--history",
        str(OUTPUT / "assist-faq.csv"),
        "--templates",
        str(OUTPUT / "assist-templates.yaml"),
    ]
    return react_ray(["assist", "build", *files, "--output", str(OUTPUT / "assist")])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1])))
