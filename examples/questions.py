"""Answers to questions in their contexts, and questions without an answer, of SQuAD 2.0.

    python examples/questions.py ../shared/data

Reads squad2/train.parquet of the folder, and writes the run to out/questions. The embedded model has never
seen questions with answers: give another as Config(model=...) for real work.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

import react_ray

OUTPUT = Path("out/questions")
CONTEXT = "The tower was built in 1889 by the company of Gustave Eiffel. It is 330 metres tall."


def main(data: Path, rows: int = 300) -> None:
    """Train on some questions, then ask two of a text of our own."""
    table = pd.read_parquet(data / "squad2" / "train.parquet").drop(columns="id").head(rows)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    table.to_parquet(OUTPUT / "questions.parquet")
    config = react_ray.Config(
        task="question-answering",
        output=str(OUTPUT / "run"),
        data={"labeled": str(OUTPUT / "questions.parquet")},
        finetune={"max_length": 256, "epochs": 1, "token_budget": 200_000},  # a short training
    )
    print(react_ray.run(config).summary())
    questions = ["When was the tower built?", "Who painted the tower?"]
    model = react_ray.load(OUTPUT / "run")
    answers = model.predict([{"context": CONTEXT, "question": question} for question in questions])
    for question, (answer, *_) in zip(questions, answers, strict=True):
        print(f"{question}  {answer.answer or 'no answer'}  {answer.score:.2f}")


if __name__ == "__main__":
    folder = Path(*sys.argv[1:2] or ["../shared/data"])
    if not (folder / "squad2/train.parquet").is_file():
        sys.exit(f"{folder}: squad2/train.parquet is not in this folder\n\n{__doc__}")
    main(folder)
