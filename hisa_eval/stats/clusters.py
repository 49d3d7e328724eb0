"""Samples that share a context are not independent: they are drawn, and change sign, together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np


class Clusters(NamedTuple):
    """Values gathered by cluster, in order of first mention: sums and counts."""

    sums: np.ndarray
    counts: np.ndarray


def gather(values: Sequence[float] | np.ndarray, clusters: Sequence[Hashable] | None = None) -> Clusters:
    """Sums and counts of values by cluster.

    Args:
        values: One per sample.
        clusters: The cluster of each; None where every sample stands alone.

    Raises:
        ValueError: the two differ in length, or a value is not finite.
    """
    array = np.asarray(values, dtype=float)
    if not np.isfinite(array).all():
        raise ValueError("values must be finite")
    if clusters is None:
        return Clusters(array, np.ones(array.size))
    if len(clusters) != array.size:
        raise ValueError(f"{array.size} values and {len(clusters)} clusters: give each value its cluster")
    places: dict[Hashable, int] = {}
    of_value = np.array([places.setdefault(one, len(places)) for one in clusters], dtype=int)
    n = len(places)
    return Clusters(
        np.bincount(of_value, weights=array, minlength=n)[:n],
        np.bincount(of_value, minlength=n)[:n].astype(float),
    )


def standard_error(parts: Sequence[Clusters]) -> float:
    """Standard error of the unweighted mean of the parts' means, by the spread between clusters.

    For one part without clusters it is s / sqrt(n), s with n - 1 below. With clusters it is the usual
    linearisation of a ratio of sums.

    Args:
        parts: One for each task, samples of different parts independent.

    Returns:
        NaN if a part has fewer than two clusters.

    Source: W. G. Cochran, Sampling Techniques, 3rd edition, section 9A.3 (ratio to size).
    """
    variance = 0.0
    for sums, counts in parts:
        k = sums.size
        if k < 2:
            return float("nan")
        residuals = sums - sums.sum() / counts.sum() * counts
        variance += k / (k - 1) * float(residuals @ residuals) / float(counts.sum()) ** 2
    return float(np.sqrt(variance)) / len(parts)
