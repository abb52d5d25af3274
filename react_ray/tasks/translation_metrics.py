"""BLEU and chrF of translations as sums of counts, equal to sacrebleu's scores of a corpus.

BLEU (Papineni et al. 2002) uses one tokenizer for all references: 13a, zh if most of them are Chinese, and
char for other scripts without spaces; chrF is Popović 2015, with its default of 6 characters and no words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from react_ray.errors import ConfigError
from react_ray.models.writing_systems import NO_SPACES

__all__ = ["TRANSLATION_METRICS", "bleu_tokenizer", "scores", "sentence_chrf", "signatures", "statistics"]

TRANSLATION_METRICS = ("bleu", "chrf")
ORDERS = 4
BLEU_COUNTS = 2 * ORDERS + 2
_CHINESE, _SPACELESS = re.compile("[\u3400-\u9fff]"), re.compile(f"[{NO_SPACES}]")
_KANA = re.compile("[\u3040-\u30ff]")


def _sacrebleu() -> Any:
    try:
        from sacrebleu import metrics
    except ImportError as error:
        raise ConfigError(
            f"translation needs sacrebleu for BLEU and chrF ({error}): pip install 'react-ray[translation]', "
            "on every node of a cluster"
        ) from None
    return metrics


@cache
def _bleu(tokenizer: str) -> Any:
    return _sacrebleu().BLEU(tokenize=tokenizer, effective_order=True)


@cache
def _chrf() -> Any:
    return _sacrebleu().CHRF()


def bleu_tokenizer(references: Sequence[str]) -> str:
    """Return sacrebleu's tokenizer for a corpus: 13a, zh, or char for other scripts without spaces.

    Most of the references decide, because a few of a Japanese corpus have no kana.

    Example
    -------
    >>> [bleu_tokenizer(texts) for texts in (["Guten Tag"], ["你好"], ["東京", "東京タワー"])]
    ['13a', 'zh', 'char']
    """
    spaceless = [text for text in references if _SPACELESS.search(text)]
    if 2 * len(spaceless) <= len(references):
        return "13a"
    chinese = [text for text in spaceless if _CHINESE.search(text) and not _KANA.search(text)]
    return "zh" if 2 * len(chinese) > len(spaceless) else "char"


def statistics(translations: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    """Return the counts of each row: n-grams of BLEU, lengths, then n-grams of chrF.

    ``references`` are those of a corpus, because they decide the tokenizer together.
    """
    bleu = _bleu(bleu_tokenizer(references))
    pairs = list(zip(translations, references, strict=True))
    rows = [[*_bleu_counts(bleu, *pair), *_chrf_counts(*pair)] for pair in pairs]
    return np.array(rows, np.float64).reshape(len(rows), BLEU_COUNTS + 3 * _chrf().char_order)


def _bleu_counts(bleu: Any, translation: str, reference: str) -> list[int]:
    score = bleu.sentence_score(translation, [reference])
    return [*score.counts, *score.totals, score.sys_len, score.ref_len]


def _chrf_counts(translation: str, reference: str) -> list[int]:
    """Return the n-grams of translation, reference and both, for each length in characters."""
    counts: list[int] = []
    texts = ["".join(text.split()) for text in (translation, reference)]
    for order in range(1, _chrf().char_order + 1):
        first, second = (_ngrams(text, order) for text in texts)
        shared = sum(min(count, second.get(ngram, 0)) for ngram, count in first.items())
        # like sacrebleu: what a reference is too short for counts on neither side
        counts += [sum(first.values()) if second else 0, sum(second.values()), shared]
    return counts


def _ngrams(text: str, order: int) -> dict[str, int]:
    counts: dict[str, int] = {}
    for start in range(len(text) - order + 1):
        ngram = text[start : start + order]
        counts[ngram] = counts.get(ngram, 0) + 1
    return counts


def scores(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Compute BLEU and chrF, 0 to 1, from sums of statistics (... x s)."""
    sums = np.asarray(sums, np.float64)
    return {
        "bleu": np.apply_along_axis(_bleu_of, -1, sums[..., :BLEU_COUNTS]),
        "chrf": _chrf_of(sums[..., BLEU_COUNTS:]),
    }


def _bleu_of(sums: NDArray[np.float64]) -> float:
    counts = sums.astype(int).tolist()
    score = _sacrebleu().BLEU.compute_bleu(
        correct=counts[:ORDERS], total=counts[ORDERS : 2 * ORDERS], sys_len=counts[-2], ref_len=counts[-1]
    )
    return float(score.score) / 100


def _chrf_of(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the F-measure of the mean precision and recall over the lengths that occur."""
    translated, reference, shared = (sums[..., start::3] for start in range(3))
    used = (translated > 0) & (reference > 0)
    orders = np.maximum(used.sum(-1), 1)
    precision = (np.where(used, shared / np.maximum(translated, 1), 0)).sum(-1) / orders
    recall = (np.where(used, shared / np.maximum(reference, 1), 0)).sum(-1) / orders
    factor = _chrf().beta ** 2
    divisor = factor * precision + recall
    return np.where(divisor > 0, (1 + factor) * precision * recall / np.maximum(divisor, 1e-16), 0.0)


def sentence_chrf(translations: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    """Return the chrF of each translation, 0 to 1."""
    pairs = zip(translations, references, strict=True)
    counts = np.array([_chrf_counts(*pair) for pair in pairs], np.float64)
    return np.asarray(_chrf_of(counts.reshape(-1, 3 * _chrf().char_order)), np.float64)


def signatures(references: Sequence[str]) -> dict[str, str]:
    """Return sacrebleu's signatures of the metrics, with the tokenizer for these references."""
    version = _sacrebleu().bleu.VERSION if hasattr(_sacrebleu().bleu, "VERSION") else _version()
    bleu = f"nrefs:1|case:mixed|eff:no|tok:{bleu_tokenizer(references)}|smooth:exp|version:{version}"
    chrf = f"nrefs:1|case:mixed|eff:yes|nc:{_chrf().char_order}|nw:0|space:no|version:{version}"
    return {"bleu": bleu, "chrf": chrf}


def _version() -> str:
    from importlib.metadata import version

    return version("sacrebleu")
