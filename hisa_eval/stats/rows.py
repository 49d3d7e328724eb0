"""Figures over query rows: rows of one context are not independent, so whole contexts are what varies."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from hisa_eval.stats.clusters import Clusters, gather, standard_error

_RESAMPLES = 400


class RowFigure(NamedTuple):
    """Mean, 5th percentile and minimum of a share over rows.

    `low` and `high` bound the mean, `p5_low` and `p5_high` the percentile; NaN with one context, or where
    all rows are equal. A minimum has no interval: `below` bounds the share of rows that lie under it (95 %,
    rows taken as independent).
    """

    n_rows: int
    n_contexts: int
    mean: float
    low: float
    high: float
    p5: float
    p5_low: float
    p5_high: float
    minimum: float
    below: float


def row_figure(
    values: Sequence[float] | np.ndarray,
    contexts: Sequence[Hashable],
    *,
    confidence: float = 0.95,
    seed: int = 0,
    percentile: bool = True,
) -> RowFigure:
    """Figures of one value a row, NaN left out.

    The mean's interval is Student's with the linearised standard error between contexts, cut to 0..1; the
    percentile's is the percentile bootstrap of whole contexts.

    Args:
        values: One a row.
        contexts: The context of each row.
        confidence: Coverage aimed at.
        seed: Of the resampling.
        percentile: Also resample for the 5th percentile's interval.

    Source: W. G. Cochran, Sampling Techniques, 3rd edition, section 9A.3; Davison and Hinkley 1997, 3.8.
    """
    all_values = np.asarray(values, dtype=float)
    known = np.isfinite(all_values)
    names = [name for name, there in zip(contexts, known, strict=True) if there]
    array = all_values[known]
    if not array.size:
        return RowFigure(0, 0, *[math.nan] * 8)
    places: dict[Hashable, int] = {}
    of_row = np.array([places.setdefault(name, len(places)) for name in names])
    mean, minimum, p5 = float(array.mean()), float(array.min()), float(np.quantile(array, 0.05))
    low = high = p5_low = p5_high = math.nan
    if len(places) > 1 and np.ptp(array) > 0:
        error = standard_error([gather(array, names)])
        half = float(stats.t.ppf(0.5 + confidence / 2, len(places) - 1)) * error
        low, high = max(0.0, mean - half), min(1.0, mean + half)
        if percentile:
            p5_low, p5_high = _resampled_p5(array, of_row, len(places), confidence, seed)
    below = 1 - (1 - confidence) ** (1 / array.size)
    return RowFigure(array.size, len(places), mean, low, high, p5, p5_low, p5_high, minimum, below)


class RatioFigure(NamedTuple):
    """A ratio of sums over contexts with its interval; NaN bounds with one context or equal ones."""

    n: int
    n_contexts: int
    mean: float
    low: float
    high: float


def ratio_figure(
    sums: Sequence[float] | np.ndarray, counts: Sequence[float] | np.ndarray, *, confidence: float = 0.95
) -> RatioFigure:
    """Σ sums / Σ counts with Student's interval over contexts, cut to 0..1.

    Args:
        sums: One a context.
        counts: Likewise; contexts with none are left out, and one at least has some.
        confidence: Coverage aimed at.

    Source: as `row_figure`.
    """
    weights = np.asarray(counts, dtype=float)
    own = Clusters(np.asarray(sums, dtype=float)[weights > 0], weights[weights > 0])
    mean, n = float(own.sums.sum() / own.counts.sum()), own.sums.size
    half = float(stats.t.ppf(0.5 + confidence / 2, n - 1)) * standard_error([own]) if n > 1 else math.nan
    low, high = (max(0.0, mean - half), min(1.0, mean + half)) if half > 0 else (math.nan, math.nan)
    return RatioFigure(int(own.counts.sum()), n, mean, low, high)


def _resampled_p5(
    array: np.ndarray, of_row: np.ndarray, n: int, confidence: float, seed: int
) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    groups = [array[of_row == place] for place in range(n)]
    found = [
        np.quantile(np.concatenate([groups[one] for one in drawn]), 0.05)
        for drawn in rng.integers(0, n, (_RESAMPLES, n))
    ]
    tail = (1 - confidence) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return float(low), float(high)
