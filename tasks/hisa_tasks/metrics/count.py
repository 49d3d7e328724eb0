"""Counting: the share of the answer's numbers that are the right one."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hisa_tasks.metrics.best import best

_NUMBER = re.compile(r"\d+")


def share_of_numbers(prediction: str, number: str) -> float:
    """Which part of the numbers in a text is written exactly like `number`; 0 where there is none."""
    numbers = _NUMBER.findall(prediction)
    return numbers.count(number) / len(numbers) if numbers else 0.0


def count(references: Sequence[str], prediction: str) -> float:
    """Share of the numbers in the answer that equal the reference.

    Formula: (runs of digits equal to the reference) / (runs of digits).

    Corner cases: compared as text, so "07" is not "7" and full-width digits are other numbers; "3.0" is two
    numbers; an answer without digits scores 0, number words do not count.

    Args:
        references: Expected numbers, as text.
        prediction: What the model generated.

    Returns:
        A fraction from 0 to 1.

    Source: THUDM/LongBench, metrics.py.
    """
    return best(share_of_numbers, references, prediction)
