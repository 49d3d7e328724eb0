"""Chinese text cut into words by jieba; imported on first use, quiet."""

from __future__ import annotations

import logging
import warnings


def chinese_words(text: str) -> list[str]:
    """Words, blanks and punctuation marks of a text, in order; joined they are the text again.

    Args:
        text: Any text; other scripts are cut too.

    Returns:
        Pieces in jieba's accurate mode with its built-in dictionary and its model for unknown words.

    Raises:
        ValueError: jieba is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import jieba
    except ImportError:
        raise ValueError("Chinese metrics need jieba – pip install jieba") from None
    jieba.setLogLevel(logging.CRITICAL)  # Where its cache cannot be written, it logs a traceback.
    return list(jieba.cut(text, cut_all=False))
