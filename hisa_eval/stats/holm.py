"""Several comparisons at once: Holm's step-down correction."""

from __future__ import annotations

import math
from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """P values adjusted so that rejecting those below alpha errs anywhere with probability at most alpha.

    Args:
        p_values: From 0 to 1, in any order and of any dependence; NaN for a comparison that was not made,
            which does not count.

    Returns:
        Adjusted values in the same order, NaN where NaN was.

    Raises:
        ValueError: a value is outside 0..1.

    Source: S. Holm 1979.
    """
    if any(p < 0 or p > 1 for p in p_values):
        raise ValueError("p values must lie in 0..1")
    made = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    adjusted = [math.nan] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(made):
        highest = max(highest, min(1.0, (len(made) - rank) * p))
        adjusted[place] = highest
    return adjusted
