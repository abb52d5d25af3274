"""Weights and thresholds from held-out rows of the history: no row of a test file is read.

A fifth of the intents (of the answers, where there are no intents) is taken out of index and classifier at a
time: their questions are out of scope then. Questions of the others are asked as if they were not in the
history: without their row where another one has the same answer, else without a part of their words, or
without the question of their row, so that the answer must be found by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from react_ray.apps.assist.finder import Finder, SearchResult, Thresholds
from react_ray.apps.assist.index import Embeddings, Index
from react_ray.apps.assist.intents import IntentClassifier, folds
from react_ray.apps.assist.ranking import DEFAULT_WEIGHTS, Logistic, RankingList, design, fit_weights
from react_ray.apps.assist.read import Entry
from react_ray.apps.assist.words import fewer_words

__all__ = ["Tuned", "lowest_sure", "tune"]

PARTS = 5
DROPPED = 0.4
"""Share of the words that a question loses to stand for another wording."""
HIDDEN = 0.5
"""Share of the candidates that are taken without their question while the weights are fitted."""
FEWEST = 20
"""Held-out questions that a threshold needs."""

Encode = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True)
class Tuned:
    """Result: the finder with its weights, the thresholds, and figures of the held-out rows."""

    finder: Finder
    thresholds: Thresholds
    figures: dict[str, Any]


@dataclass(frozen=True)
class _Case:
    """A question that is asked to fit the weights.

    ``relevant`` are the entries that answer it: none where it is out of scope.
    """

    part: int
    row: int
    text: str
    without: tuple[int, ...]
    hidden: tuple[int, ...]
    relevant: tuple[int, ...]
    in_scope: bool
    reworded: bool = False


def tune(
    entries: Sequence[Entry],
    embeddings: Embeddings,
    index: Index,
    groups: NDArray[np.int64],
    encode: Encode,
    *,
    rows: int,
    precision: float,
    in_scope_recall: float,
    seed: int,
) -> Tuned:
    """Fit the classifier, the weights of the ranking, the probabilities and the thresholds.

    Parameters
    ----------
    entries, embeddings, index, groups
        The history; ``groups`` has a number for each different answer.
    encode
        Encodes questions without some of their words.
    rows
        Most questions that are asked.
    precision
        Share of right answers and right intents above their thresholds.
    in_scope_recall
        Share of the questions in scope above that of the scope.
    """
    classifier, codes, intent_figures = _classifier(entries, embeddings["question"], seed)
    finder = Finder(index, groups, np.array(DEFAULT_WEIGHTS), classifier, codes)
    scale = classifier.scale if classifier else 1.0
    cases = list(_cases(entries, groups, codes, rows, seed))
    vectors = _vectors(cases, embeddings["question"], encode)
    finders = _without_parts(finder, cases, embeddings["question"], scale)
    lists = [
        ranking_list
        for case, vector in zip(cases, vectors, strict=True)
        for ranking_list in _lists(case, vector, finders[case.part], seed)
    ]
    enough = sum(1 for case in cases if case.relevant and not (case.reworded or case.hidden)) >= FEWEST
    weights = fit_weights(lists, joint=enough)
    results = [
        replace(finders[case.part], weights=weights).find(
            case.text, vector, without=case.without, hidden=case.hidden
        )
        for case, vector in zip(cases, vectors, strict=True)
    ]
    fitted, thresholds, figures = _probabilities(cases, results, precision, in_scope_recall)
    intent_threshold = intent_figures.pop("threshold_of", lambda _: Thresholds().intent)(precision)
    return Tuned(
        replace(finder, weights=weights, answer=fitted["answer"], scope=fitted["scope"]),
        replace(thresholds, intent=intent_threshold),
        {**figures, **intent_figures},
    )


def lowest_sure(scores: NDArray[np.float64], correct: NDArray[np.bool_], precision: float) -> float:
    """Return the lowest score above which a share ``precision`` is right; 2 where there is none.

    >>> lowest_sure(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, True, False, False]), 0.9)
    0.8
    """
    order = np.argsort(-scores, kind="stable")
    shares = np.cumsum(correct[order]) / np.arange(1, len(scores) + 1)
    last = np.append(scores[order][1:] < scores[order][:-1], True)[: len(scores)]  # of equal scores
    passing = np.flatnonzero((shares >= precision) & last)
    return float(scores[order][passing[-1]]) if len(passing) else Thresholds().intent


def _classifier(
    entries: Sequence[Entry], vectors: NDArray[np.float32], seed: int
) -> tuple[IntentClassifier | None, NDArray[np.int64], dict[str, Any]]:
    """Return the classifier, the intent of each entry by number, and figures of held-out rows."""
    rows = np.array([i for i, e in enumerate(entries) if e.intent and e.question], np.int64)
    intents = [str(entries[i].intent) for i in rows]
    codes = np.full(len(entries), -1)
    if len(set(intents)) < 2:
        return None, codes, {}
    classifier = IntentClassifier.fit(vectors[rows], intents)
    place = {name: number for number, name in enumerate(classifier.names)}
    codes = np.array([place.get(entry.intent or "", -1) for entry in entries], np.int64)
    row_codes = codes[rows]
    parts = [
        (IntentClassifier.fit(vectors[rows[train]], [intents[i] for i in train]), held)
        for train, held in folds(intents, seed)
    ]
    if not parts:
        return classifier, codes, {}
    scales = [
        fold_classifier.with_scale(
            vectors[rows[held]], np.searchsorted(fold_classifier.names, [intents[i] for i in held])
        )
        for fold_classifier, held in parts
    ]
    scale = float(np.median(scales))
    scores, correct = [], []
    for fold_classifier, held in parts:
        logs = replace(fold_classifier, scale=scale).log_probabilities(vectors[rows[held]])
        names = np.array(fold_classifier.names, object)[logs.argmax(1)]
        scores.append(np.exp(logs.max(1)))
        correct.append(names == np.array(classifier.names, object)[row_codes[held]])
    all_scores, all_correct = np.concatenate(scores), np.concatenate(correct)

    def threshold_of(precision: float) -> float:
        enough = len(all_scores) >= FEWEST
        return lowest_sure(all_scores, all_correct, precision) if enough else Thresholds().intent

    figures = {"intent_accuracy": float(all_correct.mean()), "intent_rows": len(all_correct)}
    return replace(classifier, scale=scale), codes, {**figures, "threshold_of": threshold_of}


def _cases(
    entries: Sequence[Entry], groups: NDArray[np.int64], codes: NDArray[np.int64], rows: int, seed: int
) -> Iterator[_Case]:
    """Yield questions in scope, and for each part of the groups questions that are out of scope."""
    generator = np.random.default_rng(seed)
    topics = np.where(codes >= 0, codes, codes.max(initial=0) + 1 + groups)
    _, topics = np.unique(topics, return_inverse=True)
    part_of = generator.permutation(topics.max(initial=0) + 1)[topics] % PARTS
    with_question = np.array([i for i, entry in enumerate(entries) if entry.question], np.int64)
    members = _members(groups)
    fellows = _members(topics)
    for part in range(PARTS):
        outside = np.flatnonzero(part_of == part)
        drawn = generator.permutation(with_question)
        inside, taken = drawn[part_of[drawn] != part], drawn[part_of[drawn] == part]
        if not (len(inside) and len(taken)):
            continue
        removed = tuple(outside.tolist())
        per_part = max(1, rows // (2 * PARTS))
        for row in taken[:per_part]:
            yield _Case(part, int(row), entries[row].question, removed, (), (), False)
        for row in inside[:per_part]:
            text = entries[row].question
            siblings = tuple(member for member in members[groups[row]] if member != row)
            if not entries[row].answer:
                has_fellows = len(fellows[topics[row]]) > 1
                reworded = text if has_fellows else fewer_words(text, DROPPED, generator)
                without = (*removed, int(row)) if has_fellows else removed
                yield _Case(part, int(row), reworded, without, (), (), True, not has_fellows)
                continue
            if siblings:
                yield _Case(part, int(row), text, (*removed, int(row)), (), siblings, True)
            else:
                reworded = fewer_words(text, DROPPED, generator)
                yield _Case(part, int(row), reworded, removed, (), (int(row),), True, True)
            yield _Case(part, int(row), text, removed, (int(row),), (int(row), *siblings), True)


def _members(groups: NDArray[np.int64]) -> dict[int, list[int]]:
    members: dict[int, list[int]] = {}
    for number, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(number)
    return members


def _vectors(
    cases: Sequence[_Case], question_vectors: NDArray[np.float32], encode: Encode
) -> NDArray[np.float32]:
    vectors = question_vectors[[case.row for case in cases]].copy()
    places = [place for place, case in enumerate(cases) if case.reworded]
    if places:
        vectors[places] = encode([cases[place].text for place in places])
    return vectors


def _without_parts(
    finder: Finder, cases: Sequence[_Case], vectors: NDArray[np.float32], scale: float
) -> dict[int, Finder]:
    """Return for each part a finder whose classifier saw neither its rows nor its questions."""
    parts = sorted({case.part for case in cases})
    if finder.intents is None:
        return dict.fromkeys(parts, finder)
    codes, names, finders = finder.intent_codes, np.array(finder.intents.names, object), {}
    usable = (codes >= 0) & finder.index.has_question
    for part in parts:
        removed = {number for case in cases if case.part == part for number in case.without}
        selected = usable.copy()
        selected[list(removed)] = False
        case_rows = {case.row for case in cases if case.part == part and case.in_scope}
        for row in case_rows:  # but an intent keeps a row
            if selected[row] and (codes[selected] == codes[row]).sum() > 1:
                selected[row] = False
        rows = np.flatnonzero(selected)
        if len(np.unique(codes[rows])) < 2:
            finders[part] = replace(finder, intents=None, intent_codes=np.zeros(0, np.int64))
            continue
        classifier = IntentClassifier.fit(vectors[rows], names[codes[rows]].tolist(), scale)
        place = {name: number for number, name in enumerate(classifier.names)}
        new = np.array([place.get(name, -1) for name in names], np.int64)
        finders[part] = replace(finder, intents=classifier, intent_codes=np.where(codes >= 0, new[codes], -1))
    return finders


def _lists(case: _Case, vector: NDArray[np.float32], finder: Finder, seed: int) -> Iterator[RankingList]:
    """Yield the candidates of a case; of the others, some are taken without their question."""
    if not case.relevant:
        return
    probabilities = None
    if finder.intents is not None:
        probabilities = np.exp(finder.intents.log_probabilities(vector[None])[0])
    candidates = finder.candidates(case.text, vector, probabilities, case.without)
    correct = np.isin(candidates.numbers, case.relevant)
    drawn = np.random.default_rng([seed, case.row]).random(len(correct)) < HIDDEN
    hidden = np.isin(candidates.numbers, case.hidden) | (drawn & ~correct)
    has_question = finder.index.has_question[candidates.numbers] & ~hidden
    yield RankingList(design(candidates, has_question), correct)


def _probabilities(
    cases: Sequence[_Case], results: Sequence[SearchResult], precision: float, in_scope_recall: float
) -> tuple[dict[str, Logistic], Thresholds, dict[str, Any]]:
    """Fit the probabilities of a right answer and of the scope, and their thresholds.

    Even and odd questions predict each other, so that thresholds are of rows that were not fitted on.
    """
    if not cases:
        never = Logistic.fit(np.zeros((1, len(results[0].signals) if results else 0)), np.zeros(1, bool))
        return {"answer": never, "scope": never}, Thresholds(), {}
    signals = np.stack([result.signals for result in results])
    correct = np.array(
        [
            len(result.numbers) > 0 and result.numbers[0] in case.relevant
            for case, result in zip(cases, results, strict=True)
        ]
    )
    in_scope = np.array([case.in_scope for case in cases])
    even = np.array([case.row % 2 == 0 for case in cases])
    fitted, held = {}, {}
    for name, happened in (("answer", correct), ("scope", in_scope)):
        fitted[name] = Logistic.fit(signals, happened)
        held[name] = np.zeros(len(cases))
        for part in (even, ~even):
            if part.any() and (~part).any():
                held[name][part] = Logistic.fit(signals[~part], happened[~part]).probability(signals[part])
    decidable = np.array([bool(case.relevant) or not case.in_scope for case in cases])
    enough = len(cases) >= FEWEST
    thresholds = Thresholds(
        answer=lowest_sure(held["answer"][decidable], correct[decidable], precision)
        if enough and correct.any()
        else Thresholds().answer,
        scope=float(np.quantile(held["scope"][in_scope], 1 - in_scope_recall))
        if enough and in_scope.any()
        else Thresholds().scope,
    )
    answerable = np.array([bool(case.relevant) for case in cases])
    figures = {
        "held_out_questions": int(in_scope.sum()),
        "held_out_out_of_scope": int((~in_scope).sum()),
        "answer_accuracy": float(correct[answerable].mean()) if answerable.any() else None,
    }
    return fitted, thresholds, figures
