"""F1 over two bags of tokens, the core of both question-answering metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def token_f1(prediction: Sequence[str], reference: Sequence[str]) -> float:
    """Harmonic mean of precision and recall, every token counted as often as it occurs in both.

    Formula: with c tokens in common, precision p = c / |prediction| and recall r = c / |reference|,
    F1 = 2 p r / (p + r).

    Corner cases: nothing in common gives 0, and so do two empty bags.

    Args:
        prediction: Tokens of the answer.
        reference: Tokens of the reference.

    Returns:
        A fraction from 0 to 1.

    Source: THUDM/LongBench, metrics.py; Rajpurkar et al. 2016 (SQuAD).
    """
    common = sum((Counter(prediction) & Counter(reference)).values())
    if common == 0:
        return 0.0
    precision = common / len(prediction)
    recall = common / len(reference)
    return 2 * precision * recall / (precision + recall)
