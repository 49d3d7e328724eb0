"""RULER's metric for questions: whether the answer contains any of the references."""

from __future__ import annotations

import re
from collections.abc import Sequence

_CONTROL = re.compile(r"[\x00-\x1f]")


def string_match_part(references: Sequence[str], prediction: str) -> float:
    """1.0 if any of the references occurs in the prediction, whatever the case, else 0.0.

    Formula: max over references r of [lower(r) in lower(clean(prediction))], where `clean` strips white
    space, turns control characters into newlines and strips again.

    Corner cases: the largest value over the references counts, not their mean (which some ports take); a
    reference counts inside a longer word or number too; an empty reference is in every prediction.

    Args:
        references: Expected strings, at least one.
        prediction: What the model generated.

    Returns:
        0.0 or 1.0 (RULER's tables give 100 times its mean over samples).

    Raises:
        ValueError: There is no reference.

    Source: NVIDIA/RULER, scripts/eval/evaluate.py (cleaning) and scripts/eval/synthetic/constants.py (match).
    """
    if not references:
        raise ValueError(
            "string_match_part needs at least one reference – give the sample its expected answers"
        )
    answer = _CONTROL.sub("\n", prediction.strip()).strip().lower()
    return max(float(reference.lower() in answer) for reference in references)
