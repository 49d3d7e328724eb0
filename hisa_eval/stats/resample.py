"""Bootstrap of a mean whose samples come in tasks and clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from hisa_eval.stats.clusters import Clusters
from hisa_eval.stats.interval import Resampled

_BATCH = 500
"""Resamples held in memory at a time."""


def bootstrap_clusters(
    parts: Sequence[Clusters], *, confidence: float = 0.95, seed: int = 0, n_resamples: int = 9999
) -> Resampled:
    """Seeded BCa bootstrap of the unweighted mean of the parts' means; percentile where BCa is not defined.

    Whole clusters are drawn with replacement, in each part apart.

    Args:
        parts: One for each task, each with two clusters or more; not all without spread.
        confidence: Coverage aimed at.
        seed: Of the resampling.
        n_resamples: Resamples drawn.

    Source: B. Efron 1987; Davison and Hinkley 1997, section 3.8 (clusters); scipy.stats.bootstrap.
    """

    def mean(*drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        means = [
            sums[places].sum(axis=axis) / counts[places].sum(axis=axis)
            for (sums, counts), places in zip(parts, drawn, strict=True)
        ]
        return np.mean(means, axis=0)

    places = tuple(np.arange(part.sums.size) for part in parts)
    for method in ("BCa", "percentile"):
        found = stats.bootstrap(
            places,
            mean,
            n_resamples=n_resamples,
            batch=_BATCH,
            vectorized=True,
            confidence_level=confidence,
            method=method,
            rng=np.random.default_rng(seed),
        )
        low, high = (float(end) for end in found.confidence_interval)
        if math.isfinite(low) and math.isfinite(high):
            break
    return Resampled(low, high, float(found.standard_error))
