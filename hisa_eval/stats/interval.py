"""The interval of a mean score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

MIN_RESAMPLED = 10
"""With fewer scores than this, resampling says more about the few than about the mean."""


class Interval(NamedTuple):
    """A mean with its interval; NaN where there is nothing to say.

    `method` is `"wilson"` (pass or fail), `"bootstrap"` (BCa), `"wilson-bound"` (partial credit, too few or
    too equal to resample: the widest that scores in 0..1 with this mean can be) or `"none"`.
    """

    mean: float
    low: float
    high: float
    method: str


class Resampled(NamedTuple):
    """Bootstrap of a mean."""

    low: float
    high: float
    standard_error: float


def mean_interval(scores: Sequence[float], *, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Mean of scores in 0..1 with a two-sided interval.

    Args:
        scores: One value per sample; the samples are taken as independent. Their order does not matter.
        confidence: Coverage aimed at.
        seed: Of the resampling.

    Raises:
        ValueError: a score is outside 0..1 or NaN.

    Source: E. B. Wilson 1927; B. Efron 1987 (BCa); both as implemented in scipy.stats.
    """
    values = np.sort(np.asarray(scores, dtype=float))
    n = values.size
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, "none")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("scores must lie in 0..1")
    mean = float(values.mean())
    if np.isin(values, (0.0, 1.0)).all():
        found = stats.binomtest(int(values.sum()), n).proportion_ci(confidence, method="wilson")
        return Interval(mean, max(0.0, float(found.low)), min(1.0, float(found.high)), "wilson")
    if n < MIN_RESAMPLED or values[0] == values[-1]:
        return Interval(mean, *_wilson(mean, n, confidence), "wilson-bound")
    resampled = bootstrap_mean(values, confidence=confidence, seed=seed)
    return Interval(mean, max(0.0, resampled.low), min(1.0, resampled.high), "bootstrap")


def bootstrap_mean(
    values: Sequence[float] | np.ndarray, *, confidence: float = 0.95, seed: int = 0, n_resamples: int = 9999
) -> Resampled:
    """Seeded BCa bootstrap of a mean; the percentile interval where BCa is not defined.

    Args:
        values: At least two, not all equal.
        confidence: Coverage aimed at.
        seed: Of the resampling.
        n_resamples: Resamples drawn.
    """
    sample = (np.asarray(values, dtype=float),)
    for method in ("BCa", "percentile"):
        found = stats.bootstrap(
            sample,
            np.mean,
            n_resamples=n_resamples,
            confidence_level=confidence,
            method=method,
            rng=np.random.default_rng(seed),
        )
        low, high = (float(end) for end in found.confidence_interval)
        if math.isfinite(low) and math.isfinite(high):
            break
    return Resampled(low, high, float(found.standard_error))


def _wilson(mean: float, n: int, confidence: float) -> tuple[float, float]:
    """Wilson's interval for a fractional share: no score in 0..1 varies more than pass or fail does."""
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
