"""Character ranges of scripts without spaces between words, for regular expressions."""

import re

__all__ = ["NO_SPACES", "has_spaces"]

NO_SPACES = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai and Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # kana, Han
)

_CHARACTER = re.compile(f"[{NO_SPACES}]")
_WORD = re.compile(f"[^\\W{NO_SPACES}]+")


def has_spaces(text: str) -> bool:
    """Return whether the script of a text has spaces between words: it has fewer other characters than words.

    >>> has_spaces("Ada, 伦敦"), has_spaces("Guaimar IV 为公爵")
    (False, False)
    """
    return len(_CHARACTER.findall(text)) < len(_WORD.findall(text))
