"""Words of a text for full-text search, in scripts with spaces and without."""

from __future__ import annotations

import re
import unicodedata

import numpy as np

__all__ = ["fewer_words", "query_of", "words"]

_CJK = "\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_RUN = re.compile(f"[{_CJK}]+|[^\\W_{_CJK}]+")
_IS_CJK = re.compile(f"[{_CJK}]")
MAX_WORDS = 64
"""Different words of a query; the rest of a longer one is not searched for."""


def words(text: str) -> list[str]:
    """Return the words in lower case; a run of Chinese or Japanese characters gives its pairs.

    Pairs of characters find Chinese words without a dictionary of them.

    >>> words("Reset my PIN：如何重置密码")
    ['reset', 'my', 'pin', '如何', '何重', '重置', '置密', '密码']
    """
    terms: list[str] = []
    for run in _RUN.findall(unicodedata.normalize("NFKC", text).lower()):
        if len(run) > 1 and _IS_CJK.match(run):
            terms += (run[i : i + 2] for i in range(len(run) - 1))
        else:
            terms.append(run)
    return terms


def query_of(text: str) -> str:
    """Return a full-text query for any of the words; "" where the text has none.

    A single Chinese character finds the pairs that begin with it.

    >>> query_of("card 卡")
    '"card" OR "卡"*'
    """
    different = list(dict.fromkeys(words(text)))[:MAX_WORDS]
    return " OR ".join(f'"{word}"*' if _IS_CJK.fullmatch(word) else f'"{word}"' for word in different)


def fewer_words(text: str, share: float, generator: np.random.Generator) -> str:
    """Return ``text`` without a share of its words or Chinese characters, drawn at random.

    It stands for another wording of a question. At least two remain.

    >>> len(fewer_words("how do I reset my pin", 0.5, np.random.default_rng(0)).split())
    3
    """
    pieces = re.findall(f"[{_CJK}]|[^\\s{_CJK}]+", text)
    count = max(2, round(len(pieces) * (1 - share)))
    places = np.sort(generator.permutation(len(pieces))[:count])
    joined = ""
    for piece in (pieces[i] for i in places):
        joined += piece if not joined or _IS_CJK.match(piece) or _IS_CJK.match(joined[-1]) else f" {piece}"
    return joined
