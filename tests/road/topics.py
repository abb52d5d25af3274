"""Made-up sentences of three topics that share no words."""

from __future__ import annotations

import random

WORDS = {
    "Sport": "match goal team coach league player score season cup win",
    "money": "bank stock profit market trade share price fund loan tax",
    "Wetter": "rain cloud storm sunny wind snow cold heat fog frost",
}
FILLER = "the a of to in on with for today was very new"


def make_texts(label: str, count: int, seed: int) -> list[str]:
    """Distinct sentences of words that only this class uses, and some that all use."""
    random_ = random.Random(f"{label}-{seed}")
    own, filler = WORDS[label].split(), FILLER.split()
    texts: dict[str, None] = {}
    while len(texts) < count:
        texts[" ".join(random_.sample(own, k=8) + random_.sample(filler, k=2))] = None
    return list(texts)
