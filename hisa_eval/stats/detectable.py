"""How small a difference a comparison could have found."""

from __future__ import annotations

import math

from scipy import stats


def smallest_detectable(
    standard_error: float, df: float, *, alpha: float = 0.05, power: float = 0.8
) -> float:
    """The true mean difference that a two-sided test at `alpha` finds with probability `power`.

    Formula: (t(1 - alpha/2) + t(power)) * standard error, quantiles of Student's t with `df` degrees of
    freedom.

    Args:
        standard_error: Of the mean difference.
        df: Independent units less one for each task.
        alpha: Level of the test.
        power: Probability aimed at.

    Returns:
        NaN where the standard error is NaN or `df` is below 1.

    Source: J. Cohen 1988, chapter 2; two central quantiles in place of the non-central distribution.
    """
    if math.isnan(standard_error) or df < 1:
        return math.nan
    return float(stats.t.ppf(1 - alpha / 2, df) + stats.t.ppf(power, df)) * standard_error
