"""Order of the entries for a question, and how sure the best one is: few weights, fitted on held-out rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logsumexp

from react_ray.apps.assist.index import FEATURES, Candidates

__all__ = ["DEFAULT_WEIGHTS", "Logistic", "RankingList", "design", "fit_weights", "hide_questions"]

DEFAULT_WEIGHTS = (14.0, 0.8, 4.0, 0.2, 2.0, 18.0, 1.0, 2.0, 0.0)
"""Weights of FEATURES where an entry has a question; of cosine, BM25 and intent of the answer and a constant
where it has none. The fit starts there."""
RIDGE, PENALTY = 0.02, 0.1


@dataclass(frozen=True)
class RankingList:
    """Candidates for one question as rows of :func:`design`, and which of them are right."""

    rows: NDArray[np.float64]
    correct: NDArray[np.bool_]


def design(candidates: Candidates, has_question: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the features in two blocks, n x 9: of entries with a question, and of those without.

    ``has_question`` is about the candidates, n.
    """
    features, width = candidates.features, len(FEATURES)
    rows = np.zeros((len(features), 2 * width - 1))
    rows[:, :width] = features * has_question[:, None]
    alone = np.column_stack([features[:, 2:], np.ones(len(features))])
    rows[:, width:] = alone * ~has_question[:, None]
    return rows


def hide_questions(
    candidates: Candidates, has_question: NDArray[np.bool_], hidden: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the design as if the entries in the mask ``hidden`` had no question."""
    return design(candidates, has_question & ~hidden)


def fit_weights(lists: Sequence[RankingList], joint: bool) -> NDArray[np.float64]:
    """Fit the weights by the softmax loss of each list, with a penalty on leaving DEFAULT_WEIGHTS.

    Parameters
    ----------
    lists
        Those without a right candidate are not used.
    joint
        Whether the weights of entries with a question are fitted as well.
    """
    start = np.array(DEFAULT_WEIGHTS)
    usable = [
        ranking_list
        for ranking_list in lists
        if ranking_list.correct.any() and not ranking_list.correct.all()
    ]
    if not usable:
        return start
    free = np.ones(len(start), bool)
    free[: len(FEATURES)] = joint
    spread = np.maximum(np.abs(start), 1)

    def loss(change: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights = start + spread * change * free
        total, gradient = 0.0, np.zeros(len(start))
        for ranking_list in usable:
            logs = log_softmax(ranking_list.rows @ weights)
            log_correct = logsumexp(logs[ranking_list.correct])
            total -= log_correct
            share = np.where(ranking_list.correct, np.exp(logs - log_correct), 0)
            gradient -= (share - np.exp(logs)) @ ranking_list.rows
        count = len(usable)
        penalty = RIDGE * float(change @ change)
        return total / count + penalty, gradient * spread * free / count + 2 * RIDGE * change

    change = minimize(loss, np.zeros(len(start)), jac=True, method="L-BFGS-B").x
    fitted: NDArray[np.float64] = start + spread * change * free
    return fitted


@dataclass(frozen=True)
class Logistic:
    """A logistic regression on standardized signals; the probability of one kind of event."""

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: float

    @classmethod
    def fit(cls, signals: NDArray[np.float64], happened: NDArray[np.bool_]) -> Logistic:
        """Fit on rows of signals, n x s; both kinds count the same. All alike: constant 1 or 0.

        Weights are not negative: every signal speaks for the event, and what held-out rows of one kind seem
        to say against that would not hold for other questions.
        """
        width = signals.shape[1]
        mean, spread = signals.mean(0), np.maximum(signals.std(0), 1e-6)
        if happened.all() or not happened.any():
            return cls(np.zeros(width), np.ones(width), np.zeros(width), 9.0 if happened.all() else -9.0)
        rows = np.column_stack([(signals - mean) / spread, np.ones(len(signals))])
        sign = np.where(happened, 1.0, -1.0)
        weight = np.where(happened, 0.5 / happened.mean(), 0.5 / (~happened).mean())

        def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            margins, shrunk = sign * (rows @ weights), np.append(weights[:-1], 0)
            slopes = -weight * sign * expit(-margins) / len(rows)
            total = float(weight @ np.logaddexp(0, -margins)) / len(rows)
            return total + PENALTY / 2 * float(shrunk @ shrunk), slopes @ rows + PENALTY * shrunk

        bounds = [(0, None)] * width + [(None, None)]
        fitted = minimize(loss, np.zeros(width + 1), jac=True, method="L-BFGS-B", bounds=bounds).x
        return cls(mean, spread, fitted[:-1], float(fitted[-1]))

    def probability(self, signals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of each row."""
        result: NDArray[np.float64] = expit((signals - self.mean) / self.spread @ self.weights + self.bias)
        return result
