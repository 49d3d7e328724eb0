"""Passage retrieval: the share of the answer's numbers that name the right paragraph."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hisa_tasks.metrics.best import best
from hisa_tasks.metrics.count import share_of_numbers

_ENGLISH = re.compile(r"Paragraph (\d+)")
_CHINESE = re.compile(r"段落(\d+)")


def retrieval(references: Sequence[str], prediction: str) -> float:
    """Share of the numbers in the answer that name the right paragraph, references in English.

    Formula: (runs of digits equal to N) / (runs of digits), N from the first "Paragraph N" of the reference.

    Corner cases: the answer need not say "Paragraph"; further those of `count`.

    Args:
        references: Expected answers, each with "Paragraph N".
        prediction: What the model generated.

    Returns:
        A fraction from 0 to 1.

    Raises:
        ValueError: A reference names no paragraph.

    Source: THUDM/LongBench, metrics.py.
    """
    return _retrieval(_ENGLISH, "Paragraph N", references, prediction)


def retrieval_zh(references: Sequence[str], prediction: str) -> float:
    """The same with references in Chinese, each with "段落N"; see `retrieval`."""
    return _retrieval(_CHINESE, "段落N", references, prediction)


def _retrieval(pattern: re.Pattern[str], form: str, references: Sequence[str], prediction: str) -> float:
    def one(prediction: str, reference: str) -> float:
        found = pattern.search(reference)
        if found is None:
            raise ValueError(f"the answer {reference!r} does not contain {form!r} – mend the data")
        return share_of_numbers(prediction, found.group(1))

    return best(one, references, prediction)
