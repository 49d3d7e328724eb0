"""RULER's metric for needles: how many of the references the answer contains."""

from __future__ import annotations

import re
from collections.abc import Sequence

_CONTROL = re.compile(r"[\x00-\x1f]")


def string_match_all(references: Sequence[str], prediction: str) -> float:
    """Fraction of the references that occur in the prediction, whatever the case.

    The prediction is stripped, its control characters become newlines, and it is stripped again. A
    reference counts wherever it occurs, inside a longer word or number too, as in the original.

    Args:
        references: Expected strings, at least one.
        prediction: What the model generated.

    Returns:
        A fraction from 0 to 1 (RULER's tables give 100 times its mean over samples).

    Raises:
        ValueError: There is no reference.

    Source: NVIDIA/RULER, scripts/eval/evaluate.py (cleaning) and scripts/eval/synthetic/constants.py (match).
    """
    if not references:
        raise ValueError(
            "string_match_all needs at least one reference – give the sample its expected answers"
        )
    answer = _CONTROL.sub("\n", prediction.strip()).strip().lower()
    return sum(reference.lower() in answer for reference in references) / len(references)
