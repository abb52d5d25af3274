"""Evaluate an assistant on questions of a test file, beside what it is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from react_ray import InputError
from react_ray.apps.assist.assistant import Assistant
from react_ray.apps.assist.baselines import bm25, embeddings, ngram_classifier
from react_ray.apps.assist.finder import SearchResult, answer_groups
from react_ray.apps.assist.folder import Built, load_assistant, write_json
from react_ray.apps.assist.metrics import (
    accuracy_at_recall,
    macro_f1,
    out_of_scope_auroc,
    retrieval,
    solved_curve,
    token_f1,
)
from react_ray.apps.assist.read import Entry, read_history
from react_ray.apps.intervals import mean_intervals
from react_ray.console.reporter import Reporter, quiet_libraries
from react_ray.folders import replace_file

__all__ = ["EvaluationResult", "evaluate"]

OURS = "ours"
TITLES = {
    OURS: "this assistant",
    "bm25": "BM25 alone",
    "embeddings": "embeddings alone",
    "ngrams": "n-grams with logistic regression",
}
SHOWN = ("mrr_at_10", "recall_at_1", "recall_at_5", "intent_macro_f1", "out_of_scope_auroc")
PROTOCOL = (
    "a question is in scope if the history has its intent or, where the question or the whole history has "
    "none, its answer; figures of intents leave out questions in scope without one; MRR@10 "
    "and recall are over questions in scope whose answer can be found: an entry is right if its answer is "
    "the same but for case and white space or, where the test file has no answers, if its intent is the "
    "same; 95 % intervals by bootstrap over questions"
)


@dataclass(frozen=True)
class EvaluationResult:
    """Figures of the assistant and of the others, as in metrics.json."""

    folder: Path
    metrics: Mapping[str, Any]

    def summary(self) -> str:
        """Return the table of all, and what the thresholds do."""
        lines = [" " * 36 + "".join(f"{name:>20}" for name in SHOWN)]
        for name, figures in self.metrics["compared"].items():
            cells = ["-" if figures.get(metric) is None else f"{figures[metric]:.4f}" for metric in SHOWN]
            lines.append(f"  {TITLES[name]:<34}" + "".join(f"{cell:>20}" for cell in cells))
        kinds = self.metrics["replies"]
        lines += [
            "",
            f"replies: {', '.join(f'{kind} {count:,}' for kind, count in kinds.items())}",
            f"protocol: {self.metrics['protocol']}",
            f"figures: {self.folder / 'metrics.json'}",
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class _Test:
    """Test questions with their embeddings, which entries are right, and which are in scope."""

    rows: list[Entry]
    vectors: NDArray[np.float32]
    correct: list[NDArray[np.int64]]
    in_scope: NDArray[np.bool_]

    def texts(self) -> list[str]:
        return [row.question for row in self.rows]

    def has_known_intent(self) -> NDArray[np.bool_]:
        """Return which questions are in scope and have an intent."""
        return self.in_scope & np.array([row.intent is not None for row in self.rows])

    def retrieved(self, numbers: Sequence[NDArray[np.int64]]) -> dict[str, NDArray[np.float64]]:
        """Return the metrics of each question whose answer can be found."""
        places = [
            _place(ranked, correct)
            for ranked, correct, inside in zip(numbers, self.correct, self.in_scope, strict=True)
            if len(correct) and inside
        ]
        return retrieval(np.array(places, np.int64))


def evaluate(
    folder: Path,
    address: str,
    columns: Mapping[str, str] | None = None,
    *,
    verbose: bool = False,
    quiet: bool = False,
) -> EvaluationResult:
    """Measure the assistant in ``folder`` on the rows of ``address``; writes metrics.json.

    Raises InputError if there is no complete assistant or no question.
    """
    quiet_libraries(verbose)
    reporter = Reporter(quiet)
    built, assistant = load_assistant(folder)
    with reporter.step("encode"):
        test = _read(address, built, assistant, columns if columns is not None else built.config.columns)
    with reporter.step("ask"):
        results = assistant.find(test.texts(), test.vectors)
    with reporter.step("compare"):
        compared, values = _compare(built, test, results)
    metrics = {
        "test": compared[OURS] | _thresholds(assistant, test, results),
        "compared": compared,
        "leads": _leads(values),
        "solved_curve": solved_curve(_answered_correctly(test, results), _answer_scores(results)),
        "replies": _replies(assistant, test, results),
        "questions": {
            "all": len(test.rows),
            "in_scope": int(test.in_scope.sum()),
            "with_answer": sum(1 for correct in test.correct if len(correct)),
        },
        "protocol": PROTOCOL,
        "seed": built.config.seed,
    }
    replace_file(folder / "metrics.json", lambda path: write_json(path, metrics))
    return EvaluationResult(folder, metrics)


def _read(address: str, built: Built, assistant: Assistant, columns: Mapping[str, str]) -> _Test:
    rows = [row for row in read_history(address, columns)[0] if row.question]
    if not rows:
        raise InputError(f"{address}: no row has a question")
    index = built.finder.index
    vectors = assistant.encoder.encode([row.question for row in rows])
    entries = index.entries()
    groups = answer_groups([entry.answer for entry in entries] + [row.answer for row in rows])
    of_entries, of_rows = groups[: len(entries)], groups[len(entries) :]
    intents = np.array([entry.intent or "" for entry in entries], object)
    known_intents = set(intents.tolist()) - {""}
    correct, in_scope = [], []
    for row, group in zip(rows, of_rows, strict=True):
        same = of_entries == group if row.answer else (intents == row.intent) & index.has_answer
        correct.append(np.flatnonzero(same))
        by_intent = row.intent and known_intents
        in_scope.append(row.intent in known_intents if by_intent else bool(same.any()))
    return _Test(rows, vectors, correct, np.array(in_scope))


def _compare(
    built: Built, test: _Test, results: Sequence[SearchResult]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, NDArray[np.float64]]]]:
    """Return the figures of each, and the metrics of each question for paired differences."""
    index, texts = built.finder.index, test.texts()
    scope = {OURS: np.array([result.scope_score for result in results])}
    intents: dict[str, Sequence[str | None]] = {}
    ranked = {OURS: [result.numbers for result in results]}
    if built.finder.intents is not None:
        intents[OURS] = [result.intent for result in results]
    for name, rank in (("bm25", bm25), ("embeddings", embeddings)):
        baseline = rank(index, texts, test.vectors)
        ranked[name], scope[name] = baseline.numbers, baseline.scores
    ngrams = ngram_classifier(index.entries(), texts)
    if ngrams is not None:
        intents["ngrams"], scope["ngrams"] = ngrams
    values = {name: test.retrieved(numbers) for name, numbers in ranked.items()}
    compared = {}
    named = np.flatnonzero(test.has_known_intent()).tolist()
    for name, scores in scope.items():
        figures: dict[str, Any] = dict.fromkeys(SHOWN) | {
            "out_of_scope_auroc": out_of_scope_auroc(test.in_scope, scores),
            "out_of_scope_accuracy_at_95_recall": accuracy_at_recall(test.in_scope, scores),
        }
        if len(values.get(name, {}).get("mrr_at_10", ())):
            figures |= {metric: float(metric_values.mean()) for metric, metric_values in values[name].items()}
            figures["intervals"] = mean_intervals(values[name])
        if name in intents and named:
            truth = [str(test.rows[i].intent) for i in named]
            figures["intent_macro_f1"] = macro_f1(truth, [intents[name][i] for i in named])
        compared[name] = figures
    return compared, values


def _leads(values: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> dict[str, Any]:
    """Return by how much the assistant is ahead in MRR@10 for the same questions, with 95 % intervals."""
    ours, leads = values[OURS]["mrr_at_10"], {}
    for name, metrics in values.items():
        if name != OURS and len(ours):
            ahead = {"mrr_at_10": ours - metrics["mrr_at_10"]}
            leads[name] = {
                "lead": float(ahead["mrr_at_10"].mean()),
                "interval": mean_intervals(ahead)["mrr_at_10"],
            }
    return leads


def _thresholds(assistant: Assistant, test: _Test, results: Sequence[SearchResult]) -> dict[str, Any]:
    """Return what the threshold of the scope, fitted at build for 95 % recall, does on the test rows."""
    accepted = np.array([result.scope_score for result in results]) >= assistant.thresholds.scope
    inside, known = test.in_scope, test.has_known_intent()
    figures: dict[str, Any] = {
        "in_scope_recall": float(accepted[inside].mean()) if inside.any() else None,
        "out_of_scope_recall": float((~accepted)[~inside].mean()) if (~inside).any() else None,
        "accuracy_at_scope_threshold": None,
    }
    if results[0].intent is not None and known.any():
        named = [result.intent == row.intent for result, row in zip(results, test.rows, strict=True)]
        correct = np.where(inside, accepted & named, ~accepted)
        figures["accuracy_at_scope_threshold"] = float(correct[known | ~inside].mean())
    return figures


def _answered_correctly(test: _Test, results: Sequence[SearchResult]) -> NDArray[np.bool_]:
    pairs = zip(results, test.correct, strict=True)
    return np.array(
        [len(result.numbers) > 0 and result.numbers[0] in correct for result, correct in pairs], bool
    )


def _answer_scores(results: Sequence[SearchResult]) -> NDArray[np.float64]:
    return np.array([result.answer_score for result in results])


def _replies(assistant: Assistant, test: _Test, results: Sequence[SearchResult]) -> dict[str, Any]:
    """Return how many replies are of each kind, how many answers are right, and their F1."""
    counts: dict[str, Any] = {"template": 0, "answer": 0, "handover": 0}
    correct, f1 = 0, []
    for row, vector, result, relevant in zip(test.rows, test.vectors, results, test.correct, strict=True):
        reply = assistant.decide(result, row.question, vector, [row.question])
        counts[reply.kind] += 1
        correct += reply.kind == "answer" and reply.entry in relevant
        if row.answer and len(relevant) and len(result.numbers):
            f1.append(token_f1(assistant.answer(result, row.question, vector).text, row.answer))
    counts["right_answers"] = correct
    if f1:
        counts["answer_f1"] = float(np.mean(f1))
    return counts


def _place(ranked: NDArray[np.int64], relevant: NDArray[np.int64]) -> int:
    hits = np.flatnonzero(np.isin(ranked, relevant))
    return int(hits[0]) + 1 if len(hits) else 0
