"""Made-up predictions, and all that a report of them needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from react_ray.evaluate.metrics import label_quality, lead, measure
from react_ray.evaluate.report import ReportContent
from react_ray.evaluate.tables import class_counts, rejected_by_reason
from react_ray.tasks import get_task
from react_ray.tasks.closed import ranked

TASK = get_task("text-classification")
ARMS = {"probe": 1.4, "labels_only": 0.8, "generated_labels": 2.2}
"""How sharply each arm's probabilities point at the truth."""


def predictions(truth: NDArray[np.int64], classes: int, sharpness: float, seed: int) -> NDArray[np.float64]:
    logits = np.random.default_rng(seed).normal(size=(len(truth), classes))
    logits[np.arange(len(truth)), truth] += sharpness
    odds = np.exp(logits)
    return odds / odds.sum(axis=1, keepdims=True)


@pytest.fixture
def make_content() -> Callable[..., Any]:
    """A whole report's content; ``test``, ``validation`` and ``pool`` say how many rows there are."""

    def make(
        names: tuple[str, ...] = ("news", "体育", "weather"),
        *,
        test: int = 120,
        validation: int = 0,
        pool: int = 90,
        known: bool = True,
        text: str = "今日股市上涨，比赛进球",
    ) -> ReportContent:
        parts = {name: n for name, n in (("validation", validation), ("test", test)) if n}
        truth = {part: np.arange(n) % len(names) for part, n in parts.items()}
        found = {
            part: {
                arm: ranked(predictions(truth[part], len(names), s, seed=0), names) for arm, s in ARMS.items()
            }
            for part in parts
        }
        judge = "test" if test else "validation" if validation else None
        rows_of = {part: pa.table({"label": [names[i] for i in truth[part]]}) for part in parts}
        full = {part: measure(TASK, found[part]["generated_labels"], rows_of[part], names) for part in parts}
        arms = {
            arm: {
                **{
                    part: measure(TASK, found[part][arm], rows_of[part], names, details=False)
                    if part in parts
                    else None
                    for part in ("validation", "test")
                },
                "lead": lead(TASK, found[judge]["generated_labels"], found[judge][arm], rows_of[judge], names)
                if judge
                else None,
            }
            for arm in ARMS
        }
        of_pool = np.arange(pool) % len(names)
        made = predictions(of_pool, len(names), 2.0, seed=1)
        weight = np.where(made.max(axis=1, initial=0) < 0.5, 0, made.max(axis=1, initial=0))
        labels = [names[i] for i in of_pool]
        rows = {"labeled": 5 * len(names), "unlabeled": pool, **parts}
        metrics: dict[str, Any] = {
            "version": "0.1.0",
            "task": "text-classification",
            "headline": "macro_f1",
            "seed": 0,
            "model": "embedded",
            "encoders": {"embedded": 1.0},
            "classes": list(names),
            "labels_used": 5 * len(names) + validation,
            "rows": {part: n for part, n in rows.items() if n},
            "unused": 0,
            "refused": {"empty text": 4},
            "warnings": [],
            "test": full.get("test"),
            "validation": full.get("validation"),
            "arms": arms,
            "chosen": "generated_labels",
            "why": "The generated labels help.",
            "cut": {
                "rows": 400,
                "texts": 0.125,
                "tokens": 0.31,
                "read": 90.5,
                "max_length": 128,
                "windows": 1,
            },
            "label_quality": label_quality(made, weight, weight, names, labels if known else None),
            "seconds": {"prepare": 1.5, "finetune": 75.0},
            "reused": ["prepare"],
        }
        refused = [
            {"file": "a.csv", "row": i, "reason": "empty text", "text": f"<b>{i}</b>"} for i in range(4)
        ]
        content: dict[str, Any] = {
            "metrics": metrics,
            "folder": "out/my run",
            "class_counts": class_counts(["labeled"] * len(names), names, names),
            "refused": rejected_by_reason(refused),
            "finetune_history": {
                "generated_labels": [{"step": i, "loss": 1 / i, "lr": 0.1} for i in range(1, 50)]
            },
            "lgan_history": {
                "lgan": [{"step": 50, "discriminator": 2.0}, {"step": 100, "discriminator": 1.5}]
            },
            "config": "seed: 0\nmodel: embedded\n",
            "machine": {"cores": 2},
        }
        if judge:
            of_rows = [names[i] for i in truth[judge]]
            rows = pa.table({"text": [""] * len(of_rows), "label": of_rows})
            sections = TASK.sections(found[judge]["generated_labels"], rows, names)
            for mistake in sections[-1]["data"]["items"]:
                mistake["texts"][0]["text"] = text  # of any characters
            content["sections"] = sections
        return content  # type: ignore[return-value]

    return make
