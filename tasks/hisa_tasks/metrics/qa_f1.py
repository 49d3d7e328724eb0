"""QA F1 for English: SQuAD's token overlap."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from hisa_tasks.metrics.best import best
from hisa_tasks.metrics.token_f1 import token_f1

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normal_tokens(text: str) -> list[str]:
    """Words of an answer: lower case, ASCII punctuation deleted, English articles left out."""
    return _ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()


def qa_f1(references: Sequence[str], prediction: str) -> float:
    """Token F1 with the best of the references.

    Formula: `token_f1` of the normal tokens of both texts.

    Corner cases: punctuation is deleted, not replaced ("well-known" is the word "wellknown"); curly quotes
    and other characters outside ASCII stay; an answer of articles alone is empty, and empty answers score 0
    even against an empty reference.

    Args:
        references: Expected answers.
        prediction: What the model generated.

    Returns:
        A fraction from 0 to 1.

    Source: THUDM/LongBench, metrics.py (after SQuAD's evaluation script).
    """
    return best(lambda one, other: token_f1(normal_tokens(one), normal_tokens(other)), references, prediction)
