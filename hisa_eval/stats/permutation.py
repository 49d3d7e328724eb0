"""The sign-flip permutation test of paired differences."""

from __future__ import annotations

import numpy as np
from scipy import stats

_BATCH = 1000


def sign_flip_p(sums: np.ndarray, *, n_resamples: int = 9999, seed: int = 0) -> float:
    """Two-sided p of "each difference is as likely as its negative", by the absolute sum.

    Exact where all sign patterns of the differences that are not 0 number at most `n_resamples` (up to 13 for
    the default), otherwise over random patterns with the observed one among them, so that p is never 0.

    Args:
        sums: Differences, one for each independent unit: a sample, or the sum over a cluster.
        n_resamples: Sign patterns tried.
        seed: Of their choice.

    Returns:
        1 if fewer than two units differ.

    Source: R. A. Fisher 1935; Phipson and Smyth 2010 (random patterns); scipy.stats.permutation_test.
    """
    moved = np.asarray(sums, dtype=float)
    moved = moved[moved != 0]
    if moved.size < 2:
        return 1.0
    found = stats.permutation_test(
        (moved,),
        lambda values, axis: np.sum(values, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=n_resamples,
        batch=_BATCH,
        alternative="two-sided",
        rng=np.random.default_rng(seed),
    )
    return min(1.0, float(found.pvalue))
