"""Character ranges of scripts without spaces between words, for regular expressions."""

import re

__all__ = ["NO_SPACES", "has_spaces"]

NO_SPACES = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai and Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # kana, Han
)


def has_spaces(text: str) -> bool:
    """Return whether the script of a text has spaces between words; by most of its characters."""
    return 2 * len(re.findall(f"[{NO_SPACES}]", text)) < len(text)
