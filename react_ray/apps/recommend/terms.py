"""Words that texts share, for reasons: rare ones first."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

__all__ = ["Terms", "terms_of"]

CHARS_READ = 2000
COMMON_SHARE, COMMON_FEWEST = 0.3, 3
"""A term in more than this share of the texts, and in more than a few, explains nothing."""
HAN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
PIECES = re.compile(rf"[{HAN}]+|[^\W\d_{HAN}][^\W_{HAN}]+")


def terms_of(text: str) -> list[str]:
    """Return the words of a text in lower case, and pairs of characters where no spaces divide words.

    >>> terms_of("The rocket's orbit, 2 x 科技股")
    ['the', 'rocket', 'orbit', '科技', '技股']
    """
    terms = []
    for piece in PIECES.findall(text[:CHARS_READ].lower()):
        if "\u3040" <= piece[0] <= "\u9fff":
            terms += [piece[place : place + 2] for place in range(len(piece) - 1)]
        else:
            terms.append(piece)
    return terms


class Terms:
    """How many of the texts have each term."""

    def __init__(self, texts: Iterable[str]):
        self._counts: Counter[str] = Counter()
        self._texts = 0
        for text in texts:
            self._texts += 1
            self._counts.update(set(terms_of(text)))

    def shared(self, text: str, others: Sequence[str], most: int) -> list[str]:
        """Return the terms that ``text`` shares with any of the others, the rarest first.

        >>> Terms(["a red rocket", "a rocket", "bread", "salt"]).shared("red rocket", ["rocket"], 3)
        ['rocket']
        """
        other_terms = set().union(*(terms_of(other) for other in others)) if others else set()
        places = {
            term: place for place, term in reversed(list(enumerate(terms_of(text)))) if term in other_terms
        }
        rare = [term for term in places if not self._is_common(term)]
        return sorted(rare, key=lambda term: (-self._weight(term), places[term]))[:most]

    def _is_common(self, term: str) -> bool:
        return self._counts[term] > max(COMMON_FEWEST, COMMON_SHARE * self._texts)

    def _weight(self, term: str) -> float:
        return math.log(self._texts + 1) - math.log(self._counts[term] + 1)
