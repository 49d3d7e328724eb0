"""Two methods on the same samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import stats

from hisa_eval.stats.interval import MIN_RESAMPLED, bootstrap_mean


class Paired(NamedTuple):
    """Mean difference of paired scores, `b - a`.

    `low` and `high` are NaN with fewer than ten pairs or equal differences; `p` is the exact two-sided sign
    test over the pairs that differ, 1 where none does.
    """

    n_pairs: int
    mean: float
    low: float
    high: float
    better: int
    worse: int
    p: float


def paired_difference(
    a: Mapping[str, float], b: Mapping[str, float], *, confidence: float = 0.95, seed: int = 0
) -> Paired:
    """Compare `b` with the baseline `a` on the samples that both have.

    Args:
        a: Score by sample id.
        b: Score by sample id.
        confidence: Coverage aimed at.
        seed: Of the resampling of pairs.
    """
    shared = sorted(set(a) & set(b))
    differences = np.array([b[name] - a[name] for name in shared], dtype=float)
    if not shared:
        return Paired(0, math.nan, math.nan, math.nan, 0, 0, math.nan)
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    p = float(stats.binomtest(better, better + worse, 0.5).pvalue) if better + worse else 1.0
    low = high = math.nan
    if len(shared) >= MIN_RESAMPLED and np.ptp(differences) > 0:
        low, high, _ = bootstrap_mean(np.sort(differences), confidence=confidence, seed=seed)
    return Paired(len(shared), float(differences.mean()), low, high, better, worse, p)
