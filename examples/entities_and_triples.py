"""Triples of two nouns and their relation, by an entity model and a relation model of SemEval-2010 task 8.

    python examples/entities_and_triples.py ../shared/data

Reads semeval2010_task8/train.parquet of the folder, whose column text has the marks <e1> and <e2>. Writes to
out/triples.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pandas as pd

import react_ray

OUTPUT = Path("out/triples")
ENTITY = re.compile(r"<e[12]>(.*?)</e[12]>")


def with_spans(marked: str) -> dict[str, Any]:
    """Return the text without its marks, and the places of the two nouns."""
    text, *rest = re.split(r"<e[12]>", marked)
    spans = []
    for entity, after in (part.split("</e", 1) for part in rest):
        spans.append({"start": len(text), "end": len(text) + len(entity), "label": "noun"})
        text += entity + after[2:]
    return {"text": text, "spans": spans}


def main(data: Path, rows: int = 400) -> None:
    """Train both models and print the triples of five other texts."""
    table = pd.read_parquet(data / "semeval2010_task8" / "train.parquet")[["text", "label"]]
    OUTPUT.mkdir(parents=True, exist_ok=True)
    train = table.head(rows)
    files = {
        "token-classification": pd.DataFrame(map(with_spans, train["text"])),
        "relation-extraction": train,
    }
    for task, content in files.items():
        file = OUTPUT / f"{task}.jsonl"
        content.to_json(file, orient="records", lines=True, force_ascii=False)
        output = str(OUTPUT / task)
        print(
            react_ray.run(react_ray.Config(task=task, output=output, data={"labeled": str(file)})).summary()
        )
    extractor = react_ray.load_triples(OUTPUT / "token-classification", OUTPUT / "relation-extraction")
    texts = [with_spans(text)["text"] for text in table["text"].tail(5)]
    for text, triples in zip(texts, extractor.predict(texts), strict=True):
        print(text, *(f"  {it.head} | {it.relation} | {it.tail}  {it.score:.2f}" for it in triples), sep="\n")


if __name__ == "__main__":
    folder = Path(*sys.argv[1:2] or ["../shared/data"])
    if not (folder / "semeval2010_task8/train.parquet").is_file():
        sys.exit(f"{folder}: semeval2010_task8/train.parquet is not in this folder\n\n{__doc__}")
    main(folder)
