"""Means of groups that weigh what a suite says, not what their counts say, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hisa_eval.stats.interval import MIN_RESAMPLED, Interval, mean_interval

N_RESAMPLES = 9999
_BATCH = 1000


class Group(NamedTuple):
    """Scores that are averaged first, and the weight of their mean."""

    weight: float
    scores: Sequence[float]


def weighted_mean(groups: Sequence[Group], *, confidence: float = 0.95, seed: int = 0) -> Interval:
    """The weighted mean of the groups' means with a two-sided interval.

    With ten scores or more in every group and spread in one of them, the interval is a stratified percentile
    bootstrap. Else it is Wilson's for min(n / weight) samples: as x (1 - x) is concave, no scores in 0..1 in
    groups of these sizes and weights vary more.

    Args:
        groups: Each with one score or more; weights are scaled to a sum of 1.
        confidence: Coverage aimed at.
        seed: Of the resampling.

    Returns:
        NaN without groups; `method` is `"bootstrap"`, `"wilson-bound"` or `"none"`.
    """
    if not groups:
        return Interval(math.nan, math.nan, math.nan, "none")
    total = math.fsum(one.weight for one in groups)
    weights = [one.weight / total for one in groups]
    values = [np.asarray(one.scores, dtype=float) for one in groups]
    mean = math.fsum(weight * float(own.mean()) for weight, own in zip(weights, values, strict=True))
    if min(own.size for own in values) >= MIN_RESAMPLED and any(np.ptp(own) > 0 for own in values):
        resampled = _resampled(weights, values, seed)
        tail = (1 - confidence) / 2
        low, high = np.quantile(resampled, (tail, 1 - tail))
        return Interval(mean, float(low), float(high), "bootstrap")
    size = min(own.size / weight for weight, own in zip(weights, values, strict=True))
    bound = mean_interval([min(1.0, mean)] * max(1, math.floor(size + 1e-9)), confidence=confidence)
    return Interval(mean, bound.low, bound.high, "wilson-bound")


def _resampled(weights: Sequence[float], values: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """Bootstrap replicates of the weighted mean, every group resampled apart."""
    rng = np.random.default_rng(seed)
    found = np.zeros(N_RESAMPLES)
    for weight, own in zip(weights, values, strict=True):
        for start in range(0, N_RESAMPLES, _BATCH):
            count = min(_BATCH, N_RESAMPLES - start)
            drawn = rng.integers(0, own.size, (count, own.size))
            found[start : start + count] += weight * own[drawn].mean(axis=1)
    return found
